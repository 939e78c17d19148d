package manifest

import (
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/rights"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// Rights say what an experiment that runs in the cluster does there. None of its
// rights reaches beyond a namespace.
type Rights struct {
	// System is the name of the system, whose own objects are named by it.
	System string
	// Pods is set if faults delete pods.
	Pods bool
	// Load is the name of the Job that the load comes from; empty if the experiment
	// generates it itself.
	Load string
	// HelperOrders and HelperTokens name the ConfigMaps and Secrets of the helpers that
	// were made for the experiment.
	HelperOrders, HelperTokens []string
}

// Rules are the rights in the namespace of the system.
func (r Rights) Rules() []rbacv1.PolicyRule { return rights.RulesOf(r.run(), rights.Systems) }

// HelperRules are the rights in the namespace of the helpers of nodes, which an
// experiment gets if NeedsHelpers says so.
func (r Rights) HelperRules() []rbacv1.PolicyRule { return rights.RulesOf(r.run(), rights.Helpers) }

func (r Rights) run() rights.Run {
	return rights.Run{
		SystemObject: ObjectName(r.System), Kills: r.Pods, LoadObject: r.Load, HelperOrders: r.HelperOrders, HelperTokens: r.HelperTokens,
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
