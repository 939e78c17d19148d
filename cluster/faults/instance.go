// Package faults lets faults act in a system that runs on a cluster. A ConfigMap
// records them; from it, pods that appear later get their faults, and another
// program can list and clear them.
package faults

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// An Instance is a system that runs on a cluster, with its replicas and the faults that
// act in it. Its methods may be called at the same time.
type Instance struct {
	Client *kubeapi.Client
	// system changes while it runs.
	system    atomic.Pointer[topology.System]
	namespace string

	// mu guards the fields below. It is never held over a request: one that hangs
	// must not keep Release and Active waiting.
	mu     sync.Mutex
	token  string      // "" while it has not been read from its Secret
	holder *podWatcher // nil while this program does not hold the system
	// reached is the proxy of a program that only looks at the system.
	reached *kubeapi.PodProxy
	closed  bool
	// followed is set while this program waits for faults and follows the pods.
	followed bool

	// watchers wake those who watch the replicas; watcherCount is how many there have been.
	watchers     map[int]func()
	watcherCount int

	// reserved is what Prepare has reserved; nil if it has not.
	reserved *reservation

	// helpers remembers where helpers have answered.
	helpers nodehelper.Addresses
}

// NewInstance returns a system that runs in a namespace. An empty token is read from
// the system's Secret when it is needed.
func NewInstance(c *kubeapi.Client, system *topology.System, namespace, token string) *Instance {
	inst := &Instance{Client: c, namespace: namespace, token: token}
	inst.SetSystem(system)
	return inst
}

// System returns the description of the system, which must not be changed.
func (inst *Instance) System() *topology.System { return inst.system.Load() }

// SetSystem says that the system is another one now, of the same name.
func (inst *Instance) SetSystem(system *topology.System) {
	inst.system.Store(system)
	inst.changed()
}

// Namespace is where the system runs.
func (inst *Instance) Namespace() string { return inst.namespace }

// A view is what pods and the record of faults say at a moment.
type view struct {
	// Pods are those of each service, absent ones included, by replica.
	Pods map[string][]*corev1.Pod
	// faults are those that are to act, the oldest first.
	faults []Injection
	// replaced counts the pods that each replica has lost to faults.
	replaced map[string]int
}

// Look asks for the pods of the system and the record of its faults.
func (inst *Instance) Look(ctx context.Context) (*view, error) {
	var list *corev1.PodList
	var faults []Injection
	var numbers ordinals
	err := kubeapi.Each(2, func(i int) (err error) {
		if i == 0 {
			faults, numbers, err = inst.recorded(ctx)
			return err
		}
		if list, err = inst.Client.Clientset.CoreV1().Pods(inst.namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.ServiceSelector(inst.System().Name)}); err != nil {
			return fmt.Errorf("listing the pods of system %q: %w", inst.System().Name, kubeapi.Explain(err))
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
	pods := numbers.assign(inst.System(), all)
	return &view{Pods: pods, faults: faults, replaced: numbers.replaced(pods)}, nil
}

// Pods lists the pods of each service, in the order of their indexes. Where a
// replica has no pod, there is one that is absent, and never ready.
func (inst *Instance) Pods(ctx context.Context) (map[string][]*corev1.Pod, error) {
	v, err := inst.Look(ctx)
	if err != nil {
		return nil, err
	}
	return v.Pods, nil
}

// Replicas lists the pods in the order of the system's file. Their URLs are
// those of a proxy on this machine while the system is held, and those of the
// pods else. A replica whose pod has gone is down until there is another.
func (inst *Instance) Replicas(ctx context.Context) ([]runner.Replica, error) {
	v, err := inst.Look(ctx)
	if err != nil {
		return nil, err
	}
	return inst.replicasIn(v), nil
}

// replicasIn lists the replicas of all services, of which a change may add and remove
// some meanwhile.
func (inst *Instance) replicasIn(v *view) (replicas []runner.Replica) {
	services := inst.System().Services
	for i := range services {
		replicas = append(replicas, inst.ReplicasOf(services[i].Name, v)...)
	}
	return replicas
}

// ReplicasOf lists the replicas of one service, by their index.
func (inst *Instance) ReplicasOf(service string, v *view) []runner.Replica {
	inst.mu.Lock()
	holder, proxy := inst.holder, inst.reached
	inst.mu.Unlock()
	if holder != nil {
		proxy = holder.proxy
	}
	if proxy != nil {
		proxy.SetPods(v.ports())
	}
	pods := v.Pods[service]
	replicas := make([]runner.Replica, 0, len(pods))
	t := inst.System().Service(service)
	silent := t != nil && !t.ObeysContract()
	for i, p := range pods {
		r := runner.Replica{
			Service: service, Index: i + 1, State: podState(p), Since: p.CreationTimestamp.Time, Restarts: v.replaced[replicaName(service, i+1)],
			Silent: silent,
		}
		for _, c := range p.Status.ContainerStatuses {
			r.Restarts += int(c.RestartCount)
		}
		if c := watch.PodCondition(p, corev1.PodReady); c != nil && !c.LastTransitionTime.IsZero() {
			r.Since = changedBy(c.LastTransitionTime.Time)
		}
		if r.State == runner.Ready && holder != nil && !holder.knows(p) && v.targeted(service, i+1) {
			r.State = runner.Starting // it has not got its faults yet
		}
		if Present(p) && v.paused(service, i+1) {
			r.State = runner.Paused
		}
		if Present(p) {
			r.Pod = p.Name
		}
		switch {
		case !Present(p):
		case proxy != nil:
			r.URL = proxy.URL(p.Name)
			if !silent {
				r.ControlURL = proxy.ControlURL(p.Name)
			}
		case p.Status.PodIP != "":
			ports := manifest.PortsOf(p)
			r.URL = urlOf(p, ports.HTTP)
			if inst.Client.Config.Inside {
				// Pods come and go; the load goes where that of other pods goes.
				r.Entrance = "http://" + service
				// The port of a data store speaks its own protocol, and faults are on it.
				if !silent && ports.Control != 0 {
					r.ControlURL = urlOf(p, ports.Control)
				}
			}
		}
		replicas = append(replicas, r)
	}
	return replicas
}

// urlOf is where a port of a pod is reached from other pods.
func urlOf(p *corev1.Pod, port int) string {
	return "http://" + net.JoinHostPort(p.Status.PodIP, strconv.Itoa(port))
}

// ports are those of the pods there are, by name.
func (v *view) ports() map[string]manifest.Ports {
	ports := map[string]manifest.Ports{}
	for _, pods := range v.Pods {
		for _, p := range pods {
			if Present(p) {
				ports[p.Name] = manifest.PortsOf(p)
			}
		}
	}
	return ports
}

// targeted reports whether a fault in the service is meant for a replica.
func (v *view) targeted(service string, index int) bool {
	return slices.ContainsFunc(v.faults, func(in Injection) bool { return in.inService() && in.targets(service, index) })
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

func podState(p *corev1.Pod) runner.State {
	if !Present(p) {
		return runner.Down
	}
	if watch.Ready(p) {
		return runner.Ready
	}
	if t := watch.DiagnosePod(p); t != nil && t.Crashed != "" {
		return runner.Down
	}
	return runner.Starting
}
