package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

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
	// told are the containers that have got the faults, by containerKey.
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
func (d *Instance) Hold() error {
	h := &podWatcher{informed: map[string]bool{}}
	if !d.Client.Config.Inside {
		var err error
		if h.proxy, err = d.Client.ListenForPods(d.namespace); err != nil {
			return err
		}
	}
	ctx, end := context.WithCancel(context.Background())
	h.end = end
	d.mu.Lock()
	d.holder = h
	d.mu.Unlock()
	h.ended.Go(func() { d.watchPods(ctx, h) })
	h.ended.Go(func() { d.followPods(ctx) })
	return nil
}

// Release ends what hold has begun: nothing can be done to the system after that.
func (d *Instance) Release() error {
	d.mu.Lock()
	d.closed = true
	h := d.holder
	d.holder = nil
	d.mu.Unlock()
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
// of Replicas are those of a proxy here. Nothing is done to the system.
func (d *Instance) Reach() (end func() error, err error) {
	proxy, err := d.Client.ListenForPods(d.namespace)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reached = proxy
	return func() error {
		d.mu.Lock()
		d.reached = nil
		d.mu.Unlock()
		return proxy.Close()
	}, nil
}

// watchPods gives every container that becomes ready the faults of the record.
func (d *Instance) watchPods(ctx context.Context, h *podWatcher) {
	changed := watch.NewChanged()
	lw := watch.Labelled(d.Client.Clientset.CoreV1().RESTClient(), "pods", d.namespace, manifest.ServiceSelector(d.system.Name))
	pods := watch.Follow(ctx, lw, &corev1.Pod{}, changed)
	defer pods.Close()
	for {
		var again <-chan time.Time
		if pods.Synced() {
			later, err := d.syncNew(ctx, pods.Store.List(), h)
			if err != nil && ctx.Err() == nil {
				d.Client.Config.Progress(fmt.Sprintf("a pod of system %s could not be told its faults, trying again: %v", d.system.Name, err))
			}
			if later || err != nil {
				again = time.After(watch.Tick)
			}
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// syncNew gives the faults of the record to ready containers that have not got
// them, and notes these. Those that are paused have to be told later.
func (d *Instance) syncNew(ctx context.Context, objects []any, h *podWatcher) (later bool, err error) {
	var all []*corev1.Pod
	news := false
	for _, o := range objects {
		p := o.(*corev1.Pod)
		all, news = append(all, p), news || watch.Ready(p) && !h.knows(p)
	}
	if !news {
		return false, nil
	}
	faults, roster, err := d.recorded(ctx)
	if err != nil {
		return false, err
	}
	v := &view{faults: faults, Pods: roster.assign(d.system, all)}
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
		if err := d.syncPod(ctx, newcomers[i], indexes[i], faults); err != nil {
			return err
		}
		h.note(newcomers[i])
		return nil
	})
}

// syncPod gives a pod those faults that are meant for it.
func (d *Instance) syncPod(ctx context.Context, p *corev1.Pod, index int, faults []Injection) error {
	for _, in := range faults {
		if !in.inService() || !in.targets(p.Labels[manifest.ServiceLabel], index) {
			continue
		}
		if err := d.put(ctx, p.Name, &in); err != nil {
			return errors.Join(err, d.recheck(ctx, p.Name, in.ID))
		}
		if err := d.recheck(ctx, p.Name, in.ID); err != nil {
			return err
		}
	}
	return nil
}

// recheck takes a fault back that somebody has cleared while it was put.
func (d *Instance) recheck(ctx context.Context, pod, id string) error {
	faults, _, err := d.recorded(ctx)
	if err != nil || slices.ContainsFunc(faults, func(in Injection) bool { return in.ID == id }) {
		return err
	}
	return d.control(ctx, pod, "DELETE", control.FaultPath(id), nil, nil)
}

// ContainerKey changes when a pod's container is started again.
func ContainerKey(p *corev1.Pod) string {
	key := string(p.UID)
	for _, c := range p.Status.ContainerStatuses {
		key += "/" + c.ContainerID
	}
	return key
}
