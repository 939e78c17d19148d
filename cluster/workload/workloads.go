// Package workload lets faults act on pods that belong to no system of ours: they
// are selected by their labels.
package workload

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Workloads is the faults on pods of one namespace that need not belong to a
// system: they are selected by their labels. Its methods may be called at the same
// time.
type Workloads struct {
	c         *kubeapi.Client
	namespace string
	// selection is of the fault that Inject adds.
	selection Selection
	// followed is set while this program waits for a fault and follows the pods.
	followed atomic.Bool
}

// A recordedFault is a fault of the record of a namespace.
type recordedFault struct {
	faults.Injection
	Selection Selection `json:"selection"`
}

// Select returns the faults of the selection's namespace, to which those on the
// selected pods can be added. It checks that the user may break these pods.
func Select(ctx context.Context, c *kubeapi.Client, s Selection) (*Workloads, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	x := &Workloads{c: c, namespace: s.Namespace, selection: s}
	pods, err := x.selected(ctx, &s)
	if err != nil {
		return nil, err
	}
	return x, s.guard(pods)
}

// List returns the namespaces with faults on pods that were selected by their
// labels, wherever Config allows to look.
func List(ctx context.Context, c *kubeapi.Client) ([]*Workloads, error) {
	list, err := c.Clientset.CoreV1().ConfigMaps(nodehelper.Namespace).List(ctx, metav1.ListOptions{LabelSelector: nodehelper.RecordSelector()})
	if apierrors.IsForbidden(err) {
		return nil, nil // without the right to list them, this user has added none
	}
	if err != nil {
		return nil, fmt.Errorf("looking for faults on selected pods: %w", kubeapi.Explain(err))
	}
	var all []*Workloads
	for i := range list.Items {
		namespace := list.Items[i].Annotations[nodehelper.NamespaceAnnotation]
		if c.Config.Namespace == "" || c.Config.Namespace == namespace {
			all = append(all, &Workloads{c: c, namespace: namespace})
		}
	}
	slices.SortFunc(all, func(a, b *Workloads) int { return cmp.Compare(a.namespace, b.namespace) })
	return all, nil
}

// Namespace is that of the pods.
func (x *Workloads) Namespace() string { return x.namespace }

// CanInject says why a fault is not possible on pods that are not of a system.
func (x *Workloads) CanInject(f *fault.Fault) error {
	if err := f.Validate().Err(); err != nil {
		return fmt.Errorf("fault %q: %w", f.Label(), err)
	}
	entry, _ := fault.Lookup(f.Type)
	switch {
	case entry.Layer == fault.InService, entry.Layer == fault.InStore:
		return fmt.Errorf("fault %q: only services and data stores of a system can do that to requests; on other pods, faults on the network and on resources are possible, and pause", f.Label())
	case !order.Takes(f.Type):
		return fmt.Errorf("fault %q: on selected pods, faults on the network and on resources are possible, and pause, but not %s", f.Label(), f.Type)
	case len(x.selection.To) > 0 && entry.Layer != fault.OnNetwork:
		return fmt.Errorf("fault %q: only faults on the network know of destinations; leave out --to", f.Label())
	}
	return faults.CheckNetwork(x.c, f)
}

// Plan returns what a fault would do. It changes nothing.
func (x *Workloads) Plan(ctx context.Context, id string, f fault.Fault, deadline time.Time) ([]faults.Effect, error) {
	if err := x.CanInject(&f); err != nil {
		return nil, err
	}
	desired, err := x.desired(ctx, []recordedFault{{faults.Injection{ID: id, Fault: f.WithDefaults(), Deadline: deadline}, x.selection}})
	return faults.EffectsOf(desired), err
}

// Inject lets a fault act on the selected pods, until a deadline that there must
// be.
func (x *Workloads) Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error {
	if err := x.CanInject(&f); err != nil {
		return err
	}
	if !time.Now().Before(deadline) {
		return fmt.Errorf("injecting fault %q: on pods that are not of a system it needs a deadline that is to come", f.Label())
	}
	err := nodehelper.EnsureNamespace(ctx, x.c)
	if err == nil {
		err = x.record(ctx, func(all []recordedFault) ([]recordedFault, error) {
			if slices.ContainsFunc(all, func(old recordedFault) bool { return old.ID == id }) {
				return nil, fmt.Errorf("there is a fault with the id %q already; %s ends it, and --name names another", id, x.c.Command("fault", "clear", id))
			}
			return append(all, recordedFault{faults.Injection{ID: id, Fault: f.WithDefaults(), Since: time.Now(), Deadline: deadline}, x.selection}), nil
		})
	}
	if err != nil {
		return fmt.Errorf("injecting fault %q: %w", f.Label(), kubeapi.Explain(err))
	}
	statuses, err := x.reconciler().Reconcile(ctx)
	if err = errors.Join(err, nodehelper.FaultError(id, statuses)); err == nil {
		return nil
	}
	undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), runner.ChangeTimeout)
	defer cancel()
	return fmt.Errorf("injecting fault %q: %w", f.Label(), errors.Join(err, x.Clear(undoing, id)))
}

// Clear ends a fault. One that is not known has ended already.
func (x *Workloads) Clear(ctx context.Context, id string) error {
	err := x.record(ctx, func(all []recordedFault) ([]recordedFault, error) {
		return slices.DeleteFunc(all, func(old recordedFault) bool { return old.ID == id }), nil
	})
	if err == nil {
		_, err = x.reconciler().Reconcile(ctx)
	}
	if err == nil {
		err = nodehelper.DeleteUnusedNamespace(ctx, x.c, nodehelper.EverySystem)
	}
	if err != nil {
		return fmt.Errorf("clearing fault %q: %w", id, kubeapi.Explain(err))
	}
	return nil
}

// Active lists the faults that act, in the order in which they began.
func (x *Workloads) Active(ctx context.Context) ([]runner.Injection, error) {
	all, err := x.recorded(ctx)
	if err != nil || len(all) == 0 {
		return []runner.Injection{}, err
	}
	owner := order.WorkloadsOwner(x.namespace)
	statuses, orders, err := nodehelper.Statuses(ctx, x.c, func(o string) bool { return o == owner })
	if err != nil {
		return nil, kubeapi.Explain(err)
	}
	byFault := nodehelper.FaultStatuses(statuses)
	active := []runner.Injection{}
	for _, f := range all {
		in := runner.Injection{ID: f.ID, Fault: f.Fault, Since: f.Since, Deadline: f.Deadline, Replicas: podsWith(orders, f.ID), Hits: -1}
		byFault[[2]string{owner, f.ID}].Describe(&in)
		active = append(active, in)
	}
	return active, nil
}

// podsWith names the pods on which a fault is ordered.
func podsWith(orders map[string][]*order.Order, id string) []string {
	names := []string{}
	for _, list := range orders {
		for _, o := range list {
			for _, p := range o.Pods {
				if slices.ContainsFunc(p.Faults, func(f order.Fault) bool { return f.ID == id }) {
					names = append(names, p.Namespace+"/"+p.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// Follow lets the faults of the namespace follow its pods until ctx ends.
func (x *Workloads) Follow(ctx context.Context) {
	x.followed.Store(true)
	defer x.followed.Store(false)
	pods := watch.PodsOf(x.c.Clientset, x.namespace, x.selection.Selector)
	nodehelper.OnChange(ctx, x.c, append([]nodehelper.Watched{{Objects: pods, Kind: &corev1.Pod{}}}, watchDestinations(x.c, x.selection)...), "the faults of namespace "+x.namespace, func(ctx context.Context) error {
		_, err := x.reconciler().Reconcile(ctx)
		return err
	})
}

func (x *Workloads) reconciler() *nodehelper.Reconciler {
	return &nodehelper.Reconciler{
		Client: x.c, Owner: order.WorkloadsOwner(x.namespace), Keep: x.followed.Load(), Agent: x.agent,
		Wanted: func(ctx context.Context) (map[string][]order.Pod, error) {
			all, err := x.recorded(ctx)
			if err != nil {
				return nil, err
			}
			desired, err := x.desired(ctx, all)
			return nodehelper.Orders(desired), err
		},
	}
}

// agent says how to run helpers. Faults on pods that the cluster itself needs are only
// recorded where --allow-system was given.
func (x *Workloads) agent(ctx context.Context) (nodehelper.Options, error) {
	o, err := nodehelper.FoundAgent(x.c)(ctx)
	o.AllowSystem = order.Protected(x.namespace)
	return o, err
}

// desired says what faults want of helpers, given the pods there are.
func (x *Workloads) desired(ctx context.Context, all []recordedFault) ([]nodehelper.DesiredFault, error) {
	var desired []nodehelper.DesiredFault
	nodes := nodeCache{c: x.c, known: map[string]*corev1.Node{}}
	for i := range all {
		f := &all[i]
		pods, err := x.selected(ctx, &f.Selection)
		if err != nil {
			return nil, err
		}
		peers, err := resolveDestinations(ctx, x.c, f.Selection)
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", f.ID, err)
		}
		if err := nodes.learn(ctx, pods, f.Fault); err != nil {
			return nil, err
		}
		desired = append(desired, desiredFaults(f, pods, peers, nodes.known)...)
	}
	return desired, nil
}

// selected lists the pods of a selection that are there to stay, the oldest
// first, and no more than it allows of those that came later.
func (x *Workloads) selected(ctx context.Context, s *Selection) ([]*corev1.Pod, error) {
	list, err := x.c.Clientset.CoreV1().Pods(x.namespace).List(ctx, metav1.ListOptions{LabelSelector: s.Selector})
	if err != nil {
		return nil, fmt.Errorf("listing the pods that %q selects: %w", s.Selector, kubeapi.Explain(err))
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		if p := &list.Items[i]; p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			pods = append(pods, p)
		}
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return pods, nil
}

// recorded returns the faults of the namespace whose time is not over.
func (x *Workloads) recorded(ctx context.Context) ([]recordedFault, error) {
	config, err := x.c.Clientset.CoreV1().ConfigMaps(nodehelper.Namespace).Get(ctx, nodehelper.RecordName(x.namespace), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of faults of namespace %q: %w", x.namespace, kubeapi.Explain(err))
	}
	return parseRecord(config)
}

func parseRecord(config *corev1.ConfigMap) ([]recordedFault, error) {
	var all []recordedFault
	if text := config.Data[manifest.FaultsKey]; text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return nil, fmt.Errorf("reading the record of faults in the ConfigMap %s/%s: %w", config.Namespace, config.Name, err)
		}
	}
	return slices.DeleteFunc(all, func(f recordedFault) bool { return f.Expired() }), nil
}

// record changes the record of the namespace, and starts over when others have
// changed it meanwhile. A record without faults is deleted.
func (x *Workloads) record(ctx context.Context, change func([]recordedFault) ([]recordedFault, error)) error {
	configs := x.c.Clientset.CoreV1().ConfigMaps(nodehelper.Namespace)
	name := nodehelper.RecordName(x.namespace)
	return kubeapi.RetryConflicts(ctx, fmt.Sprintf("the ConfigMap %s/%s", nodehelper.Namespace, name), func(ctx context.Context) error {
		config, err := configs.Get(ctx, name, metav1.GetOptions{})
		isNew := apierrors.IsNotFound(err)
		if err != nil && !isNew {
			return err
		}
		if isNew {
			config = nodehelper.NewRecord(x.namespace)
		}
		all, err := parseRecord(config)
		if err != nil {
			return err
		}
		if all, err = change(all); err != nil {
			return err
		}
		text, err := json.Marshal(all)
		if err != nil {
			return fmt.Errorf("writing the record of faults: %w", err)
		}
		config.Data = map[string]string{manifest.FaultsKey: string(text)}
		switch {
		case isNew && len(all) == 0:
			return nil
		case isNew:
			_, err = configs.Create(ctx, config, metav1.CreateOptions{FieldManager: kubeapi.FieldManager})
		case len(all) == 0:
			err = configs.Delete(ctx, config.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &config.UID, ResourceVersion: &config.ResourceVersion}})
		default:
			_, err = configs.Update(ctx, config, metav1.UpdateOptions{FieldManager: kubeapi.FieldManager})
		}
		return err
	})
}
