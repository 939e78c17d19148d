package faults

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/model/program"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// An Injection is a fault that is to act, as the record of a system's faults has
// it. The record is what counts: by it, any program lists, clears and repeats the
// faults that another has injected.
type Injection struct {
	ID       string      `json:"id"`
	Fault    fault.Fault `json:"fault"`
	Since    time.Time   `json:"since"`
	Deadline time.Time   `json:"deadline,omitzero"`
	// Victims are the pods that a kill or restart has ended.
	Victims []victim `json:"victims,omitempty"`
	// Callers are the services in which a fault of type unreachable acts.
	Callers []string `json:"callers,omitempty"`
}

// newInjection is a fault of a system that begins now.
func newInjection(system *topology.System, id string, f fault.Fault, deadline time.Time) Injection {
	return Injection{ID: id, Fault: f.WithDefaults(), Since: time.Now(), Deadline: deadline, Callers: callersFor(system, &f)}
}

// callersFor lists the services in which a fault acts that acts in the callers of its
// target: those that the file names or, where only chains say who calls whom, all.
// Programs of users take no orders.
func callersFor(system *topology.System, f *fault.Fault) (callers []string) {
	if f.Type != fault.Unreachable {
		return nil
	}
	if callers = system.Callers(f.Target.Service); f.Target.From != "" {
		callers = []string{f.Target.From}
	}
	all := len(callers) == 0
	for i := range system.Services {
		if s := &system.Services[i]; all && s.Name != f.Target.Service {
			callers = append(callers, s.Name)
		}
	}
	return slices.DeleteFunc(callers, func(name string) bool {
		s := system.Service(name)
		return s == nil || !s.ObeysContract()
	})
}

// inService reports whether the fault acts inside a service or a data store, which is told
// of it through its control.
func (in *Injection) inService() bool {
	entry, _ := fault.Lookup(in.Fault.Type)
	return entry.Layer == fault.InService || entry.Layer == fault.InStore
}

// Expired reports whether the deadline of the fault is over.
func (in *Injection) Expired() bool {
	return !in.Deadline.IsZero() && !time.Now().Before(in.Deadline)
}

// targets reports whether the fault is meant for a replica, counted from 1.
func (in *Injection) targets(service string, index int) bool {
	t := in.Fault.Target
	if in.Fault.Type == fault.Unreachable {
		return slices.Contains(in.Callers, service)
	}
	return t.Service == service && (t.Replica == 0 || t.Replica == index)
}

// CanInject says why a fault is not possible here; nil means that it is.
func (inst *Instance) CanInject(f *fault.Fault) error {
	return CanInject(inst.Client, inst.System(), f)
}

// CanInject says why a fault is not possible on a cluster; nil means that it is.
// Without a system, only the fault itself is checked.
func CanInject(c *kubeapi.Client, system *topology.System, f *fault.Fault) error {
	if err := f.Validate().Err(); err != nil {
		return fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	if err := CheckNetwork(c, f); err != nil {
		return err
	}
	entry, _ := fault.Lookup(f.Type)
	switch {
	case entry.Layer == fault.InService, entry.Layer == fault.InStore:
	case Momentary(f.Type):
	case order.Takes(f.Type):
	default:
		return fmt.Errorf("fault %q: %s needs a gate between callers and service, which is not possible on a cluster yet; run the system with --on local, where there are gates; on a cluster, the nearest is %s", f.Label(), f.Type, fault.WithoutGate(f.Type))
	}
	if system == nil || f.Rounds != nil {
		return nil
	}
	t := f.Target
	if err := experiment.CheckTarget(system, t); err != nil {
		return fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	service := system.Service(t.Service)
	if err := cmp.Or(store.Can(service, f), program.Can(service, system.Service(t.From), f)); err != nil {
		return fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	switch {
	case f.Type == fault.Unreachable:
		if len(callersFor(system, f)) == 0 {
			return fmt.Errorf("fault %q: it acts in services that call %q, and in system %q there is none that takes orders; write net-partition", f.Label(), t.Service, system.Name)
		}
	case service.URL != "":
		return fmt.Errorf("fault %q: on a cluster faults act in pods of the system, and service %q is at %s; write unreachable, or run the system with --on local", f.Label(), t.Service, service.URL)
	}
	return nil
}

// Inject lets the fault act in all pods that it is meant for; each takes it back
// by itself at the deadline. Pods that appear later get it from the program that
// holds the system.
func (inst *Instance) Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error {
	switch err := inst.CanInject(&f); {
	case err != nil:
		return err
	case id == "":
		return fmt.Errorf("injecting fault %q: it has no id", f.Label())
	case f.Rounds != nil:
		return fmt.Errorf("injecting fault %q: the victim of the round has not been drawn", f.Label())
	case !deadline.IsZero() && !time.Now().Before(deadline):
		return fmt.Errorf("injecting fault %q: its deadline is over", f.Label())
	case inst.isClosed():
		return fmt.Errorf("injecting fault %q: %w", f.Label(), errClosed)
	}
	in := newInjection(inst.System(), id, f, deadline)
	if Momentary(f.Type) {
		if err := inst.endPods(ctx, in); err != nil {
			return fmt.Errorf("injecting fault %q: %w", f.Label(), err)
		}
		return nil
	}
	var v *view
	if f.Target.Replica != 0 {
		var err error
		if v, err = inst.Look(ctx); err != nil {
			return fmt.Errorf("injecting fault %q: %w", f.Label(), err)
		}
	}
	err := inst.recordAll(ctx, func(all []Injection, numbers *ordinals) ([]Injection, error) {
		if v != nil {
			numbers.keep(v.Pods, f.Target.Service)
		}
		return added(inst.Client, all, in)
	})
	if err == nil {
		if order.Takes(f.Type) {
			err = inst.orderFault(ctx, id)
		} else {
			err = inst.notify(ctx, &in, func(ctx context.Context, service, pod string) error { return inst.put(ctx, service, pod, &in) })
		}
		if err == nil {
			return nil
		}
		undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), runner.ChangeTimeout)
		defer cancel()
		err = errors.Join(err, inst.Clear(undoing, id))
	}
	return fmt.Errorf("injecting fault %q: %w", f.Label(), err)
}

// added adds a fault to those of the record. Its id may be that of a kill or restart,
// which has been carried out.
func added(c *kubeapi.Client, all []Injection, in Injection) ([]Injection, error) {
	all = unexpired(all)
	i := slices.IndexFunc(all, func(old Injection) bool { return old.ID == in.ID })
	if i >= 0 && !Momentary(all[i].Fault.Type) {
		return nil, fmt.Errorf("there is a fault with the id %q already, a %s; %s ends it, and --name names another", in.ID, all[i].Fault.Label(), c.Command("fault", "clear", in.ID))
	}
	if i >= 0 {
		all = slices.Delete(all, i, i+1)
	}
	return append(all, in), nil
}

var errClosed = errors.New("the system has been taken down") //nolint:gochecknoglobals // a sentinel

func (inst *Instance) isClosed() bool {
	inst.mu.Lock()
	defer inst.mu.Unlock()
	return inst.closed
}

// Clear ends a fault. One that is not known has ended already.
func (inst *Instance) Clear(ctx context.Context, id string) error {
	if inst.isClosed() {
		return nil
	}
	var cleared *Injection
	err := inst.record(ctx, func(all []Injection) ([]Injection, error) {
		i := slices.IndexFunc(all, func(in Injection) bool { return in.ID == id })
		if i < 0 {
			cleared = nil
			return nil, errUnchanged
		}
		old := all[i]
		cleared = &old
		return slices.Delete(all, i, i+1), nil
	})
	switch {
	case err != nil:
	case cleared == nil:
		// A program that was killed may have cleared it without telling the helpers.
		err = kubeapi.IgnoreForbidden(inst.reconcile(ctx))
	case order.Takes(cleared.Fault.Type):
		if err = inst.reconcile(ctx); err == nil && cleared.Fault.Type == fault.Pause {
			err = inst.wake(ctx, cleared)
		}
	case cleared.inService():
		everywhere := *cleared
		everywhere.Fault.Target.Replica = 0
		err = inst.notify(ctx, &everywhere, func(ctx context.Context, service, pod string) error {
			return inst.control(ctx, service, pod, http.MethodDelete, control.FaultPath(id), nil, nil)
		})
	}
	if err != nil {
		return fmt.Errorf("clearing fault %q: %w", id, err)
	}
	return nil
}

// put adds a fault to a pod, without the number of the replica: this program alone
// decides which pods are meant.
func (inst *Instance) put(ctx context.Context, service, pod string, in *Injection) error {
	f := in.Fault
	f.Target.Replica = 0
	return inst.control(ctx, service, pod, http.MethodPut, control.FaultPath(in.ID), control.FaultRequest{Fault: f, Deadline: in.Deadline}, nil)
}

// notify sends an order to every ready pod that the fault is meant for. A pod that is
// not ready gets its faults when it is.
func (inst *Instance) notify(ctx context.Context, in *Injection, order func(ctx context.Context, service, pod string) error) error {
	v, err := inst.Look(ctx)
	if err != nil {
		return err
	}
	meant := slices.DeleteFunc(in.meant(v.Pods), func(r replicaPod) bool { return !watch.Ready(r.pod) || v.paused(r.service, r.index) })
	return kubeapi.Each(len(meant), func(i int) error {
		name := meant[i].pod.Name
		err := order(ctx, meant[i].service, name)
		if err == nil || inst.hasGone(ctx, name) {
			return nil //nolint:nilerr // a pod that has ended has no faults
		}
		return fmt.Errorf("pod %q: %w", name, err)
	})
}

// A replicaPod is a pod and the replica that it is.
type replicaPod struct {
	service string
	index   int
	pod     *corev1.Pod
}

// meant lists the pods that a fault is meant for, by service and index.
func (in *Injection) meant(pods map[string][]*corev1.Pod) (meant []replicaPod) {
	for _, service := range slices.Sorted(maps.Keys(pods)) {
		for i, p := range pods[service] {
			if in.targets(service, i+1) {
				meant = append(meant, replicaPod{service, i + 1, p})
			}
		}
	}
	return meant
}

// paused reports whether a fault has stopped a replica, which then takes no
// orders.
func (v *view) paused(service string, index int) bool {
	return slices.ContainsFunc(v.faults, func(in Injection) bool { return in.Fault.Type == fault.Pause && in.targets(service, index) })
}

// wake brings the faults of pods that go on after a pause up to date.
func (inst *Instance) wake(ctx context.Context, pause *Injection) error {
	v, err := inst.Look(ctx)
	if err != nil {
		return err
	}
	service := pause.Fault.Target.Service
	if s := inst.System().Service(service); s != nil && !s.ObeysContract() {
		return nil // no fault acts inside it
	}
	pods := v.Pods[service]
	return kubeapi.Each(len(pods), func(i int) error {
		p := pods[i]
		if !watch.Ready(p) || !pause.targets(service, i+1) || v.paused(service, i+1) {
			return nil
		}
		if err := inst.catchUp(ctx, p, i+1, v.faults); err != nil && !inst.hasGone(ctx, p.Name) {
			return fmt.Errorf("pod %q: %w", p.Name, err)
		}
		return nil
	})
}

// catchUp clears the faults of a pod that the record no longer has, and adds those
// that the pod does not have.
func (inst *Instance) catchUp(ctx context.Context, p *corev1.Pod, index int, faults []Injection) error {
	var known []runner.Injection
	service := p.Labels[manifest.ServiceLabel]
	if err := inst.control(ctx, service, p.Name, http.MethodGet, control.FaultsPath, nil, &known); err != nil {
		return err
	}
	for _, k := range known {
		if slices.ContainsFunc(faults, func(in Injection) bool { return in.ID == k.ID }) {
			continue
		}
		if err := inst.control(ctx, service, p.Name, http.MethodDelete, control.FaultPath(k.ID), nil, nil); err != nil {
			return err
		}
	}
	return inst.syncPod(ctx, p, index, faults)
}

// hasGone reports whether a pod is no longer there, or no longer ready.
func (inst *Instance) hasGone(ctx context.Context, pod string) bool {
	p, err := inst.Client.Clientset.CoreV1().Pods(inst.namespace).Get(ctx, pod, metav1.GetOptions{})
	return apierrors.IsNotFound(err) || err == nil && !watch.Ready(p)
}

// Active lists the faults that act now, in the order in which they began.
func (inst *Instance) Active(ctx context.Context) ([]runner.Injection, error) {
	if inst.isClosed() {
		return nil, errClosed
	}
	v, err := inst.Look(ctx)
	if err != nil {
		return nil, err
	}
	active := []runner.Injection{}
	hits := inst.hits(ctx, v)
	statuses := inst.helperStatuses(ctx, v.faults)
	for _, in := range v.faults {
		if in.over(v.Pods) {
			continue
		}
		i := runner.Injection{ID: in.ID, Fault: in.Fault, Since: in.Since, Deadline: in.Deadline, Replicas: []string{}, Hits: -1}
		i.Replicas = append(i.Replicas, in.replicas(v.Pods)...)
		if n, known := hits[in.ID]; known {
			i.Hits = n
		}
		statuses[in.ID].Describe(&i)
		i.ActsSince = actsSince(statuses[in.ID], v.Pods)
		active = append(active, i)
	}
	return active, nil
}

// actsSince is what helpers say of a fault by replica and pod; nil if they do not.
func actsSince(s *nodehelper.FaultStatus, pods map[string][]*corev1.Pod) map[string]time.Time {
	if s == nil || len(s.Since) == 0 {
		return nil
	}
	since := map[string]time.Time{}
	for service, list := range pods {
		for i, p := range list {
			if at, acts := s.Since[string(p.UID)]; acts {
				since[fmt.Sprintf("%s (pod %s)", replicaName(service, i+1), p.Name)] = at
			}
		}
	}
	return since
}

// replicas names the replicas that the fault acts on.
func (in *Injection) replicas(pods map[string][]*corev1.Pod) (names []string) {
	if Momentary(in.Fault.Type) {
		for _, v := range in.Victims {
			names = append(names, replicaName(v.Service, v.Index))
		}
		return names
	}
	for _, r := range in.meant(pods) {
		names = append(names, replicaName(r.service, r.index))
	}
	return names
}

// hits asks the pods how often each fault in the service has acted. A fault of
// which no pod tells is absent.
func (inst *Instance) hits(ctx context.Context, v *view) map[string]int64 {
	var pods []*corev1.Pod
	for service, list := range v.Pods {
		for i, p := range list {
			if watch.Ready(p) && v.targeted(service, i+1) && !v.paused(service, i+1) {
				pods = append(pods, p)
			}
		}
	}
	counts := make([][]runner.Injection, len(pods))
	// A pod that does not answer has nothing to add; that it does not is seen
	// elsewhere.
	_ = kubeapi.Each(len(pods), func(i int) error {
		return inst.control(ctx, pods[i].Labels[manifest.ServiceLabel], pods[i].Name, http.MethodGet, control.FaultsPath, nil, &counts[i])
	})
	sum := map[string]int64{}
	for _, count := range counts {
		for _, in := range count {
			sum[in.ID] += in.Hits
		}
	}
	return sum
}

// recorded returns the faults of the record whose time is not over, the oldest
// first, and which pod is which replica.
func (inst *Instance) recorded(ctx context.Context) ([]Injection, ordinals, error) {
	config, err := inst.Client.Clientset.CoreV1().ConfigMaps(inst.namespace).Get(ctx, manifest.FaultsName(inst.System().Name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, ordinals{}, nil
	}
	if err != nil {
		return nil, ordinals{}, fmt.Errorf("reading the record of faults: %w", kubeapi.Explain(err))
	}
	faults, err := parseRecord(config)
	if err != nil {
		return nil, ordinals{}, err
	}
	numbers, err := parseOrdinals(config)
	return unexpired(faults), numbers, err
}

// unexpired drops what has come to its end by itself.
func unexpired(all []Injection) []Injection {
	return slices.DeleteFunc(all, func(in Injection) bool { return in.Expired() })
}

func parseRecord(config *corev1.ConfigMap) ([]Injection, error) {
	var all []Injection
	if text := config.Data[manifest.FaultsKey]; text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return nil, fmt.Errorf("reading the record of faults in the ConfigMap %s/%s: %w", config.Namespace, config.Name, err)
		}
	}
	slices.SortFunc(all, func(a, b Injection) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

var errUnchanged = errors.New("nothing to change") //nolint:gochecknoglobals // a sentinel

// record changes the record of faults, and starts over when others have changed
// it meanwhile, so change may be called several times. It may return errUnchanged.
func (inst *Instance) record(ctx context.Context, change func([]Injection) ([]Injection, error)) error {
	err := inst.recordAll(ctx, func(all []Injection, _ *ordinals) ([]Injection, error) {
		return change(all)
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// recordAll is record for changes that concern the ordinals, too.
func (inst *Instance) recordAll(ctx context.Context, change func([]Injection, *ordinals) ([]Injection, error)) error {
	configs := inst.Client.Clientset.CoreV1().ConfigMaps(inst.namespace)
	name := manifest.FaultsName(inst.System().Name)
	err := kubeapi.RetryConflicts(ctx, fmt.Sprintf("the ConfigMap %s/%s", inst.namespace, name), func(ctx context.Context) error {
		config, err := configs.Get(ctx, name, metav1.GetOptions{})
		isNew := apierrors.IsNotFound(err)
		if isNew {
			if _, err := configs.Get(ctx, manifest.ObjectName(inst.System().Name), metav1.GetOptions{}); apierrors.IsNotFound(err) {
				return errClosed // a record without its system would be left behind
			}
			labels := manifest.CommonLabels(inst.System().Name)
			labels[manifest.RoleLabel] = manifest.FaultsRole
			config = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: inst.namespace, Labels: labels}}
		} else if err != nil {
			return err
		}
		if err := changeRecord(config, change); err != nil {
			return err
		}
		if isNew {
			_, err = configs.Create(ctx, config, metav1.CreateOptions{FieldManager: kubeapi.FieldManager})
		} else {
			_, err = configs.Update(ctx, config, metav1.UpdateOptions{FieldManager: kubeapi.FieldManager})
		}
		return err
	})
	inst.changed()
	return kubeapi.Explain(err)
}

func changeRecord(config *corev1.ConfigMap, change func([]Injection, *ordinals) ([]Injection, error)) error {
	all, err := parseRecord(config)
	if err != nil {
		return err
	}
	numbers, err := parseOrdinals(config)
	if err != nil {
		return err
	}
	if all, err = change(all, &numbers); err != nil {
		return err
	}
	faults, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("writing the record of faults: %w", err)
	}
	replicas, err := json.Marshal(numbers)
	if err != nil {
		return fmt.Errorf("writing which pod is which replica: %w", err)
	}
	config.Data = map[string]string{manifest.FaultsKey: string(faults), ordinalsKey: string(replicas)}
	return nil
}

// CheckNetwork says why a fault on the network is not possible, as the Config does.
func CheckNetwork(c *kubeapi.Client, f *fault.Fault) error {
	if c.Config.CheckNetwork == nil {
		return nil
	}
	return c.Config.CheckNetwork(f)
}
