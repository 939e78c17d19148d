// Package nodehelper is the client's side of the helpers, which apply faults to
// networks and resources of the pods on their node: it plans the orders of each
// helper, stores them in ConfigMaps, sends them, and starts and ends the helpers. The
// plan and the objects are pure; Reconciler applies them.
package nodehelper

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// A DesiredFault is a fault that shall act on pods.
type DesiredFault struct {
	Fault order.Fault
	Pods  []*corev1.Pod
}

// Reachable reports whether a helper finds anything of a pod: it has a node and
// addresses there, and has not ended. A pod that ends keeps its faults until it
// has.
func Reachable(p *corev1.Pod) bool {
	return p.Spec.NodeName != "" && p.Status.Phase == corev1.PodRunning
}

// Orders sorts desired faults by node and pod, without pods that no helper finds. The
// order of pods and faults never varies, so that equal faults give equal orders.
func Orders(desired []DesiredFault) map[string][]order.Pod {
	at := map[string]map[string]*order.Pod{}
	for _, d := range desired {
		for _, p := range d.Pods {
			if !Reachable(p) {
				continue
			}
			node := at[p.Spec.NodeName]
			if node == nil {
				node = map[string]*order.Pod{}
				at[p.Spec.NodeName] = node
			}
			pod := node[string(p.UID)]
			if pod == nil {
				pod = &order.Pod{UID: string(p.UID), Namespace: p.Namespace, Name: p.Name}
				node[string(p.UID)] = pod
			}
			pod.Faults = append(pod.Faults, d.Fault)
		}
	}
	orders := make(map[string][]order.Pod, len(at))
	for node, pods := range at {
		list := make([]order.Pod, 0, len(pods))
		for _, p := range pods {
			slices.SortStableFunc(p.Faults, func(a, b order.Fault) int { return cmp.Compare(a.ID, b.ID) })
			list = append(list, *p)
		}
		slices.SortFunc(list, func(a, b order.Pod) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
		})
		orders[node] = list
	}
	return orders
}

// MaxPeers bounds the peers of a fault: each packet is compared with all of
// them.
const MaxPeers = 500

// PodAddresses lists the addresses of pods, each once and in order.
func PodAddresses(pods []*corev1.Pod) []string {
	var addresses []string
	for _, p := range pods {
		if p.Spec.HostNetwork {
			continue // these are the node's, and of all that runs there
		}
		for _, ip := range p.Status.PodIPs {
			addresses = append(addresses, ip.IP)
		}
		if len(p.Status.PodIPs) == 0 && p.Status.PodIP != "" {
			addresses = append(addresses, p.Status.PodIP)
		}
	}
	return sorted(addresses)
}

// ServiceAddresses lists the virtual addresses of Services. One without has
// none.
func ServiceAddresses(services []*corev1.Service) []string {
	var addresses []string
	for _, s := range services {
		for _, ip := range slices.Concat(s.Spec.ClusterIPs, []string{s.Spec.ClusterIP}) {
			if _, err := netip.ParseAddr(ip); err == nil {
				addresses = append(addresses, ip)
			}
		}
	}
	return sorted(addresses)
}

// ProbeAddresses are those from which the kubelet of a pod's node probes it: the
// node's own, and the first of the range of its pods, which most network plugins
// give to the node. A node that is not known may be nil.
func ProbeAddresses(p *corev1.Pod, node *corev1.Node) []string {
	var addresses []string
	for _, ip := range p.Status.HostIPs {
		addresses = append(addresses, ip.IP)
	}
	if p.Status.HostIP != "" {
		addresses = append(addresses, p.Status.HostIP)
	}
	if node != nil {
		for _, cidr := range slices.Concat(node.Spec.PodCIDRs, []string{node.Spec.PodCIDR}) {
			if prefix, err := netip.ParsePrefix(cidr); err == nil {
				addresses = append(addresses, prefix.Masked().Addr().Next().String())
			}
		}
	}
	return sorted(addresses)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// CheckPeers says that a fault has more peers than packets can be compared with.
func CheckPeers(peers []string) error {
	if len(peers) > MaxPeers {
		return fmt.Errorf("it would concern the packets of %d addresses, and at most %d are possible; name a service with fewer pods, or a range of addresses", len(peers), MaxPeers)
	}
	return nil
}
