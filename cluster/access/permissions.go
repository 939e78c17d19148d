package access

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
)

// A Permission is the rights without which something does not work.
type Permission struct {
	name, what string
	// namespace is where they are needed; empty is everywhere, or nowhere in
	// particular.
	namespace string
	rules     []rbacv1.PolicyRule
	// fixed is set where the namespace does not depend on -n.
	fixed bool
}

func rule(group, resources string, verbs string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs)}
}

// permissionsIn lists what commands need, of systems in a namespace. Where none is
// named, systems get namespaces of their own, so it is needed everywhere.
func permissionsIn(namespace string) []Permission {
	up := []rbacv1.PolicyRule{
		rule("apps", "deployments", "list watch create patch delete deletecollection"),
		rule("apps", "replicasets", "deletecollection"),
		rule("", "pods", "list watch deletecollection"),
		rule("", "pods/log", "get"),
		rule("", "pods/proxy", "get"),
		rule("", "services", "list create patch delete"),
		rule("", "configmaps secrets", "get list create patch delete deletecollection"),
	}
	needs := []Permission{{name: "up", what: "bring systems up, show them and take them down", namespace: namespace, rules: up}}
	if namespace == "" {
		needs = append(needs, Permission{name: "namespaces", what: "give systems namespaces of their own", rules: []rbacv1.PolicyRule{
			rule("", "namespaces", "get list watch create patch delete"), rule("", "persistentvolumeclaims", "list"),
		}})
	}
	return append(needs,
		Permission{name: "call", what: "send requests to systems", namespace: namespace, rules: []rbacv1.PolicyRule{rule("", "configmaps", "list"), rule("", "services/proxy", "get create")}},
		Permission{name: "logs", what: "read what services print", namespace: namespace, rules: []rbacv1.PolicyRule{rule("", "configmaps", "list get"), rule("", "pods", "list watch"), rule("", "pods/log", "get")}},
		Permission{name: "top", what: "see how services are", namespace: namespace, rules: []rbacv1.PolicyRule{rule("", "configmaps", "list get"), rule("", "pods", "list"), rule("", "pods/proxy", "get")}},
		Permission{name: "faults", what: "faults in services", namespace: namespace, rules: []rbacv1.PolicyRule{
			rule("", "pods", "list watch"), rule("", "pods/proxy", "get create update delete"), rule("", "configmaps", "list get create update"), rule("", "secrets", "get"),
		}},
		Permission{name: "pod-faults", what: "kill and restart pods", namespace: namespace, rules: []rbacv1.PolicyRule{rule("", "pods", "list watch delete")}},
		Permission{name: "helpers", what: "faults on networks, processors and memory", namespace: nodehelper.Namespace, fixed: true, rules: []rbacv1.PolicyRule{
			rule("batch", "jobs", "get list watch create delete"), rule("", "configmaps secrets", "get list create update patch delete"),
			rule("", "pods", "get list watch create delete"), rule("", "pods/log", "get"), rule("", "pods/proxy", "get create update delete"), rule("", "serviceaccounts", "list watch"),
		}},
		Permission{name: "helper-namespace", what: "make the namespace of the helpers, and know the nodes", fixed: true, rules: []rbacv1.PolicyRule{
			rule("", "namespaces", "get list watch create"), rule("", "nodes", "get list"),
		}},
		Permission{name: "load", what: "generate load inside the cluster", namespace: namespace, rules: []rbacv1.PolicyRule{
			rule("batch", "jobs", "get list watch create patch delete deletecollection"), rule("", "secrets", "get create patch deletecollection"),
			rule("", "pods", "get list watch deletecollection"), rule("", "pods/log", "get"), rule("", "pods/proxy", "get create"), rule("", "events", "list"),
		}},
		Permission{name: "detach", what: "experiments that run on without this machine", namespace: namespace, rules: []rbacv1.PolicyRule{
			rule("", "serviceaccounts", "create patch deletecollection"), rule("rbac.authorization.k8s.io", "roles rolebindings", "create patch delete deletecollection"),
		}},
	)
}

// A question is whether the user has a right.
type question struct{ namespace, group, resource, verb string }

func (n *Permission) questions() []question {
	var all []question
	for _, r := range n.rules {
		for _, resource := range r.Resources {
			for _, verb := range r.Verbs {
				all = append(all, question{n.namespace, r.APIGroups[0], resource, verb})
			}
		}
	}
	return all
}

// review asks the API server which of the rights that are needed the user has.
func review(ctx context.Context, c *kubeapi.Client, needs []Permission) (map[question]bool, error) {
	may := map[question]bool{}
	var questions []question
	for i := range needs {
		for _, q := range needs[i].questions() {
			if _, asked := may[q]; !asked {
				may[q] = false
				questions = append(questions, q)
			}
		}
	}
	var mu sync.Mutex
	err := kubeapi.Each(len(questions), func(i int) error {
		allowed, err := allowedTo(ctx, c, questions[i])
		mu.Lock()
		defer mu.Unlock()
		may[questions[i]] = allowed
		return err
	})
	return may, kubeapi.Summarize(err)
}

func allowedTo(ctx context.Context, c *kubeapi.Client, q question) (bool, error) {
	resource, sub, _ := strings.Cut(q.resource, "/")
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: q.namespace, Verb: q.verb, Group: q.group, Resource: resource, Subresource: sub},
	}}
	answer, err := c.Clientset.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("asking whether %s on %s is allowed: %w", q.verb, q.resource, err)
	}
	return answer.Status.Allowed, nil
}

// lacking are the rules of a need that the user does not have, one for each
// resource.
func (n *Permission) lacking(may map[question]bool) []rbacv1.PolicyRule {
	var missing []rbacv1.PolicyRule
	for _, q := range n.questions() {
		if may[q] {
			continue
		}
		at := slices.IndexFunc(missing, func(r rbacv1.PolicyRule) bool { return r.APIGroups[0] == q.group && r.Resources[0] == q.resource })
		if at < 0 {
			missing = append(missing, rule(q.group, q.resource, ""))
			at = len(missing) - 1
		}
		if !slices.Contains(missing[at].Verbs, q.verb) {
			missing[at].Verbs = append(missing[at].Verbs, q.verb)
		}
	}
	return missing
}

// describeRules describes rules for people: list, watch pods; get pods/log.
func describeRules(rules []rbacv1.PolicyRule) string {
	var parts []string
	for _, r := range rules {
		parts = append(parts, strings.Join(r.Verbs, ", ")+" "+kubeapi.Right{Group: r.APIGroups[0], Resource: r.Resources[0]}.Full())
	}
	return strings.Join(parts, "; ")
}
