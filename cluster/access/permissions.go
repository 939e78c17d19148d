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
	"github.com/microsim-dev/kubectl-microsim/cluster/rights"
)

// A Permission is the rights without which something does not work.
type Permission struct {
	rights.Purpose
	// namespace is where they are needed; empty is everywhere, or nowhere in
	// particular.
	namespace string
}

func rule(group, resources string, verbs string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs)}
}

// permissionsIn lists what commands need, of systems in a namespace. If none is
// named, systems get namespaces of their own, so they need it everywhere.
func permissionsIn(namespace string) []Permission {
	var all []Permission
	for _, p := range rights.Purposes() {
		if p.Optional || p.Name == "namespaces" && namespace != "" {
			continue
		}
		permission := Permission{Purpose: p}
		switch p.Scope {
		case rights.Systems:
			permission.namespace = namespace
		case rights.Helpers:
			permission.namespace = nodehelper.Namespace
		case rights.Cluster:
		}
		all = append(all, permission)
	}
	return all
}

// A question is whether the user has a right.
type question struct{ namespace, group, resource, verb string }

func (n *Permission) questions() []question {
	var all []question
	for _, r := range n.Rules() {
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
