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

// RemoveOwner clears all faults of an owner on all nodes, and ends the helpers that no
// other owner needs.
func RemoveOwner(ctx context.Context, c *kubeapi.Client, owner string) error {
	r := &Reconciler{
		Client: c, Owner: owner, Reserved: map[string]time.Time{}, Wanted: nothing,
	}
	_, err := r.Reconcile(ctx)
	if apierrors.IsForbidden(err) {
		// A detached experiment may not end helpers: the user who made them does.
		r.Keep, r.Reserved = true, nil
		_, err = r.Reconcile(ctx)
	}
	if err != nil {
		return err
	}
	there, err := listOrders(ctx, c)
	if err != nil {
		return err
	}
	for node, config := range there {
		if orders, err := OrdersIn(config, time.Now()); err != nil || len(orders) > 0 {
			continue // the reconciler of the owner reports orders that cannot be read
		}
		err := c.Clientset.CoreV1().ConfigMaps(Namespace).Delete(ctx, config.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &config.UID, ResourceVersion: &config.ResourceVersion},
		})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			continue // it has orders again, or ends already
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

// Statuses asks the helpers for the state of each fault of the owners that wants
// names. If the helper of a node does not answer, each fault has a status with the
// error.
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
	answers := make([][]order.Status, len(nodes))
	_ = kubeapi.Each(len(nodes), func(i int) error {
		statuses, err := askStatus(ctx, c, nodes[i])
		if err == nil {
			answers[i] = slices.DeleteFunc(statuses, func(s order.Status) bool { return !wants(s.Owner) })
			return nil
		}
		for _, o := range orders[nodes[i]] {
			answers[i] = append(answers[i], unanswered(o, fmt.Sprintf("the helper of node %q does not answer: %v", nodes[i], err))...)
		}
		return nil
	})
	return slices.Concat(answers...), orders, nil
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

// A FaultStatus is the state of one fault, over all pods.
type FaultStatus struct {
	by, effective, Errors []string
	// Since is when it began to act on each pod, by its UID and its node's clock.
	Since map[string]time.Time
}

// FaultStatuses sums up statuses by owner and fault.
func FaultStatuses(statuses []order.Status) map[[2]string]*FaultStatus {
	byFault := map[[2]string]*FaultStatus{}
	add := func(list *[]string, text string) {
		if text != "" && !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for _, s := range statuses {
		key := [2]string{s.Owner, s.FaultID}
		if byFault[key] == nil {
			byFault[key] = &FaultStatus{Since: map[string]time.Time{}}
		}
		if s.Acts {
			byFault[key].Since[s.PodUID] = s.Since
		}
		add(&byFault[key].by, s.By)
		add(&byFault[key].effective, s.Effective)
		add(&byFault[key].Errors, s.Error)
	}
	return byFault
}

// Describe adds the state to the description of a fault; nil adds nothing.
func (s *FaultStatus) Describe(in *runner.Injection) {
	if s == nil {
		return
	}
	in.By, in.Effective, in.Errors = strings.Join(s.by, ","), strings.Join(s.effective, "; "), s.Errors
}
