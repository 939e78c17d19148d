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

// A Reconciler is the helpers of all nodes as one owner of faults sees them. What the
// owner wants is kept in a ConfigMap a node, from which a helper that comes later
// reads it; a helper that is there is told at once.
type Reconciler struct {
	Client *kubeapi.Client
	Owner  string
	// wanted returns what the owner wants of each node, given the orders that
	// there are. It may be asked several times, as others change them, too.
	Wanted func(ctx context.Context, orders map[string]*order.Order) (map[string][]order.Pod, error)
	// agent says how helpers are run; it is asked where one has to be made.
	Agent func(ctx context.Context) (Options, error)
	// keep leaves helpers that nobody wants anything of, for the next fault;
	// they end by themselves after a while.
	Keep bool
}

// ErrConflict says that others were faster, and that it has to be done anew.
var ErrConflict = errors.New("the orders were changed by others at the same time, again and again; try again") //nolint:gochecknoglobals // a sentinel

// endTimeout bounds the ending of a helper that nobody wants anything of.
const endTimeout = 30 * time.Second

// reconcileTries bounds how often orders are derived anew because others change
// them at the same time.
const reconcileTries = 20

// Reconcile makes the helpers do what the owner wants, and returns what they tell
// of it. All that was changed acts when it returns.
func (w *Reconciler) Reconcile(ctx context.Context) ([]order.Status, error) {
	for try := range reconcileTries {
		statuses, err := w.reconcileOnce(ctx)
		if !IsOvertaken(err) {
			return statuses, kubeapi.Explain(err)
		}
		select {
		case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, ErrConflict
}

// IsOvertaken reports whether an error comes from changes of others.
func IsOvertaken(err error) bool {
	return errors.Is(err, ErrConflict) || kubeapi.IsOvertaken(err)
}

// A task is what has to be done for one node.
type task struct {
	node    string
	version int64
	pods    []order.Pod
	// last is set where nobody wants anything of the node any more, and first
	// where nobody did so far.
	last, first bool
}

func (w *Reconciler) reconcileOnce(ctx context.Context) ([]order.Status, error) {
	// What is there is read before what is wanted. So, an order that is based on
	// a record that has changed since is never written over one that is not.
	there, err := listOrders(ctx, w.Client)
	if err != nil {
		return nil, err
	}
	orders := map[string]*order.Order{}
	for node, config := range there {
		o, err := OrderOf(config, w.Owner, time.Now())
		if err != nil {
			return nil, err
		}
		if o != nil {
			orders[node] = o
		}
	}
	wanted, err := w.Wanted(ctx, orders)
	if err != nil {
		return nil, err
	}
	tasks, err := w.write(ctx, there, orders, wanted)
	if err != nil {
		return nil, err
	}
	statuses, err := w.notify(ctx, tasks)
	if err == nil && slices.ContainsFunc(tasks, func(t task) bool { return t.last }) {
		err = TidyHelpers(ctx, w.Client, EverySystem)
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

// write changes the ConfigMaps of nodes of which something else is wanted than
// before, and returns what their helpers have to be told.
func (w *Reconciler) write(ctx context.Context, there map[string]*corev1.ConfigMap, orders map[string]*order.Order, wanted map[string][]order.Pod) ([]task, error) {
	nodes := slices.Sorted(maps.Keys(wanted))
	for node := range orders {
		if _, also := wanted[node]; !also {
			nodes = append(nodes, node)
		}
	}
	if len(wanted) > 0 {
		if err := EnsureNamespace(ctx, w.Client); err != nil {
			return nil, err
		}
	}
	var mu sync.Mutex
	var tasks []task
	err := kubeapi.Each(len(nodes), func(i int) error {
		t, err := w.writeOne(ctx, nodes[i], there[nodes[i]], wanted[nodes[i]])
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

// writeOne writes the orders of one node. It returns nil where its helper knows
// them already.
func (w *Reconciler) writeOne(ctx context.Context, node string, config *corev1.ConfigMap, pods []order.Pod) (*task, error) {
	configs := w.Client.Clientset.CoreV1().ConfigMaps(Namespace)
	isNew := config == nil
	if isNew {
		config = NewOrders(node)
	}
	version, changed, err := SetPods(config, w.Owner, pods, time.Now())
	if err != nil {
		return nil, err
	}
	t := &task{node: node, version: version, pods: pods, last: len(config.Data) == 0 && !w.Keep, first: len(config.OwnerReferences) == 0}
	switch {
	case !changed && len(config.OwnerReferences) > 0:
		return nil, nil
	case !changed: // whoever wrote it did not come to making its helper
	case isNew:
		_, err = configs.Create(ctx, config, metav1.CreateOptions{FieldManager: kubeapi.FieldManager})
	case t.last:
		err = configs.Delete(ctx, config.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &config.UID, ResourceVersion: &config.ResourceVersion}})
	default:
		_, err = configs.Update(ctx, config, metav1.UpdateOptions{FieldManager: kubeapi.FieldManager})
	}
	if apierrors.IsNotFound(err) {
		return nil, ErrConflict
	}
	return t, err
}

// notify gives the orders to the helpers.
func (w *Reconciler) notify(ctx context.Context, tasks []task) ([]order.Status, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	all := make([][]order.Status, len(tasks))
	err := kubeapi.Each(len(tasks), func(i int) error {
		t := &tasks[i]
		var err error
		if len(t.pods) > 0 {
			all[i], err = w.put(ctx, t)
		} else {
			err = w.takeBack(ctx, t)
		}
		if refused := (&controlhttp.StatusError{}); errors.As(err, &refused) && refused.Code == http.StatusConflict {
			return ErrConflict
		}
		if err != nil && !IsOvertaken(err) {
			return fmt.Errorf("node %q: %w", t.node, err)
		}
		return err
	})
	return slices.Concat(all...), err
}

// put gives a helper the order of a task. A helper that is not there is made.
func (w *Reconciler) put(ctx context.Context, t *task) ([]order.Status, error) {
	var statuses []order.Status
	v := &helperClient{c: w.Client, node: t.node, agent: w.Agent}
	err := v.do(ctx, http.MethodPut, control.NodeOrderPath(w.Owner), order.Order{Owner: w.Owner, Version: t.version, Pods: t.pods}, &statuses)
	if err == nil && t.first {
		err = reclaim(ctx, w.Client, t.node, t.version)
	}
	return statuses, err
}

// takeBack tells a helper that the owner wants nothing any more, and ends it
// where nobody does.
func (w *Reconciler) takeBack(ctx context.Context, t *task) error {
	v := &helperClient{c: w.Client, node: t.node}
	err := v.do(ctx, http.MethodDelete, control.WithdrawPath(w.Owner, t.version), nil, nil)
	if errors.Is(err, errNoHelper) {
		err = nil // and so nothing acts
	}
	if !t.last || IsOvertaken(err) {
		return err
	}
	// A helper that does not answer takes everything back when it ends.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	return errors.Join(err, endHelper(ending, w.Client, t.node))
}
