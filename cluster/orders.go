package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/helper"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// wishesOf says what the faults of a system's record want of helpers, given its
// pods by service and replica.
func wishesOf(faults []injection, pods map[string][]*corev1.Pod) ([]helper.Wish, error) {
	var wishes []helper.Wish
	for i := range faults {
		in := &faults[i]
		if !order.Takes(in.Fault.Type) {
			continue
		}
		w := helper.Wish{Fault: order.Fault{ID: in.ID, Fault: in.Fault, Deadline: in.Deadline}}
		if entry, _ := fault.Lookup(in.Fault.Type); entry.Place == fault.OnNetwork {
			w.Fault.Peers, w.Fault.Only = callersOf(in.Fault.Target.From, pods)
			if err := helper.CheckPeers(w.Fault.Peers); err != nil {
				return nil, fmt.Errorf("fault %q: %w", in.ID, err)
			}
		}
		for n, p := range pods[in.Fault.Target.Service] {
			if in.targets(in.Fault.Target.Service, n+1) {
				w.Pods = append(w.Pods, p)
			}
		}
		wishes = append(wishes, w)
	}
	return wishes, nil
}

// callersOf says which packets of a pod a fault on the network means: those of
// the requests that it takes, and of their answers. The kubelet's probes, and
// the control, go to another port. The requests of callers come from the
// addresses of their pods, and answers go there, whatever virtual address of a
// Service a caller has used.
func callersOf(from string, pods map[string][]*corev1.Pod) (peers []string, only bool) {
	if from == "" {
		return []string{requestsOf("*")}, false
	}
	for _, address := range helper.PodAddresses(pods[from]) {
		peers = append(peers, requestsOf(address))
	}
	return peers, true
}

func requestsOf(address string) string {
	return fmt.Sprintf("tcp:%s;local=%d", address, manifest.HTTPPort)
}

// crew is the helpers as the system sees them.
func (d *Deployment) crew() *crew {
	d.mu.Lock()
	held := d.holder != nil || d.followed
	d.mu.Unlock()
	return &crew{
		c: d.c, owner: helper.SystemOwner(d.namespace, d.system.Name), keep: held, agent: d.agentOptions,
		wanted: func(ctx context.Context, _ map[string]*order.Order) (map[string][]order.Pod, error) {
			return d.wanted(ctx)
		},
	}
}

// disband takes back all that helpers do for an owner, and ends those that nobody
// wants anything of.
func (c *Cluster) disband(ctx context.Context, owner string) error {
	w := &crew{c: c, owner: owner, wanted: func(context.Context, map[string]*order.Order) (map[string][]order.Pod, error) { return nil, nil }}
	if _, err := w.arrange(ctx); err != nil {
		return err
	}
	there, err := c.ordersThere(ctx)
	if err != nil {
		return err
	}
	for node, config := range there {
		if orders, err := helper.OrdersIn(config, time.Now()); err != nil || len(orders) > 0 {
			continue // whose orders cannot be read is seen by who reads them
		}
		err := c.client.CoreV1().ConfigMaps(helper.Namespace).Delete(ctx, config.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &config.UID, ResourceVersion: &config.ResourceVersion},
		})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			continue // somebody wants something again, or it ends already
		}
		if err := errors.Join(err, c.endHelper(ctx, node)); err != nil {
			return err
		}
	}
	return nil
}

// wanted derives the orders of all nodes from the record of faults and the pods.
func (d *Deployment) wanted(ctx context.Context) (map[string][]order.Pod, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	wishes, err := wishesOf(v.faults, v.pods)
	return helper.Orders(wishes), err
}

// agentOptions runs helpers with the image that the flags name, or that the
// system's pods have.
func (d *Deployment) agentOptions(ctx context.Context) (helper.Options, error) {
	o := helper.Options{Image: d.c.config.Image, PullPolicy: d.c.config.PullPolicy, Priority: helper.PriorityClass}
	if o.Image != "" {
		return o, nil
	}
	list, err := d.c.client.AppsV1().Deployments(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.Selector(d.system.Name), Limit: 1})
	if err != nil {
		return o, fmt.Errorf("looking for the agent's image: %w", explain(err))
	}
	for i := range list.Items {
		for _, c := range list.Items[i].Spec.Template.Spec.Containers {
			o.Image, o.PullPolicy = c.Image, c.ImagePullPolicy
		}
	}
	return o, nil
}

// arrange makes the helpers do what the record of faults says.
func (d *Deployment) arrange(ctx context.Context) error {
	_, err := d.crew().arrange(ctx)
	return err
}

// orderFault lets a fault of the record act that helpers carry out.
func (d *Deployment) orderFault(ctx context.Context, id string) error {
	statuses, err := d.crew().arrange(ctx)
	if err != nil {
		return err
	}
	return troubleOf(id, statuses)
}

// troubleOf joins what keeps a fault from acting on pods.
func troubleOf(id string, statuses []order.Status) error {
	var errs []error
	for _, s := range statuses {
		if s.FaultID == id && s.Error != "" {
			errs = append(errs, fmt.Errorf("pod with the UID %s: %s", s.PodUID, s.Error))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return summarize(errors.Join(errs...))
}

// carriedOut tells what helpers have made of each fault of an owner. Of nodes
// whose helper does not answer there is a status with an error for each fault.
func (c *Cluster) carriedOut(ctx context.Context, wants func(owner string) bool) ([]order.Status, map[string][]*order.Order, error) {
	there, err := c.ordersThere(ctx)
	if err != nil {
		return nil, nil, err
	}
	orders := map[string][]*order.Order{}
	var nodes []string
	for node, config := range there {
		all, err := helper.OrdersIn(config, time.Now())
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
	_ = each(len(nodes), func(i int) error {
		statuses, err := c.askStatus(ctx, nodes[i])
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
func (c *Cluster) askStatus(ctx context.Context, node string) (statuses []order.Status, err error) {
	err = c.askHelper(ctx, node, "/status", &statuses)
	return statuses, err
}

// askHelper asks the helper of a node something, without waiting for one.
func (c *Cluster) askHelper(ctx context.Context, node, path string, answer any) error {
	pods, err := c.client.CoreV1().Pods(helper.Namespace).List(ctx, metav1.ListOptions{LabelSelector: helper.NodeSelector(node)})
	if err != nil {
		return err
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; helperRuns(p) {
			address, err := c.helperAddress(ctx, p)
			if err == nil {
				err = c.order(ctx, address, http.MethodGet, path, nil, answer)
			}
			return err
		}
	}
	return errors.New("it is not running")
}

// A deed is what helpers have made of one fault, over all pods.
type deed struct{ by, effective, errors []string }

// deedsOf sums up statuses by owner and fault.
func deedsOf(statuses []order.Status) map[[2]string]*deed {
	deeds := map[[2]string]*deed{}
	add := func(list *[]string, text string) {
		if text != "" && !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for _, s := range statuses {
		key := [2]string{s.Owner, s.FaultID}
		if deeds[key] == nil {
			deeds[key] = &deed{}
		}
		add(&deeds[key].by, s.By)
		add(&deeds[key].effective, s.Effective)
		add(&deeds[key].errors, s.Error)
	}
	return deeds
}

// describe adds what is known of the deed to what is told of a fault.
func (w *deed) describe(in *experiment.Injection) {
	if w == nil {
		return
	}
	in.By, in.Effective, in.Errors = strings.Join(w.by, ","), strings.Join(w.effective, "; "), w.errors
}

// deeds asks the helpers what they have made of the system's faults. Who may not
// ask them does not learn it.
func (d *Deployment) deeds(ctx context.Context, all []injection) map[string]*deed {
	byID := map[string]*deed{}
	if !slices.ContainsFunc(all, func(in injection) bool { return order.Takes(in.Fault.Type) }) {
		return byID
	}
	owner := helper.SystemOwner(d.namespace, d.system.Name)
	statuses, orders, err := d.c.carriedOut(ctx, func(o string) bool { return o == owner })
	if err != nil {
		return byID
	}
	for key, deed := range deedsOf(statuses) {
		byID[key[1]] = deed
	}
	for i := range all {
		if id := all[i].ID; order.Takes(all[i].Fault.Type) && byID[id] == nil && len(orders) == 0 {
			byID[id] = &deed{errors: []string{"no helper carries it out any more; clear it and add it again"}}
		}
	}
	return byID
}
