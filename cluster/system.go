package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An Instance is a system that runs on a cluster, with its replicas and the faults that
// act in it. Its methods may be called at the same time.
type Instance struct {
	c         *Client
	system    *topology.System
	namespace string
	token     string

	mu     sync.Mutex
	holder *holder // nil while nobody holds the system
	// reached is the proxy of one who only looks at the system.
	reached *podProxy
	closed  bool
	// followed is set while somebody waits for faults and follows the pods.
	followed bool
}

func newInstance(c *Client, system *topology.System, namespace, token string) *Instance {
	return &Instance{c: c, system: system, namespace: namespace, token: token}
}

// System describes the system. It must not be changed.
func (d *Instance) System() *topology.System { return d.system }

// Namespace is where the system runs.
func (d *Instance) Namespace() string { return d.namespace }

// A view is what pods and the record of faults say at a moment.
type view struct {
	// pods are those of each service, absent ones included, by replica.
	pods map[string][]*corev1.Pod
	// faults are those that are to act, the oldest first.
	faults []injection
	// replaced counts the pods that each replica has lost to faults.
	replaced map[string]int
}

// look asks for the pods of the system and the record of its faults.
func (d *Instance) look(ctx context.Context) (*view, error) {
	var list *corev1.PodList
	var faults []injection
	var roster roster
	err := each(2, func(i int) (err error) {
		if i == 0 {
			faults, roster, err = d.recorded(ctx)
			return err
		}
		if list, err = d.c.client.CoreV1().Pods(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.ServiceSelector(d.system.Name)}); err != nil {
			return fmt.Errorf("listing the pods of system %q: %w", d.system.Name, explain(err))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	pods := roster.arrange(d.system, all)
	return &view{pods: pods, faults: faults, replaced: roster.replaced(pods)}, nil
}

// pods lists the pods of each service, in the order of their indexes. Where a
// replica has no pod, there is one that is absent, and never ready.
func (d *Instance) pods(ctx context.Context) (map[string][]*corev1.Pod, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	return v.pods, nil
}

// Replicas lists the pods in the order of the system's file. Their URLs are
// those of a proxy on this machine while the system is held, and those of the
// pods else. A replica whose pod has gone is down until there is another.
func (d *Instance) Replicas(ctx context.Context) ([]experiment.Replica, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	var replicas []experiment.Replica
	for i := range d.system.Services {
		replicas = append(replicas, d.replicasOf(d.system.Services[i].Name, v)...)
	}
	return replicas, nil
}

func (d *Instance) replicasOf(service string, v *view) []experiment.Replica {
	d.mu.Lock()
	holder, proxy := d.holder, d.reached
	d.mu.Unlock()
	if holder != nil {
		proxy = holder.proxy
	}
	pods := v.pods[service]
	replicas := make([]experiment.Replica, 0, len(pods))
	for i, p := range pods {
		r := experiment.Replica{
			Service: service, Index: i + 1, State: podState(p), Since: p.CreationTimestamp.Time, Restarts: v.replaced[replicaName(service, i+1)],
		}
		for _, c := range p.Status.ContainerStatuses {
			r.Restarts += int(c.RestartCount)
		}
		if c := condition(p, corev1.PodReady); c != nil && !c.LastTransitionTime.IsZero() {
			r.Since = changedBy(c.LastTransitionTime.Time)
		}
		if r.State == experiment.Ready && holder != nil && !holder.knows(p) && v.targeted(service, i+1) {
			r.State = experiment.Starting // it has not got its faults yet
		}
		if present(p) && v.paused(service, i+1) {
			r.State = experiment.Paused
		}
		switch {
		case !present(p):
		case proxy != nil:
			r.URL, r.ControlURL = proxy.url(p.Name), proxy.controlURL(p.Name)
		case p.Status.PodIP != "":
			r.URL = fmt.Sprintf("http://%s:%d", p.Status.PodIP, manifest.HTTPPort)
			if d.c.config.Inside {
				// Pods come and go; the load goes where that of other pods goes.
				r.Entrance = "http://" + service
			}
		}
		replicas = append(replicas, r)
	}
	return replicas
}

// targeted reports whether a fault in the service is meant for a replica.
func (v *view) targeted(service string, index int) bool {
	return slices.ContainsFunc(v.faults, func(in injection) bool { return in.inService() && in.targets(service, index) })
}

// changedBy returns when something had surely happened that the API server dates
// with whole seconds.
func changedBy(t time.Time) time.Time {
	end := t.Add(time.Second)
	if now := time.Now(); now.Before(end) {
		return now
	}
	return end
}

func podState(p *corev1.Pod) experiment.State {
	if !present(p) {
		return experiment.Down
	}
	if ready(p) {
		return experiment.Ready
	}
	if t := diagnosePod(p); t != nil && t.crashed != "" || p.Status.Phase == corev1.PodFailed {
		return experiment.Down
	}
	return experiment.Starting
}
