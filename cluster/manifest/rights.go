package manifest

import (
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// Rights are what an experiment that runs in the cluster may do there: no more
// than what bringing its system up, loading it, breaking it and taking it down
// asks for. None of them reaches beyond a namespace.
type Rights struct {
	// System is the name of the system, whose own objects are named by it.
	System string
	// Pods is set where faults delete pods.
	Pods bool
	// Load is the name of the Job that the load comes from; empty where the
	// experiment generates it itself.
	Load string
}

// Rules are the rights in the namespace of the system.
func (r Rights) Rules() []rbacv1.PolicyRule {
	pods := []string{"get", "list", "watch", "deletecollection"}
	if r.Pods {
		pods = append(pods, "delete")
	}
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"list", "watch", "create", "patch", "deletecollection"}},
		{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: []string{"deletecollection"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: pods},
		{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		// Orders to the control port of services, and what they answer.
		{APIGroups: []string{""}, Resources: []string{"pods/proxy"}, Verbs: []string{"get", "create", "update", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"list", "create", "patch", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "create", "patch", "update", "deletecollection"}},
		// Of all Secrets, the one with the token of the system.
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{ObjectName(r.System)}, Verbs: []string{"get", "create", "patch", "delete"}},
	}
	if r.Load == "" {
		return rules
	}
	return append(rules,
		rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, ResourceNames: []string{r.Load}, Verbs: []string{"get", "create", "patch", "delete"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{r.Load}, Verbs: []string{"create", "patch", "delete"}},
	)
}

// HelperRules are the rights in the namespace of the helpers of nodes, which an
// experiment gets where NeedsHelpers says so.
func HelperRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"get", "list", "watch", "create", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch", "create", "patch", "update", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "create", "patch", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"pods/proxy"}, Verbs: []string{"get", "create", "update", "delete"}},
	}
}

// NeedsHelpers reports whether an experiment has faults that only a helper on
// the node of a pod can carry out.
func NeedsHelpers(e *experiment.Experiment) bool {
	return anyFault(e, func(f *fault.Fault, layer fault.Layer) bool {
		return layer == fault.OnNetwork || layer == fault.OnEdge || layer == fault.OnHost || f.Type == fault.Pause
	})
}

// DeletesPods reports whether an experiment has faults that delete pods.
func DeletesPods(e *experiment.Experiment) bool {
	return anyFault(e, func(f *fault.Fault, layer fault.Layer) bool { return layer == fault.OnProcess && f.Type != fault.Pause })
}

// anyFault reports whether a fault of an experiment is of some kind. Its variants
// have no others.
func anyFault(e *experiment.Experiment, is func(*fault.Fault, fault.Layer) bool) bool {
	for i := range e.Faults {
		if entry, ok := fault.Lookup(e.Faults[i].Type); ok && is(&e.Faults[i], entry.Layer) {
			return true
		}
	}
	return false
}
