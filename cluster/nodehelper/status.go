package nodehelper

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Disband takes back all that helpers do for an owner, and ends those that nobody
// wants anything of.
func Disband(ctx context.Context, c *kubeapi.Client, owner string) error {
	w := &Reconciler{Client: c, Owner: owner, Wanted: func(context.Context, map[string]*order.Order) (map[string][]order.Pod, error) { return nil, nil }}
	if _, err := w.Reconcile(ctx); err != nil {
		return err
	}
	there, err := listOrders(ctx, c)
	if err != nil {
		return err
	}
	for node, config := range there {
		if orders, err := OrdersIn(config, time.Now()); err != nil || len(orders) > 0 {
			continue // whose orders cannot be read is seen by who reads them
		}
		err := c.Clientset.CoreV1().ConfigMaps(Namespace).Delete(ctx, config.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &config.UID, ResourceVersion: &config.ResourceVersion},
		})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			continue // somebody wants something again, or it ends already
		}
		if err := errors.Join(err, endHelper(ctx, c, node)); err != nil {
			return err
		}
	}
	return nil
}

// FaultError joins what keeps a fault from acting on pods.
func FaultError(id string, statuses []order.Status) error {
	var errs []error
	for _, s := range statuses {
		if s.FaultID == id && s.Error != "" {
			errs = append(errs, fmt.Errorf("pod with the UID %s: %s", s.PodUID, s.Error))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return kubeapi.Summarize(errors.Join(errs...))
}

// Statuses tells what helpers have made of each fault of an owner. Of nodes
// whose helper does not answer there is a status with an error for each fault.
func Statuses(ctx context.Context, c *kubeapi.Client, wants func(owner string) bool) ([]order.Status, map[string][]*order.Order, error) {
	there, err := listOrders(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	orders := map[string][]*order.Order{}
	var nodes []string
	for node, config := range there {
		all, err := OrdersIn(config, time.Now())
		if err != nil {
			return nil, nil, err
		}
		for _, o := range all {
			if wants(o.Owner) {
				orders[node] = append(orders[node], o)
			}
		}
		if len(orders[node]) > 0 {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	told := make([][]order.Status, len(nodes))
	_ = kubeapi.Each(len(nodes), func(i int) error {
		statuses, err := askStatus(ctx, c, nodes[i])
		if err == nil {
			told[i] = slices.DeleteFunc(statuses, func(s order.Status) bool { return !wants(s.Owner) })
			return nil
		}
		for _, o := range orders[nodes[i]] {
			told[i] = append(told[i], unanswered(o, fmt.Sprintf("the helper of node %q does not answer: %v", nodes[i], err))...)
		}
		return nil
	})
	return slices.Concat(told...), orders, nil
}

func unanswered(o *order.Order, why string) (statuses []order.Status) {
	for _, p := range o.Pods {
		for _, f := range p.Faults {
			statuses = append(statuses, order.Status{Owner: o.Owner, Version: o.Version, PodUID: p.UID, FaultID: f.ID, Error: why})
		}
	}
	return statuses
}

// askStatus asks the helper of a node what acts, without waiting for one.
func askStatus(ctx context.Context, c *kubeapi.Client, node string) (statuses []order.Status, err error) {
	err = AskHelper(ctx, c, node, control.NodeStatusPath, &statuses)
	return statuses, err
}

// AskHelper asks the helper of a node something, without waiting for one.
func AskHelper(ctx context.Context, c *kubeapi.Client, node, path string, answer any) error {
	pods, err := c.Clientset.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: NodeSelector(node)})
	if err != nil {
		return err
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; helperRuns(p) {
			address, err := helperAddress(ctx, c, p)
			if err == nil {
				err = c.Control(ctx, address, http.MethodGet, path, nil, answer)
			}
			return err
		}
	}
	return errors.New("it is not running")
}

// A FaultStatus is what helpers have made of one fault, over all pods.
type FaultStatus struct{ by, effective, Errors []string }

// FaultStatuses sums up statuses by owner and fault.
func FaultStatuses(statuses []order.Status) map[[2]string]*FaultStatus {
	deeds := map[[2]string]*FaultStatus{}
	add := func(list *[]string, text string) {
		if text != "" && !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for _, s := range statuses {
		key := [2]string{s.Owner, s.FaultID}
		if deeds[key] == nil {
			deeds[key] = &FaultStatus{}
		}
		add(&deeds[key].by, s.By)
		add(&deeds[key].effective, s.Effective)
		add(&deeds[key].Errors, s.Error)
	}
	return deeds
}

// Describe adds what is known of the deed to what is told of a fault.
func (w *FaultStatus) Describe(in *runner.Injection) {
	if w == nil {
		return
	}
	in.By, in.Effective, in.Errors = strings.Join(w.by, ","), strings.Join(w.effective, "; "), w.Errors
}
