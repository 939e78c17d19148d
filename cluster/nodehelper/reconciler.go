package nodehelper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// A Reconciler makes the helpers of all nodes do what one owner of faults wants. A
// ConfigMap for each node keeps it, from which a helper that comes later reads it; a
// helper that runs gets it by a request.
type Reconciler struct {
	Client *kubeapi.Client
	Owner  string
	// Wanted returns what the owner wants of each node. It may be called several
	// times, because others change orders, too.
	Wanted func(ctx context.Context) (map[string][]order.Pod, error)
	// Agent says how to run helpers; it is called if one has to be made.
	Agent func(ctx context.Context) (Options, error)
	// Keep leaves helpers without orders for the next fault; they end by themselves
	// after a while.
	Keep bool
	// Reserved are nodes whose helpers shall run until a time, whether or not any fault
	// acts. nil leaves reservations as they are; without a node, its reservation ends.
	Reserved map[string]time.Time
	// Known remembers where helpers have answered; it may be nil.
	Known *Addresses
}

// endTimeout bounds the ending of a helper that nobody wants anything of.
const endTimeout = 30 * time.Second

// Reconcile makes the helpers do what the owner wants, and returns what they answer.
// All that was changed acts when it returns. Orders that others change at the same
// time are derived again.
func (r *Reconciler) Reconcile(ctx context.Context) ([]order.Status, error) {
	var statuses []order.Status
	err := kubeapi.RetryConflicts(ctx, fmt.Sprintf("the orders of %q for the helpers", r.Owner), func(ctx context.Context) (err error) {
		statuses, err = r.reconcileOnce(ctx)
		return err
	})
	return statuses, kubeapi.Explain(err)
}

// A task is a change of one node that its helper has to carry out.
type task struct {
	node  string
	order order.Order
	// last is set if no owner wants anything of the node any more, and first if none
	// did so far.
	last, first bool
}

func (r *Reconciler) reconcileOnce(ctx context.Context) ([]order.Status, error) {
	// Read the current orders before the desired ones: so an order that is based on an
	// outdated record never overwrites a newer one.
	there, err := listOrders(ctx, r.Client)
	if err != nil {
		return nil, err
	}
	wanted, err := r.Wanted(ctx)
	if err != nil {
		return nil, err
	}
	tasks, err := r.write(ctx, there, wanted)
	if err != nil {
		return nil, err
	}
	statuses, err := r.notify(ctx, tasks)
	if err == nil && slices.ContainsFunc(tasks, func(t task) bool { return t.last }) {
		err = DeleteUnusedNamespace(ctx, r.Client, EverySystem)
	}
	return statuses, err
}

// listOrders lists the ConfigMaps with the orders of all nodes.
func listOrders(ctx context.Context, c *kubeapi.Client) (map[string]*corev1.ConfigMap, error) {
	list, err := c.Clientset.CoreV1().ConfigMaps(Namespace).List(ctx, metav1.ListOptions{LabelSelector: Selector()})
	if err != nil {
		return nil, fmt.Errorf("reading the orders of the helpers: %w", err)
	}
	there := map[string]*corev1.ConfigMap{}
	for i := range list.Items {
		if config := &list.Items[i]; Node(config) != "" && config.DeletionTimestamp == nil {
			there[Node(config)] = config
		}
	}
	return there, nil
}

// write changes the ConfigMaps of nodes of which the owner wants something else than
// before, and returns what their helpers have to do.
func (r *Reconciler) write(ctx context.Context, there map[string]*corev1.ConfigMap, wanted map[string][]order.Pod) ([]task, error) {
	needed := slices.Sorted(maps.Keys(wanted))
	for node := range r.Reserved {
		if _, also := wanted[node]; !also {
			needed = append(needed, node)
		}
	}
	nodes := slices.Clone(needed)
	for node, config := range there {
		o, err := OrderOf(config, r.Owner, time.Now())
		if err != nil {
			return nil, err
		}
		if o != nil && !slices.Contains(needed, node) {
			nodes = append(nodes, node)
		}
	}
	if slices.ContainsFunc(needed, func(node string) bool { return there[node] == nil }) {
		if err := EnsureNamespace(ctx, r.Client); err != nil {
			return nil, err
		}
	}
	var mu sync.Mutex
	var tasks []task
	err := kubeapi.Each(len(nodes), func(i int) error {
		t, err := r.writeOne(ctx, nodes[i], there[nodes[i]], wanted[nodes[i]])
		if err != nil || t == nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		tasks = append(tasks, *t)
		return nil
	})
	return tasks, err
}

// writeOne writes the orders of one node. It returns nil if its helper knows them
// already.
func (r *Reconciler) writeOne(ctx context.Context, node string, config *corev1.ConfigMap, pods []order.Pod) (*task, error) {
	configs := r.Client.Clientset.CoreV1().ConfigMaps(Namespace)
	isNew := config == nil
	if isNew {
		config = NewOrders(node)
	}
	want := Desired{Pods: pods, Reserved: r.Reserved[node], KeepReserved: r.Reserved == nil}
	o, changed, err := SetDesired(config, r.Owner, want, time.Now())
	if err != nil {
		return nil, err
	}
	t := &task{node: node, order: *o, last: len(config.Data) == 0 && !r.Keep, first: len(config.OwnerReferences) == 0}
	switch {
	case !changed && len(config.OwnerReferences) > 0:
		return nil, nil
	case !changed: // the writer ended before it made the helper
	case isNew:
		_, err = configs.Create(ctx, config, metav1.CreateOptions{FieldManager: kubeapi.FieldManager})
	case t.last:
		err = configs.Delete(ctx, config.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &config.UID, ResourceVersion: &config.ResourceVersion}})
	default:
		_, err = configs.Update(ctx, config, metav1.UpdateOptions{FieldManager: kubeapi.FieldManager})
	}
	if apierrors.IsNotFound(err) {
		return nil, kubeapi.ErrOvertaken
	}
	return t, err
}

// notify sends the orders to the helpers.
func (r *Reconciler) notify(ctx context.Context, tasks []task) ([]order.Status, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	all := make([][]order.Status, len(tasks))
	err := kubeapi.Each(len(tasks), func(i int) error {
		t := &tasks[i]
		var err error
		if len(t.order.Pods) > 0 || !t.order.Reserved.IsZero() {
			all[i], err = r.put(ctx, t)
		} else {
			err = r.takeBack(ctx, t)
		}
		if refused := (&controlhttp.StatusError{}); errors.As(err, &refused) && refused.Code == http.StatusConflict {
			return kubeapi.ErrOvertaken
		}
		if err != nil && !kubeapi.IsOvertaken(err) {
			return fmt.Errorf("node %q: %w", t.node, err)
		}
		return err
	})
	return slices.Concat(all...), err
}

// put sends a helper the order of a task, and makes the helper if there is none.
func (r *Reconciler) put(ctx context.Context, t *task) ([]order.Status, error) {
	var statuses []order.Status
	h := &helperClient{c: r.Client, node: t.node, agent: r.Agent, known: r.Known}
	err := h.do(ctx, request{http.MethodPut, control.NodeOrderPath(r.Owner), t.order, &statuses})
	if err == nil && t.first {
		err = reclaim(ctx, r.Client, t.node, t.order.Version)
	}
	if kubeapi.IsOvertaken(err) {
		r.Known.forget(t.node) // the helper that has answered ends, and another one is needed
	}
	return statuses, err
}

// takeBack withdraws the owner's order from a helper, and ends the helper if no
// other owner wants anything.
func (r *Reconciler) takeBack(ctx context.Context, t *task) error {
	h := &helperClient{c: r.Client, node: t.node, known: r.Known}
	err := h.do(ctx, request{method: http.MethodDelete, path: control.WithdrawPath(r.Owner, t.order.Version)})
	if errors.Is(err, errNoHelper) {
		err = nil // and so nothing acts
	}
	if !t.last || kubeapi.IsOvertaken(err) {
		return err
	}
	// A helper that does not answer takes everything back when it ends.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	return errors.Join(err, endHelper(ending, r.Client, t.node))
}
