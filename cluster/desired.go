package cluster

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/helper"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
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
func (d *Instance) crew() *crew {
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

// wanted derives the orders of all nodes from the record of faults and the pods.
func (d *Instance) wanted(ctx context.Context) (map[string][]order.Pod, error) {
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	wishes, err := wishesOf(v.faults, v.pods)
	return helper.Orders(wishes), err
}

// agentOptions runs helpers with the image that the flags name, or that the
// system's pods have.
func (d *Instance) agentOptions(ctx context.Context) (helper.Options, error) {
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
func (d *Instance) arrange(ctx context.Context) error {
	_, err := d.crew().arrange(ctx)
	return err
}

// orderFault lets a fault of the record act that helpers carry out.
func (d *Instance) orderFault(ctx context.Context, id string) error {
	statuses, err := d.crew().arrange(ctx)
	if err != nil {
		return err
	}
	return troubleOf(id, statuses)
}

// deeds asks the helpers what they have made of the system's faults. Who may not
// ask them does not learn it.
func (d *Instance) deeds(ctx context.Context, all []injection) map[string]*deed {
	byID := map[string]*deed{}
	if !slices.ContainsFunc(all, func(in injection) bool { return order.Takes(in.Fault.Type) }) {
		return byID
	}
	owner := helper.SystemOwner(d.namespace, d.system.Name)
	statuses, orders, err := carriedOut(ctx, d.c, func(o string) bool { return o == owner })
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
