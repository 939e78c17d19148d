package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An injection is a fault that is to act, as the record of a system's faults has
// it. The record is what counts: whoever reads it can list, clear and repeat
// what another program has injected.
type injection struct {
	ID       string      `json:"id"`
	Fault    fault.Fault `json:"fault"`
	Since    time.Time   `json:"since"`
	Deadline time.Time   `json:"deadline,omitzero"`
}

func (in *injection) expired() bool {
	return !in.Deadline.IsZero() && !time.Now().Before(in.Deadline)
}

// targets reports whether the fault is meant for a replica, counted from 1.
func (in *injection) targets(service string, index int) bool {
	t := in.Fault.Target
	return t.Service == service && (t.Replica == 0 || t.Replica == index)
}

// faultsKey is the key of the record in its ConfigMap.
const faultsKey = "faults.json"

// CanInject says why a fault is not possible here; nil means that it is.
func (d *Deployment) CanInject(f *fault.Fault) error { return canInject(d.system, f) }

func canInject(system *topology.System, f *fault.Fault) error {
	if err := f.Validate().Err(); err != nil {
		return fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	entry, _ := fault.Lookup(f.Type)
	if entry.Place != fault.InService {
		return fmt.Errorf("fault %q: faults on the %s, such as %s, are not possible on a cluster yet; use latency, error, abort or hang", f.Label(), entry.Place, f.Type)
	}
	if system == nil || f.Rounds != nil {
		return nil
	}
	t := f.Target
	service := system.Service(t.Service)
	switch {
	case service == nil:
		return fmt.Errorf("fault %q: there is no service %q in system %q; 'kubectl microsim status %s' lists the services", f.Label(), t.Service, system.Name, system.Name)
	case t.Replica > service.Replicas:
		return fmt.Errorf("fault %q: service %q has %d replicas, not %d", f.Label(), t.Service, service.Replicas, t.Replica)
	case t.From != "" && system.Service(t.From) == nil:
		return fmt.Errorf("fault %q: there is no service %q in system %q that could call %q", f.Label(), t.From, system.Name, t.Service)
	}
	return nil
}

// Inject lets the fault act in all pods that it is meant for; each takes it back
// by itself at the deadline. Pods that appear later get it from whoever holds
// the system.
func (d *Deployment) Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error {
	switch err := d.CanInject(&f); {
	case err != nil:
		return err
	case id == "":
		return fmt.Errorf("injecting fault %q: it has no id", f.Label())
	case f.Rounds != nil:
		return fmt.Errorf("injecting fault %q: the victim of the round has not been drawn", f.Label())
	case !deadline.IsZero() && !time.Now().Before(deadline):
		return fmt.Errorf("injecting fault %q: its deadline is over", f.Label())
	case d.isClosed():
		return fmt.Errorf("injecting fault %q: %w", f.Label(), errClosed)
	}
	in := injection{ID: id, Fault: f.WithDefaults(), Since: time.Now(), Deadline: deadline}
	_, err := d.record(ctx, func(all []injection) ([]injection, error) {
		if i := slices.IndexFunc(all, func(old injection) bool { return old.ID == id }); i >= 0 {
			return nil, fmt.Errorf("there is a fault with the id %q already, a %s; clear it first", id, all[i].Fault.Label())
		}
		return append(all, in), nil
	})
	if err == nil {
		err = d.tell(ctx, &in, func(ctx context.Context, pod string) error { return d.put(ctx, pod, &in) })
		if err == nil {
			return nil
		}
		undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), orderTimeout)
		defer cancel()
		err = errors.Join(err, d.Clear(undoing, id))
	}
	return fmt.Errorf("injecting fault %q: %w", f.Label(), err)
}

var errClosed = errors.New("the system has been taken down") //nolint:gochecknoglobals // a sentinel

func (d *Deployment) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// Clear ends a fault. One that is not known has ended already.
func (d *Deployment) Clear(ctx context.Context, id string) error {
	if d.isClosed() {
		return nil
	}
	var cleared *injection
	_, err := d.record(ctx, func(all []injection) ([]injection, error) {
		i := slices.IndexFunc(all, func(in injection) bool { return in.ID == id })
		if i < 0 {
			cleared = nil
			return nil, errUnchanged
		}
		old := all[i]
		cleared = &old
		return slices.Delete(all, i, i+1), nil
	})
	if err == nil && cleared != nil {
		err = d.tell(ctx, &injection{Fault: fault.Fault{Target: fault.Target{Service: cleared.Fault.Target.Service}}}, func(ctx context.Context, pod string) error {
			return d.order(ctx, pod, http.MethodDelete, faultPath(id), nil, nil)
		})
	}
	if err != nil {
		return fmt.Errorf("clearing fault %q: %w", id, err)
	}
	return nil
}

func faultPath(id string) string { return "/admin/faults/" + url.PathEscape(id) }

// put adds a fault to a pod. Pods of a service are all told the same, so that
// which of them is meant is decided here alone.
func (d *Deployment) put(ctx context.Context, pod string, in *injection) error {
	f := in.Fault
	f.Target.Replica = 0
	return d.order(ctx, pod, http.MethodPut, faultPath(in.ID), struct {
		Fault    fault.Fault `json:"fault"`
		Deadline time.Time   `json:"deadline,omitzero"`
	}{f, in.Deadline}, nil)
}

// tell gives an order to every pod that the fault is meant for and that is
// ready. One that is not gets its faults when it is.
func (d *Deployment) tell(ctx context.Context, in *injection, order func(ctx context.Context, pod string) error) error {
	pods, err := d.pods(ctx)
	if err != nil {
		return err
	}
	var names []string
	for i, p := range pods[in.Fault.Target.Service] {
		if in.targets(in.Fault.Target.Service, i+1) && ready(p) {
			names = append(names, p.Name)
		}
	}
	return each(len(names), func(i int) error {
		err := order(ctx, names[i])
		if err == nil || d.hasGone(ctx, names[i]) {
			return nil //nolint:nilerr // a pod that has ended has no faults
		}
		return fmt.Errorf("pod %q: %w", names[i], err)
	})
}

// hasGone reports whether a pod is no longer there, or no longer ready.
func (d *Deployment) hasGone(ctx context.Context, pod string) bool {
	p, err := d.c.client.CoreV1().Pods(d.namespace).Get(ctx, pod, metav1.GetOptions{})
	return apierrors.IsNotFound(err) || err == nil && !ready(p)
}

// Active lists the faults that act now, in the order in which they began.
func (d *Deployment) Active(ctx context.Context) ([]experiment.Injection, error) {
	if d.isClosed() {
		return nil, errClosed
	}
	all, err := d.recorded(ctx)
	if err != nil {
		return nil, err
	}
	active := []experiment.Injection{}
	if len(all) == 0 {
		return active, nil
	}
	pods, err := d.pods(ctx)
	if err != nil {
		return nil, err
	}
	hits := d.hits(ctx, all, pods)
	for _, in := range all {
		i := experiment.Injection{ID: in.ID, Fault: in.Fault, Since: in.Since, Deadline: in.Deadline, Replicas: []string{}, Hits: -1}
		service := in.Fault.Target.Service
		for n := range pods[service] {
			if in.targets(service, n+1) {
				i.Replicas = append(i.Replicas, fmt.Sprintf("%s/%d", service, n+1))
			}
		}
		if n, known := hits[in.ID]; known {
			i.Hits = n
		}
		active = append(active, i)
	}
	return active, nil
}

// hits asks the pods how often each fault has acted. A fault of which no pod
// tells is absent.
func (d *Deployment) hits(ctx context.Context, all []injection, pods map[string][]*corev1.Pod) map[string]int64 {
	var names []string
	for service, list := range pods {
		for i, p := range list {
			if ready(p) && slices.ContainsFunc(all, func(in injection) bool { return in.targets(service, i+1) }) {
				names = append(names, p.Name)
			}
		}
	}
	counts := make([][]experiment.Injection, len(names))
	// A pod that does not answer has nothing to add; that it does not is seen
	// elsewhere.
	_ = each(len(names), func(i int) error {
		return d.order(ctx, names[i], http.MethodGet, "/admin/faults", nil, &counts[i])
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
// first.
func (d *Deployment) recorded(ctx context.Context) ([]injection, error) {
	config, err := d.c.client.CoreV1().ConfigMaps(d.namespace).Get(ctx, manifest.FaultsName(d.system.Name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of faults: %w", explain(err))
	}
	return parseRecord(config)
}

func parseRecord(config *corev1.ConfigMap) ([]injection, error) {
	var all []injection
	if text := config.Data[faultsKey]; text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return nil, fmt.Errorf("reading the record of faults in the ConfigMap %s/%s: %w", config.Namespace, config.Name, err)
		}
	}
	all = slices.DeleteFunc(all, func(in injection) bool { return in.expired() })
	slices.SortFunc(all, func(a, b injection) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

var errUnchanged = errors.New("nothing to change") //nolint:gochecknoglobals // a sentinel

// record changes the record of faults, as often as it takes where others change
// it, too. A change may return errUnchanged.
func (d *Deployment) record(ctx context.Context, change func([]injection) ([]injection, error)) ([]injection, error) {
	configs := d.c.client.CoreV1().ConfigMaps(d.namespace)
	var result []injection
	backoff := retry.DefaultBackoff
	backoff.Steps = 20
	err := retry.OnError(backoff, func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }, func() error {
		config, err := configs.Get(ctx, manifest.FaultsName(d.system.Name), metav1.GetOptions{})
		isNew := apierrors.IsNotFound(err)
		if isNew {
			labels := manifest.CommonLabels(d.system.Name)
			labels[manifest.RoleLabel] = manifest.FaultsRole
			config = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: manifest.FaultsName(d.system.Name), Namespace: d.namespace, Labels: labels}}
		} else if err != nil {
			return err
		}
		all, err := parseRecord(config)
		if err != nil {
			return err
		}
		if result, err = change(all); err != nil {
			return err
		}
		text, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("writing the record of faults: %w", err)
		}
		config.Data = map[string]string{faultsKey: string(text)}
		if isNew {
			_, err = configs.Create(ctx, config, metav1.CreateOptions{FieldManager: FieldManager})
		} else {
			_, err = configs.Update(ctx, config, metav1.UpdateOptions{FieldManager: FieldManager})
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return nil, nil
	}
	return result, explain(err)
}
