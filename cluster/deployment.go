package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Deployment is a system on a cluster. Its methods may be called at the same
// time.
type Deployment struct {
	c         *Cluster
	system    *topology.System
	seed      uint64
	namespace string
	token     string
	created   time.Time

	mu     sync.Mutex
	holder *holder // nil while nobody holds the system
	// reached is the proxy of one who only looks at the system.
	reached *podProxy
	closed  bool
	// followed is set while somebody waits for faults and follows the pods.
	followed bool
}

var _ experiment.Deployment = (*Deployment)(nil)

func (c *Cluster) deployment(system *topology.System, seed uint64, namespace, token string) *Deployment {
	return &Deployment{c: c, system: system, seed: seed, namespace: namespace, token: token}
}

// A NotFoundError says that no such system runs.
type NotFoundError struct{ Name, Namespace string }

func (e *NotFoundError) Error() string {
	where := "the cluster"
	if e.Namespace != "" {
		where = fmt.Sprintf("namespace %q", e.Namespace)
	}
	if e.Name == "" {
		return "no system runs in " + where + "; 'kubectl microsim up -f FILE' starts one"
	}
	return fmt.Sprintf("no system %q runs in %s; 'kubectl microsim status' lists those that do", e.Name, where)
}

// Find returns a system that runs. Without a name the only one there is is
// meant.
func (c *Cluster) Find(ctx context.Context, name string) (*Deployment, error) {
	all, err := c.Systems(ctx)
	if err != nil {
		return nil, err
	}
	if name != "" {
		all = slices.DeleteFunc(all, func(d *Deployment) bool { return d.system.Name != name })
	}
	switch {
	case len(all) == 0:
		return nil, &NotFoundError{name, c.config.Namespace}
	case len(all) > 1:
		var places []string
		for _, d := range all {
			places = append(places, d.namespace+"/"+d.system.Name)
		}
		return nil, fmt.Errorf("%d systems could be meant (%s): name one, and its namespace with -n", len(all), strings.Join(places, ", "))
	}
	return all[0], nil
}

// Systems lists the systems that run, by namespace and name.
func (c *Cluster) Systems(ctx context.Context) ([]*Deployment, error) {
	configs, err := c.client.CoreV1().ConfigMaps(c.config.Namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.SelectorAll()})
	if err != nil {
		return nil, fmt.Errorf("looking for systems: %w", explain(err))
	}
	var all []*Deployment
	for i := range configs.Items {
		config := &configs.Items[i]
		name := config.Labels[manifest.SystemLabel]
		if config.Name != manifest.ObjectName(name) {
			continue
		}
		d, err := c.restore(config)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *Deployment) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.system.Name, b.system.Name))
	})
	return all, nil
}

// restore reads a system from the ConfigMap that describes it.
func (c *Cluster) restore(config *corev1.ConfigMap) (*Deployment, error) {
	where := fmt.Sprintf("the ConfigMap %s/%s", config.Namespace, config.Name)
	docs, err := spec.Read(where, strings.NewReader(config.Data[manifest.SystemKey]))
	if err != nil {
		return nil, fmt.Errorf("reading the system in %s: %w", where, err)
	}
	systems := docs.Systems()
	if len(systems) != 1 {
		return nil, fmt.Errorf("reading the system in %s: it has %d systems in place of one", where, len(systems))
	}
	seed, err := strconv.ParseUint(config.Data[manifest.SeedKey], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reading the seed in %s: %w", where, err)
	}
	d := c.deployment(systems[0], seed, config.Namespace, "")
	d.created = config.CreationTimestamp.Time
	return d, nil
}

// System describes the system. It must not be changed.
func (d *Deployment) System() *topology.System { return d.system }

// Namespace is where the system runs.
func (d *Deployment) Namespace() string { return d.namespace }

// A Status describes a system that runs on a cluster.
type Status struct {
	Name      string                 `json:"name"`
	Namespace string                 `json:"namespace"`
	Seed      uint64                 `json:"seed"`
	Created   time.Time              `json:"created,omitzero"`
	Services  []ServiceStatus        `json:"services"`
	Faults    []experiment.Injection `json:"faults"`
}

// A ServiceStatus describes a service of a system on a cluster.
type ServiceStatus struct {
	Name string        `json:"name"`
	Kind topology.Kind `json:"kind"`
	// Endpoint is the service's base URL inside the cluster.
	Endpoint string               `json:"endpoint"`
	Calls    []string             `json:"calls"`
	Want     int                  `json:"want"`
	Image    string               `json:"image,omitempty"`
	Replicas []experiment.Replica `json:"replicas"`
	// Trouble is why the service is not ready.
	Trouble string `json:"trouble,omitempty"`
}

// Status describes the system as it is now.
func (d *Deployment) Status(ctx context.Context) (*Status, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	list, err := d.c.client.AppsV1().Deployments(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.Selector(d.system.Name)})
	if err != nil {
		return nil, fmt.Errorf("asking for the services of system %q: %w", d.system.Name, explain(err))
	}
	deployments := map[string]*appsv1.Deployment{}
	for i := range list.Items {
		deployments[list.Items[i].Labels[manifest.ServiceLabel]] = &list.Items[i]
	}
	faults, err := d.Active(ctx)
	if err != nil {
		return nil, err
	}
	s := &Status{Name: d.system.Name, Namespace: d.namespace, Seed: d.seed, Created: d.created, Services: []ServiceStatus{}, Faults: faults}
	for i := range d.system.Services {
		service := &d.system.Services[i]
		status := ServiceStatus{
			Name: service.Name, Kind: service.Kind, Endpoint: fmt.Sprintf("http://%s.%s", service.Name, d.namespace),
			Calls: append([]string{}, service.Calls()...), Want: service.Replicas, Replicas: d.replicasOf(service.Name, v),
		}
		deployment := deployments[service.Name]
		if deployment == nil {
			status.Trouble = "its Deployment has been deleted; 'kubectl microsim up' makes it again"
		} else {
			status.Image = deployment.Spec.Template.Spec.Containers[0].Image
			if t := diagnose(deployment, v.pods[service.Name]); t != nil && !complete(deployment) {
				status.Trouble = t.text
			}
		}
		s.Services = append(s.Services, status)
	}
	return s, nil
}

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
func (d *Deployment) look(ctx context.Context) (*view, error) {
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
func (d *Deployment) pods(ctx context.Context) (map[string][]*corev1.Pod, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	return v.pods, nil
}

// Replicas lists the pods in the order of the system's file. Their URLs are
// those of a proxy on this machine while the system is held, and those of the
// pods else. A replica whose pod has gone is down until there is another.
func (d *Deployment) Replicas(ctx context.Context) ([]experiment.Replica, error) {
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

func (d *Deployment) replicasOf(service string, v *view) []experiment.Replica {
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

func ready(p *corev1.Pod) bool {
	c := condition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}
