package faults

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// desiredFaults says what the faults of a system's record want of helpers, given its
// pods by service and replica.
func desiredFaults(faults []Injection, pods map[string][]*corev1.Pod) ([]nodehelper.DesiredFault, error) {
	var wishes []nodehelper.DesiredFault
	for i := range faults {
		in := &faults[i]
		if !order.Takes(in.Fault.Type) {
			continue
		}
		w := nodehelper.DesiredFault{Fault: order.Fault{ID: in.ID, Fault: in.Fault, Deadline: in.Deadline}}
		if entry, _ := fault.Lookup(in.Fault.Type); entry.Layer == fault.OnNetwork {
			w.Fault.Peers, w.Fault.Only = callersOf(in.Fault.Target.From, pods)
			if err := nodehelper.CheckPeers(w.Fault.Peers); err != nil {
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
	for _, address := range nodehelper.PodAddresses(pods[from]) {
		peers = append(peers, requestsOf(address))
	}
	return peers, true
}

func requestsOf(address string) string {
	return fmt.Sprintf("tcp:%s;local=%d", address, manifest.HTTPPort)
}

// reconciler is the helpers as the system sees them.
func (d *Instance) reconciler() *nodehelper.Reconciler {
	d.mu.Lock()
	held := d.holder != nil || d.followed
	d.mu.Unlock()
	return &nodehelper.Reconciler{
		Client: d.Client, Owner: nodehelper.SystemOwner(d.namespace, d.system.Name), Keep: held, Agent: d.agentOptions,
		Wanted: func(ctx context.Context, _ map[string]*order.Order) (map[string][]order.Pod, error) {
			return d.desired(ctx)
		},
	}
}

// desired derives the orders of all nodes from the record of faults and the pods.
func (d *Instance) desired(ctx context.Context) (map[string][]order.Pod, error) {
	v, err := d.Look(ctx)
	if err != nil {
		return nil, err
	}
	wishes, err := desiredFaults(v.faults, v.Pods)
	return nodehelper.Orders(wishes), err
}

// agentOptions runs helpers with the image that the flags name, or that the
// system's pods have.
func (d *Instance) agentOptions(ctx context.Context) (nodehelper.Options, error) {
	o := nodehelper.Options{Image: d.Client.Config.Image, PullPolicy: d.Client.Config.PullPolicy, Priority: nodehelper.PriorityClass}
	if o.Image != "" {
		return o, nil
	}
	list, err := d.Client.Clientset.AppsV1().Deployments(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.Selector(d.system.Name), Limit: 1})
	if err != nil {
		return o, fmt.Errorf("looking for the agent's image: %w", kubeapi.Explain(err))
	}
	for i := range list.Items {
		for _, c := range list.Items[i].Spec.Template.Spec.Containers {
			o.Image, o.PullPolicy = c.Image, c.ImagePullPolicy
		}
	}
	return o, nil
}

// reconcile makes the helpers do what the record of faults says.
func (d *Instance) reconcile(ctx context.Context) error {
	_, err := d.reconciler().Reconcile(ctx)
	return err
}

// orderFault lets a fault of the record act that helpers carry out.
func (d *Instance) orderFault(ctx context.Context, id string) error {
	statuses, err := d.reconciler().Reconcile(ctx)
	if err != nil {
		return err
	}
	return nodehelper.FaultError(id, statuses)
}

// helperStatuses asks the helpers what they have made of the system's faults. Who may not
// ask them does not learn it.
func (d *Instance) helperStatuses(ctx context.Context, all []Injection) map[string]*nodehelper.FaultStatus {
	byID := map[string]*nodehelper.FaultStatus{}
	if !slices.ContainsFunc(all, func(in Injection) bool { return order.Takes(in.Fault.Type) }) {
		return byID
	}
	owner := nodehelper.SystemOwner(d.namespace, d.system.Name)
	statuses, orders, err := nodehelper.Statuses(ctx, d.Client, func(o string) bool { return o == owner })
	if err != nil {
		return byID
	}
	for key, deed := range nodehelper.FaultStatuses(statuses) {
		byID[key[1]] = deed
	}
	for i := range all {
		if id := all[i].ID; order.Takes(all[i].Fault.Type) && byID[id] == nil && len(orders) == 0 {
			byID[id] = &nodehelper.FaultStatus{Errors: []string{"no helper carries it out any more; clear it and add it again"}}
		}
	}
	return byID
}
