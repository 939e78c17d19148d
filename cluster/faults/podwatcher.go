package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// A podWatcher looks after a system for as long as the program that deployed it
// lives: pods that appear get the faults that act, and a proxy makes pods
// reachable from this machine.
type podWatcher struct {
	// proxy is nil where pods are reached without one.
	proxy *kubeapi.PodProxy
	end   context.CancelFunc
	ended sync.WaitGroup

	mu sync.Mutex
	// informed are the containers that have got the faults, by ContainerKey.
	informed map[string]bool
}

// knows reports whether a pod has got the faults that were there when it became
// ready.
func (h *podWatcher) knows(p *corev1.Pod) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.informed[ContainerKey(p)]
}

func (h *podWatcher) note(p *corev1.Pod) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.informed[ContainerKey(p)] = true
}

// Hold begins to look after the system.
func (inst *Instance) Hold() error {
	h := &podWatcher{informed: map[string]bool{}}
	if !inst.Client.Config.Inside {
		var err error
		if h.proxy, err = inst.Client.ListenForPods(inst.namespace); err != nil {
			return err
		}
	}
	ctx, end := context.WithCancel(context.Background())
	h.end = end
	inst.mu.Lock()
	inst.holder = h
	inst.mu.Unlock()
	h.ended.Go(func() { inst.watchPods(ctx, h) })
	h.ended.Go(func() { inst.followPods(ctx) })
	h.ended.Go(func() { inst.renew(ctx) })
	return nil
}

// Release ends what hold has begun: nothing can be done to the system after that.
func (inst *Instance) Release() error {
	inst.mu.Lock()
	inst.closed = true
	h := inst.holder
	inst.holder = nil
	inst.mu.Unlock()
	if h == nil {
		return nil
	}
	h.end()
	h.ended.Wait()
	if h.proxy == nil {
		return nil
	}
	return h.proxy.Close()
}

// Reach makes the pods reachable from this machine: until end is called, the URLs
// of Replicas are those of a proxy here. It does not change the system.
func (inst *Instance) Reach() (end func() error, err error) {
	proxy, err := inst.Client.ListenForPods(inst.namespace)
	if err != nil {
		return nil, err
	}
	inst.mu.Lock()
	defer inst.mu.Unlock()
	inst.reached = proxy
	return func() error {
		inst.mu.Lock()
		inst.reached = nil
		inst.mu.Unlock()
		return proxy.Close()
	}, nil
}

// Denied says why the API server lets this user not reach the pods, although Reach has
// made them reachable; nil if it does, or none has been asked yet.
func (inst *Instance) Denied() error {
	inst.mu.Lock()
	proxy := inst.reached
	inst.mu.Unlock()
	if proxy == nil {
		return nil
	}
	return proxy.Denied()
}

// watchPods gives every container that becomes ready the faults of the record.
func (inst *Instance) watchPods(ctx context.Context, h *podWatcher) {
	w := watch.Begin(ctx)
	w.Tell = inst.Client.Once
	defer w.Close()
	pods := watch.Follow(w, watch.PodsOf(inst.Client.Clientset, inst.namespace, manifest.ServiceSelector(inst.System().Name)), &corev1.Pod{})
	err := w.Until(ctx, watch.Condition{Holds: func(ctx context.Context) (bool, error) {
		later, err := inst.syncNew(ctx, pods(), h)
		if err != nil && ctx.Err() == nil {
			inst.Client.Config.Progress(fmt.Sprintf("a pod of system %s did not get its faults, trying again: %v", inst.System().Name, err))
		}
		if later || err != nil {
			w.WakeAfter(watch.Tick)
		}
		return false, nil
	}})
	if ctx.Err() == nil {
		inst.Client.Config.Progress(fmt.Sprintf("pods of system %s that come later do not get its faults: %v", inst.System().Name, err))
		<-ctx.Done()
	}
}

// syncNew gives the faults of the record to ready containers that have not got
// them, and notes these. Paused ones get them later.
func (inst *Instance) syncNew(ctx context.Context, all []*corev1.Pod, h *podWatcher) (later bool, err error) {
	if !slices.ContainsFunc(all, func(p *corev1.Pod) bool { return watch.Ready(p) && !h.knows(p) }) {
		return false, nil
	}
	faults, numbers, err := inst.recorded(ctx)
	if err != nil {
		return false, err
	}
	v := &view{faults: faults, Pods: numbers.assign(inst.System(), all)}
	var newcomers []*corev1.Pod
	var indexes []int
	for service, pods := range v.Pods {
		for i, p := range pods {
			switch {
			case !watch.Ready(p) || h.knows(p):
			case v.paused(service, i+1):
				later = true
			default:
				newcomers, indexes = append(newcomers, p), append(indexes, i+1)
			}
		}
	}
	return later, kubeapi.Each(len(newcomers), func(i int) error {
		if err := inst.syncPod(ctx, newcomers[i], indexes[i], faults); err != nil {
			return err
		}
		h.note(newcomers[i])
		inst.changed()
		return nil
	})
}

// syncPod gives a pod those faults that are meant for it.
func (inst *Instance) syncPod(ctx context.Context, p *corev1.Pod, index int, faults []Injection) error {
	service := p.Labels[manifest.ServiceLabel]
	for _, in := range faults {
		if !in.inService() || !in.targets(service, index) {
			continue
		}
		if err := inst.put(ctx, service, p.Name, &in); err != nil {
			return errors.Join(err, inst.recheck(ctx, service, p.Name, in.ID))
		}
		if err := inst.recheck(ctx, service, p.Name, in.ID); err != nil {
			return err
		}
	}
	return nil
}

// recheck takes a fault back that somebody has cleared while it was put.
func (inst *Instance) recheck(ctx context.Context, service, pod, put string) error {
	faults, _, err := inst.recorded(ctx)
	if err != nil || slices.ContainsFunc(faults, func(in Injection) bool { return in.ID == put }) {
		return err
	}
	return inst.control(ctx, service, pod, "DELETE", control.FaultPath(put), nil, nil)
}

// ContainerKey changes when a pod's container is started again.
func ContainerKey(p *corev1.Pod) string {
	key := string(p.UID)
	for _, c := range p.Status.ContainerStatuses {
		key += "/" + c.ContainerID
	}
	return key
}
