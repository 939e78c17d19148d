package faults

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

var _ runner.Watcher = (*Instance)(nil)

// recordEvery is when the record of faults is read again though no pod has changed and
// this program has changed no fault: another program may have.
const recordEvery = 5 * time.Second

// Watch tells of every replica as it is, and then of each change, as the API server
// reports it, until ctx ends. A replica that is not ready is detected by then: anyone
// who watches the pods can tell.
func (inst *Instance) Watch(ctx context.Context, changed func(runner.Replica)) {
	w := watch.Begin(ctx)
	defer w.Close()
	pods := watch.Follow(w, watch.PodsOf(inst.Client.Clientset, inst.namespace, manifest.ServiceSelector(inst.System().Name)), &corev1.Pod{})
	defer inst.wakeOnChange(w.Wake)()
	known := map[string]runner.Replica{}
	_ = w.Until(ctx, watch.Condition{Every: recordEvery, Holds: func(ctx context.Context) (bool, error) {
		seen := time.Now()
		v, err := inst.viewOf(ctx, pods())
		if err != nil {
			w.WakeAfter(watch.Tick)
			return false, nil //nolint:nilerr // what was missed is seen by the next look
		}
		for _, r := range inst.replicasIn(v) {
			name := replicaName(r.Service, r.Index)
			before, told := known[name]
			if r.State != runner.Ready {
				r.Detected = seen
				if told && before.State != runner.Ready && before.Restarts == r.Restarts {
					r.Detected = before.Detected // the outage goes on
				}
			}
			if told && before.State == r.State && before.Restarts == r.Restarts && before.URL == r.URL {
				continue
			}
			known[name] = r
			changed(r)
		}
		return false, nil
	}})
}

// viewOf is a view of these pods, with the record of faults as it is now.
func (inst *Instance) viewOf(ctx context.Context, all []*corev1.Pod) (*view, error) {
	faults, numbers, err := inst.recorded(ctx)
	if err != nil {
		return nil, err
	}
	pods := numbers.assign(inst.System(), all)
	return &view{Pods: pods, faults: faults, replaced: numbers.replaced(pods)}, nil
}

// wakeOnChange has wake called when this program has changed what replicas are by other
// means than their pods, until end is called.
func (inst *Instance) wakeOnChange(wake func()) (end func()) {
	inst.mu.Lock()
	defer inst.mu.Unlock()
	inst.watcherCount++
	id := inst.watcherCount
	if inst.watchers == nil {
		inst.watchers = map[int]func(){}
	}
	inst.watchers[id] = wake
	return func() {
		inst.mu.Lock()
		defer inst.mu.Unlock()
		delete(inst.watchers, id)
	}
}

// changed wakes those who watch the replicas.
func (inst *Instance) changed() {
	inst.mu.Lock()
	defer inst.mu.Unlock()
	for _, wake := range inst.watchers {
		wake()
	}
}
