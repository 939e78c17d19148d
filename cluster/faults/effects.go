package faults

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// An Effect is what a fault would do to one pod.
type Effect struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Node      string `json:"node"`
	// Waits is set where the pod does not run, so that nothing happens to it
	// unless somebody follows the pods.
	Waits bool        `json:"waits,omitempty"`
	Fault order.Fault `json:"fault"`
}

// EffectsOf lists what desired faults do, by node and pod.
func EffectsOf(desired []nodehelper.DesiredFault) []Effect {
	effects := []Effect{}
	for _, d := range desired {
		for _, p := range d.Pods {
			if !Present(p) {
				continue
			}
			effects = append(effects, Effect{Namespace: p.Namespace, Pod: p.Name, Node: p.Spec.NodeName, Waits: !nodehelper.Reachable(p), Fault: d.Fault})
		}
	}
	slices.SortFunc(effects, func(a, b Effect) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod))
	})
	return effects
}

// Plan returns what a fault would do. It changes nothing.
func (inst *Instance) Plan(ctx context.Context, id string, f fault.Fault, deadline time.Time) ([]Effect, error) {
	if err := inst.CanInject(&f); err != nil {
		return nil, err
	}
	pods, err := inst.Pods(ctx)
	if err != nil {
		return nil, err
	}
	in := newInjection(inst.System(), id, f, deadline)
	if order.Takes(f.Type) {
		desired, err := desiredFaults([]Injection{in}, pods)
		return EffectsOf(desired), err
	}
	d := nodehelper.DesiredFault{Fault: order.Fault{ID: id, Fault: in.Fault, Deadline: deadline}}
	for _, r := range in.meant(pods) {
		d.Pods = append(d.Pods, r.pod)
	}
	return EffectsOf([]nodehelper.DesiredFault{d}), nil
}
