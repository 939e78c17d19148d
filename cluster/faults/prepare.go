package faults

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

const (
	// reserveFor is how long helpers outlive a program that was killed after it had
	// reserved them.
	reserveFor = 5 * time.Minute
	// renewEvery is how often a program that lives renews its reservation.
	renewEvery = 2 * time.Minute
)

// A reservation keeps the helpers of nodes running for faults to come.
type reservation struct {
	faults []fault.Fault
	// until is the end of the reservation, by node.
	until map[string]time.Time
}

// Prepare starts the helpers of all nodes that the faults will need, and returns when
// they are ready, so that the faults act as soon as they are injected. The helpers
// stay until the system is closed or, if this program is killed, for 5 minutes.
// Faults that need no helper need no preparation. A fault that cannot be injected is
// an error before anything is started.
func (inst *Instance) Prepare(ctx context.Context, faults []fault.Fault) error {
	for i := range faults {
		if err := inst.CanInject(&faults[i]); err != nil {
			return err
		}
	}
	faults = slices.DeleteFunc(slices.Clone(faults), func(f fault.Fault) bool { return !order.Takes(f.Type) })
	if len(faults) == 0 {
		return nil
	}
	if inst.isClosed() {
		return fmt.Errorf("starting the helpers of nodes before the faults: %w", errClosed)
	}
	if err := inst.reserve(ctx, faults); err != nil {
		return fmt.Errorf("starting the helpers of nodes before the faults: %w", err)
	}
	return nil
}

// reserve reserves the helpers of the nodes on which the targets of faults run now.
func (inst *Instance) reserve(ctx context.Context, faults []fault.Fault) error {
	v, err := inst.Look(ctx)
	if err != nil {
		return err
	}
	r := &reservation{faults: faults, until: map[string]time.Time{}}
	end := time.Now().Add(reserveFor)
	for _, p := range targetsOf(faults, v.Pods) {
		r.until[p.Spec.NodeName] = end
	}
	inst.mu.Lock()
	inst.reserved = r
	inst.mu.Unlock()
	return inst.reconcile(ctx)
}

// targetsOf lists the pods on which faults will act, as far as is known before: a
// fault in rounds may draw any of its service, or of the system.
func targetsOf(faults []fault.Fault, pods map[string][]*corev1.Pod) []*corev1.Pod {
	var found []*corev1.Pod
	for service, list := range pods {
		for i, p := range list {
			hit := slices.ContainsFunc(faults, func(f fault.Fault) bool {
				return f.Rounds != nil || f.Target.Service == service && (f.Target.Replica == 0 || f.Target.Replica == i+1)
			})
			if hit && nodehelper.Reachable(p) {
				found = append(found, p)
			}
		}
	}
	return found
}

// renew keeps what Prepare has reserved until ctx ends, also on the nodes of pods
// that came later.
func (inst *Instance) renew(ctx context.Context) {
	for watch.Pause(ctx, renewEvery) {
		inst.mu.Lock()
		r := inst.reserved
		inst.mu.Unlock()
		if r == nil || len(r.faults) == 0 {
			continue
		}
		if err := inst.reserve(ctx, r.faults); err != nil && ctx.Err() == nil {
			inst.Client.Config.Progress(fmt.Sprintf("the helpers of system %s may end before their faults come: %v", inst.System().Name, err))
		}
	}
}

// unreserve lets the helpers end that no fault needs any more. One that cannot be
// reached ends by itself when its reservation is over.
func (inst *Instance) unreserve(ctx context.Context) {
	inst.mu.Lock()
	r := inst.reserved
	if r != nil {
		inst.reserved = &reservation{until: map[string]time.Time{}}
	}
	inst.mu.Unlock()
	if r == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), kubeapi.ControlTimeout)
	defer cancel()
	if err := inst.reconcile(ctx); err != nil {
		inst.Client.Config.Progress(fmt.Sprintf("helpers of system %s end in %v: %v", inst.System().Name, reserveFor, err))
	}
}

// reservedNodes is what the reconciler reserves; nil if this program has reserved
// nothing.
func (inst *Instance) reservedNodes() map[string]time.Time {
	inst.mu.Lock()
	defer inst.mu.Unlock()
	if inst.reserved == nil {
		return nil
	}
	return inst.reserved.until
}
