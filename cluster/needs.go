package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// helperNamespaceName is where the helpers are that break networks and take
// processors away.
const helperNamespaceName = "microsim-system"

// A need is the rights without which something does not work.
type need struct {
	name, what string
	// namespace is where they are needed; empty is everywhere, or nowhere in
	// particular.
	namespace string
	rules     []rbacv1.PolicyRule
}

func rule(group, resources string, verbs string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs)}
}

// needsIn lists what commands need, of systems in a namespace. Where none is
// named, systems get namespaces of their own, so it is needed everywhere.
func needsIn(namespace string) []need {
	up := []rbacv1.PolicyRule{
		rule("apps", "deployments", "list watch create patch delete deletecollection"),
		rule("apps", "replicasets", "deletecollection"),
		rule("", "pods", "list watch deletecollection"),
		rule("", "pods/log", "get"),
		rule("", "pods/proxy", "get"),
		rule("", "services", "list create patch delete"),
		rule("", "configmaps secrets", "get list create patch delete deletecollection"),
	}
	needs := []need{{"up", "bring systems up, show them and take them down", namespace, up}}
	if namespace == "" {
		needs = append(needs, need{"namespaces", "give systems namespaces of their own", "", []rbacv1.PolicyRule{
			rule("", "namespaces", "get list watch create patch delete"), rule("", "persistentvolumeclaims", "list"),
		}})
	}
	return append(needs,
		need{"call", "send requests to systems", namespace, []rbacv1.PolicyRule{rule("", "configmaps", "list"), rule("", "services/proxy", "get create")}},
		need{"logs", "read what services print", namespace, []rbacv1.PolicyRule{rule("", "configmaps", "list get"), rule("", "pods", "list watch"), rule("", "pods/log", "get")}},
		need{"top", "see how services are", namespace, []rbacv1.PolicyRule{rule("", "configmaps", "list get"), rule("", "pods", "list"), rule("", "pods/proxy", "get")}},
		need{"faults", "faults in services", namespace, []rbacv1.PolicyRule{
			rule("", "pods", "list watch"), rule("", "pods/proxy", "get create update delete"), rule("", "configmaps", "list get create update"), rule("", "secrets", "get"),
		}},
		need{"pod-faults", "kill and restart pods", namespace, []rbacv1.PolicyRule{rule("", "pods", "list watch delete")}},
		need{"helpers", "faults on networks, processors and memory", helperNamespaceName, []rbacv1.PolicyRule{
			rule("batch", "jobs", "get list watch create delete"), rule("", "configmaps secrets", "get list create update patch delete"),
			rule("", "pods", "get list watch create delete"), rule("", "pods/log", "get"), rule("", "pods/proxy", "get create update delete"), rule("", "serviceaccounts", "list watch"),
		}},
		need{"helper-namespace", "make the namespace of the helpers, and know the nodes", "", []rbacv1.PolicyRule{
			rule("", "namespaces", "get list watch create"), rule("", "nodes", "get list"),
		}},
		need{"load", "generate load inside the cluster", namespace, []rbacv1.PolicyRule{
			rule("batch", "jobs", "get list watch create patch delete deletecollection"), rule("", "secrets", "get create patch deletecollection"),
			rule("", "pods", "get list watch deletecollection"), rule("", "pods/log", "get"), rule("", "pods/proxy", "get create"), rule("", "events", "list"),
		}},
		need{"detach", "experiments that run on without this machine", namespace, []rbacv1.PolicyRule{
			rule("", "serviceaccounts", "get create patch delete"), rule("rbac.authorization.k8s.io", "roles rolebindings", "get create patch delete"),
		}},
	)
}

// lacking asks the API server which of the rights of a need the user does not
// have.
func (c *Cluster) lacking(ctx context.Context, n *need) ([]rbacv1.PolicyRule, error) {
	type question struct{ group, resource, verb string }
	var questions []question
	for _, r := range n.rules {
		for _, resource := range r.Resources {
			for _, verb := range r.Verbs {
				questions = append(questions, question{r.APIGroups[0], resource, verb})
			}
		}
	}
	may := make([]bool, len(questions))
	err := each(len(questions), func(i int) error {
		q := questions[i]
		resource, sub, _ := strings.Cut(q.resource, "/")
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: n.namespace, Verb: q.verb, Group: q.group, Resource: resource, Subresource: sub},
		}}
		answer, err := c.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("asking whether %s on %s is allowed: %w", q.verb, q.resource, err)
		}
		may[i] = answer.Status.Allowed
		return nil
	})
	if err != nil {
		return nil, summarize(err)
	}
	var missing []rbacv1.PolicyRule
	for i, q := range questions {
		if may[i] {
			continue
		}
		at := slices.IndexFunc(missing, func(r rbacv1.PolicyRule) bool { return r.APIGroups[0] == q.group && r.Resources[0] == q.resource })
		if at < 0 {
			missing = append(missing, rbacv1.PolicyRule{APIGroups: []string{q.group}, Resources: []string{q.resource}})
			at = len(missing) - 1
		}
		if !slices.Contains(missing[at].Verbs, q.verb) {
			missing[at].Verbs = append(missing[at].Verbs, q.verb)
		}
	}
	return missing, nil
}

// words describes rules for people: list, watch pods; get pods/log.
func words(rules []rbacv1.PolicyRule) string {
	var parts []string
	for _, r := range rules {
		parts = append(parts, strings.Join(r.Verbs, ", ")+" "+right{group: r.APIGroups[0], resource: r.Resources[0]}.full())
	}
	return strings.Join(parts, "; ")
}
