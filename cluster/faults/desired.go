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
	var desired []nodehelper.DesiredFault
	for i := range faults {
		in := &faults[i]
		if !order.Takes(in.Fault.Type) {
			continue
		}
		d := nodehelper.DesiredFault{Fault: order.Fault{ID: in.ID, Fault: in.Fault, Deadline: in.Deadline}}
		if entry, _ := fault.Lookup(in.Fault.Type); entry.Layer == fault.OnNetwork {
			port := portOf(pods[in.Fault.Target.Service])
			d.Fault.Peers, d.Fault.Only = callersOf(in.Fault.Target.From, port, pods)
			if err := nodehelper.CheckPeers(d.Fault.Peers); err != nil {
				return nil, fmt.Errorf("fault %q: %w", in.ID, err)
			}
		}
		for n, p := range pods[in.Fault.Target.Service] {
			if in.targets(in.Fault.Target.Service, n+1) {
				d.Pods = append(d.Pods, p)
			}
		}
		desired = append(desired, d)
	}
	return desired, nil
}

// callersOf says which packets of a pod a fault on the network means: those of
// the requests that it takes, and of their answers. The kubelet's probes, and
// the control, go to another port. The requests of callers come from the
// addresses of their pods, and answers go there, whatever virtual address of a
// Service a caller has used.
func callersOf(from string, port int, pods map[string][]*corev1.Pod) (peers []string, only bool) {
	if from == "" {
		return []string{requestsOf("*", port)}, false
	}
	for _, address := range nodehelper.PodAddresses(pods[from]) {
		peers = append(peers, requestsOf(address, port))
	}
	return peers, true
}

func requestsOf(address string, port int) string {
	return fmt.Sprintf("tcp:%s;local=%d", address, port)
}

// portOf is where the pods of a service take requests.
func portOf(pods []*corev1.Pod) int {
	for _, p := range pods {
		if port := manifest.PortsOf(p).HTTP; port != 0 {
			return port
		}
	}
	return manifest.HTTPPort
}

// reconciler makes the helpers do what the record of faults says.
func (inst *Instance) reconciler() *nodehelper.Reconciler {
	inst.mu.Lock()
	held := inst.holder != nil || inst.followed
	inst.mu.Unlock()
	return &nodehelper.Reconciler{
		Client: inst.Client, Owner: order.SystemOwner(inst.namespace, inst.System().Name), Keep: held, Agent: inst.agentOptions,
		Wanted: inst.desired, Known: &inst.helpers, Reserved: inst.reservedNodes(),
	}
}

// desired derives the orders of all nodes from the record of faults and the pods.
func (inst *Instance) desired(ctx context.Context) (map[string][]order.Pod, error) {
	v, err := inst.Look(ctx)
	if err != nil {
		return nil, err
	}
	desired, err := desiredFaults(v.faults, v.Pods)
	return nodehelper.Orders(desired), err
}

// agentOptions runs helpers with the image that the flags name, or that the
// system's pods have.
func (inst *Instance) agentOptions(ctx context.Context) (nodehelper.Options, error) {
	o := nodehelper.Options{Image: inst.Client.Config.Image, PullPolicy: inst.Client.Config.PullPolicy, PullSecret: inst.Client.Config.PullSecret, Priority: nodehelper.PriorityClass}
	if o.Image != "" {
		return o, nil
	}
	list, err := inst.Client.Clientset.AppsV1().Deployments(inst.namespace).List(ctx, metav1.ListOptions{LabelSelector: manifest.Selector(inst.System().Name)})
	if err != nil {
		return o, fmt.Errorf("looking for the agent's image: %w", kubeapi.Explain(err))
	}
	o.Image, o.PullPolicy = manifest.AgentOf(list.Items)
	if name := manifest.PullSecretOf(list.Items); name != "" && o.PullSecret.Name == "" {
		o.PullSecret = kubeapi.PullSecret{Name: name, From: inst.namespace}
	}
	return o, nil
}

// reconcile makes the helpers do what the record of faults says.
func (inst *Instance) reconcile(ctx context.Context) error {
	_, err := inst.reconciler().Reconcile(ctx)
	return err
}

// orderFault lets a fault of the record act that helpers carry out.
func (inst *Instance) orderFault(ctx context.Context, id string) error {
	statuses, err := inst.reconciler().Reconcile(ctx)
	if err != nil {
		return err
	}
	return nodehelper.FaultError(id, statuses)
}

// helperStatuses asks the helpers for the state of the system's faults. Without the
// rights to ask, there is none.
func (inst *Instance) helperStatuses(ctx context.Context, all []Injection) map[string]*nodehelper.FaultStatus {
	byID := map[string]*nodehelper.FaultStatus{}
	if !slices.ContainsFunc(all, func(in Injection) bool { return order.Takes(in.Fault.Type) }) {
		return byID
	}
	owner := order.SystemOwner(inst.namespace, inst.System().Name)
	statuses, orders, err := nodehelper.Statuses(ctx, inst.Client, func(o string) bool { return o == owner })
	if err != nil {
		return byID
	}
	for key, status := range nodehelper.FaultStatuses(statuses) {
		byID[key[1]] = status
	}
	for i := range all {
		if id := all[i].ID; order.Takes(all[i].Fault.Type) && byID[id] == nil && len(orders) == 0 {
			byID[id] = &nodehelper.FaultStatus{Errors: []string{"no helper carries it out any more; clear it and add it again"}}
		}
	}
	return byID
}
