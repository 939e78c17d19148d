package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// A holder looks after a system for as long as the program that deployed it
// lives: pods that appear get the faults that act, and a proxy makes pods
// reachable from this machine.
type holder struct {
	// proxy is nil where pods are reached without one.
	proxy *podProxy
	end   context.CancelFunc
	ended sync.WaitGroup

	mu sync.Mutex
	// told are the containers that have got the faults, by containerKey.
	told map[string]bool
}

// knows reports whether a pod has got the faults that were there when it became
// ready.
func (h *holder) knows(p *corev1.Pod) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told[containerKey(p)]
}

func (h *holder) note(p *corev1.Pod) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told[containerKey(p)] = true
}

// hold begins to look after the system.
func (d *Instance) hold() error {
	h := &holder{told: map[string]bool{}}
	if !d.c.config.Inside {
		var err error
		if h.proxy, err = d.c.newProxy(d.namespace); err != nil {
			return err
		}
	}
	ctx, end := context.WithCancel(context.Background())
	h.end = end
	d.mu.Lock()
	d.holder = h
	d.mu.Unlock()
	h.ended.Go(func() { d.lookAfter(ctx, h) })
	h.ended.Go(func() { d.followPods(ctx) })
	return nil
}

// release ends what hold has begun: nothing can be done to the system after that.
func (d *Instance) release() error {
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
	return h.proxy.close()
}

// Reach makes the pods reachable from this machine: until end is called, the URLs
// of Replicas are those of a proxy here. Nothing is done to the system.
func (d *Instance) Reach() (end func() error, err error) {
	proxy, err := d.c.newProxy(d.namespace)
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
		return proxy.close()
	}, nil
}

// lookAfter gives every container that becomes ready the faults of the record.
func (d *Instance) lookAfter(ctx context.Context, h *holder) {
	changed := newChanged()
	lw := labelled(d.c.client.CoreV1().RESTClient(), "pods", d.namespace, manifest.ServiceSelector(d.system.Name))
	pods := follow(ctx, lw, &corev1.Pod{}, changed)
	defer pods.close()
	for {
		var again <-chan time.Time
		if pods.synced() {
			later, err := d.tellNew(ctx, pods.store.List(), h)
			if err != nil && ctx.Err() == nil {
				d.c.config.Progress(fmt.Sprintf("a pod of system %s could not be told its faults, trying again: %v", d.system.Name, err))
			}
			if later || err != nil {
				again = time.After(tick)
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

// tellNew gives the faults of the record to ready containers that have not got
// them, and notes these. Those that are paused have to be told later.
func (d *Instance) tellNew(ctx context.Context, objects []any, h *holder) (later bool, err error) {
	var all []*corev1.Pod
	news := false
	for _, o := range objects {
		p := o.(*corev1.Pod)
		all, news = append(all, p), news || ready(p) && !h.knows(p)
	}
	if !news {
		return false, nil
	}
	faults, roster, err := d.recorded(ctx)
	if err != nil {
		return false, err
	}
	v := &view{faults: faults, pods: roster.arrange(d.system, all)}
	var newcomers []*corev1.Pod
	var indexes []int
	for service, pods := range v.pods {
		for i, p := range pods {
			switch {
			case !ready(p) || h.knows(p):
			case v.paused(service, i+1):
				later = true
			default:
				newcomers, indexes = append(newcomers, p), append(indexes, i+1)
			}
		}
	}
	return later, each(len(newcomers), func(i int) error {
		if err := d.tellOne(ctx, newcomers[i], indexes[i], faults); err != nil {
			return err
		}
		h.note(newcomers[i])
		return nil
	})
}

// tellOne gives a pod those faults that are meant for it.
func (d *Instance) tellOne(ctx context.Context, p *corev1.Pod, index int, faults []injection) error {
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
	if err != nil || slices.ContainsFunc(faults, func(in injection) bool { return in.ID == id }) {
		return err
	}
	return d.order(ctx, pod, "DELETE", faultPath(id), nil, nil)
}

// containerKey changes when a pod's container is started again.
func containerKey(p *corev1.Pod) string {
	key := string(p.UID)
	for _, c := range p.Status.ContainerStatuses {
		key += "/" + c.ContainerID
	}
	return key
}
