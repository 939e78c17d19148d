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
	proxy *podProxy
	end   context.CancelFunc
	ended sync.WaitGroup
}

// hold begins to look after the system.
func (d *Deployment) hold() error {
	proxy, err := d.newProxy()
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(context.Background())
	h := &holder{proxy: proxy, end: end}
	d.mu.Lock()
	d.holder = h
	d.mu.Unlock()
	h.ended.Go(func() { d.lookAfter(ctx) })
	return nil
}

// release ends what hold has begun.
func (d *Deployment) release() error {
	d.mu.Lock()
	h := d.holder
	d.holder = nil
	d.mu.Unlock()
	if h == nil {
		return nil
	}
	h.end()
	h.ended.Wait()
	return h.proxy.close()
}

// lookAfter gives every container that becomes ready the faults of the record.
func (d *Deployment) lookAfter(ctx context.Context) {
	changed := newChanged()
	lw := labelled(d.c.client.CoreV1().RESTClient(), "pods", d.namespace, manifest.Selector(d.system.Name))
	pods := follow(ctx, lw, &corev1.Pod{}, changed)
	defer pods.close()
	// told are the containers that know the faults, by pod and restarts.
	told := map[string]bool{}
	for {
		var again <-chan time.Time
		if pods.synced() {
			if err := d.tellNew(ctx, pods.store.List(), told); err != nil && ctx.Err() == nil {
				d.c.config.Progress(fmt.Sprintf("a pod of system %s could not be told its faults, trying again: %v", d.system.Name, err))
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
// them, and marks these as told.
func (d *Deployment) tellNew(ctx context.Context, objects []any, told map[string]bool) error {
	var all []*corev1.Pod
	for _, o := range objects {
		all = append(all, o.(*corev1.Pod))
	}
	type newcomer struct {
		pod   *corev1.Pod
		key   string
		index int
	}
	var newcomers []newcomer
	for _, pods := range byService(all) {
		for i, p := range pods {
			if key := containerKey(p); ready(p) && !told[key] {
				newcomers = append(newcomers, newcomer{p, key, i + 1})
			}
		}
	}
	if len(newcomers) == 0 {
		return nil
	}
	faults, err := d.recorded(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	return each(len(newcomers), func(i int) error {
		n := newcomers[i]
		for _, in := range faults {
			if !in.targets(n.pod.Labels[manifest.ServiceLabel], n.index) {
				continue
			}
			if err := d.put(ctx, n.pod.Name, &in); err != nil {
				return errors.Join(err, d.recheck(ctx, n.pod.Name, in.ID))
			}
			if err := d.recheck(ctx, n.pod.Name, in.ID); err != nil {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		told[n.key] = true
		return nil
	})
}

// recheck takes a fault back that somebody has cleared while it was put.
func (d *Deployment) recheck(ctx context.Context, pod, id string) error {
	faults, err := d.recorded(ctx)
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
