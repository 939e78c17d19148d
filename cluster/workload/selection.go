package workload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// A Selection names pods by their labels, whoever they belong to.
type Selection struct {
	Namespace string `json:"namespace"`
	Selector  string `json:"selector"`
	// To limits faults on the network to packets to and from destinations:
	// addresses, CIDRs, Services (cart, cart.shop), or names in the DNS.
	To []string `json:"to,omitempty"`
	// AllowSystem admits pods of the namespaces that the cluster itself needs.
	AllowSystem bool `json:"allowSystem,omitempty"`
	// MaxPods is how many pods may be hit at most.
	MaxPods int `json:"maxPods"`
}

func (s *Selection) validate() error {
	if s.Namespace == "" {
		return errors.New("the namespace of the selected pods is missing: name it with -n")
	}
	selector, err := labels.Parse(s.Selector)
	if err != nil {
		return fmt.Errorf("reading the selector %q: %w", s.Selector, err)
	}
	if selector.Empty() {
		return errors.New("an empty selector would take every pod of the namespace; name labels, such as app=cart")
	}
	if s.MaxPods < 1 {
		return fmt.Errorf("at most %d pods would be none", s.MaxPods)
	}
	return nil
}

// guard says why the selected pods may not be broken.
func (s *Selection) guard(pods []*corev1.Pod) error {
	switch {
	case len(pods) == 0:
		return fmt.Errorf("no pod in namespace %q has labels that %q selects; 'kubectl -n %s get pods --show-labels' shows them", s.Namespace, s.Selector, s.Namespace)
	case order.Protected(s.Namespace) && !s.AllowSystem:
		return fmt.Errorf("the cluster itself needs the pods of namespace %q; if they are to be broken nevertheless, write --allow-system", s.Namespace)
	case len(pods) > s.MaxPods:
		return fmt.Errorf("%q selects %d pods of namespace %q, more than the %d that are allowed; select fewer, or write --max-pods=%d", s.Selector, len(pods), s.Namespace, s.MaxPods, len(pods))
	}
	for _, p := range pods {
		if p.Spec.HostNetwork {
			return fmt.Errorf("pod %s/%s has the network of its node, which would be broken as a whole; select other pods", p.Namespace, p.Name)
		}
	}
	return nil
}

// desiredFaults says what a fault wants of the selected pods, as long as their
// guard holds: of pods that came later, only so many are taken as are allowed.
// The kubelet's probes are left alone, as a pod that fails them is started again.
func desiredFaults(f *recordedFault, pods []*corev1.Pod, peers []string, nodes map[string]*corev1.Node) []nodehelper.DesiredFault {
	pods = slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return p.Spec.HostNetwork })
	pods = pods[:min(len(pods), f.Selection.MaxPods)]
	entry, _ := fault.Lookup(f.Fault.Type)
	// The addresses that probes come from are the node's, so each node has its own
	// desired fault.
	byNode := map[string]*nodehelper.DesiredFault{}
	var names []string
	for _, p := range pods {
		name := p.Spec.NodeName
		w := byNode[name]
		if w == nil {
			w = &nodehelper.DesiredFault{Fault: order.Fault{ID: f.ID, Fault: f.Fault, Deadline: f.Deadline, MaxPods: f.Selection.MaxPods}}
			if entry.Layer == fault.OnNetwork {
				w.Fault.Peers, w.Fault.Only = peers, len(f.Selection.To) > 0
				w.Fault.Exempt = nodehelper.ProbeAddresses(p, nodes[name])
			}
			byNode[name] = w
			names = append(names, name)
		}
		w.Pods = append(w.Pods, p)
	}
	var desired []nodehelper.DesiredFault
	for _, name := range names {
		desired = append(desired, *byNode[name])
	}
	return desired
}

// A nodeCache has the nodes that were read; without the right to read them, none.
type nodeCache struct {
	c     *kubeapi.Client
	known map[string]*corev1.Node
}

// learn looks at the nodes of pods where a fault has to do with their addresses.
func (n *nodeCache) learn(ctx context.Context, pods []*corev1.Pod, f fault.Fault) error {
	if entry, _ := fault.Lookup(f.Type); entry.Layer != fault.OnNetwork {
		return nil
	}
	for _, p := range pods {
		name := p.Spec.NodeName
		if _, known := n.known[name]; known || name == "" {
			continue
		}
		node, err := n.c.Clientset.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
			n.known[name] = nil
			continue
		}
		if err != nil {
			return fmt.Errorf("looking at node %q: %w", name, kubeapi.Explain(err))
		}
		n.known[name] = node
	}
	return nil
}

// resolveDestinations resolves those of a selection to addresses: of a Service its
// virtual ones, which most pods send to, and those behind them, which are met
// where connections are balanced before packets are made.
func resolveDestinations(ctx context.Context, c *kubeapi.Client, s Selection) ([]string, error) {
	var all []string
	for _, text := range s.To {
		found, err := resolveDestination(ctx, c, text, s.Namespace)
		if err != nil {
			return nil, fmt.Errorf("finding the destination %q: %w", text, err)
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all, nodehelper.CheckPeers(all)
}

func resolveDestination(ctx context.Context, c *kubeapi.Client, text, namespace string) ([]string, error) {
	if _, err := netip.ParseAddr(text); err == nil {
		return []string{text}, nil
	}
	if _, err := netip.ParsePrefix(text); err == nil {
		return []string{text}, nil
	}
	name, in := serviceNamed(text, namespace)
	service, err := c.Clientset.CoreV1().Services(in).Get(ctx, name, metav1.GetOptions{})
	switch {
	case err == nil && service.Spec.Type == corev1.ServiceTypeExternalName:
		return lookup(ctx, service.Spec.ExternalName)
	case err == nil:
		return addressesOf(ctx, c, service)
	case apierrors.IsNotFound(err) && strings.Contains(text, "."):
		return lookup(ctx, text)
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no Service %q in namespace %q; write an address, a CIDR, SERVICE.NAMESPACE, or a name in the DNS", name, in)
	}
	return nil, kubeapi.Explain(err)
}

// serviceNamed reads cart, cart.shop, cart.shop.svc and cart.shop.svc.DOMAIN.
func serviceNamed(text, namespace string) (name, in string) {
	name, rest, _ := strings.Cut(text, ".")
	in, _, _ = strings.Cut(rest, ".")
	if in == "" {
		in = namespace
	}
	return name, in
}

func addressesOf(ctx context.Context, c *kubeapi.Client, service *corev1.Service) ([]string, error) {
	addresses := nodehelper.ServiceAddresses([]*corev1.Service{service})
	slices, err := c.Clientset.DiscoveryV1().EndpointSlices(service.Namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service.Name})
	if err != nil {
		return nil, kubeapi.Explain(err)
	}
	for i := range slices.Items {
		if slices.Items[i].AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, e := range slices.Items[i].Endpoints {
			addresses = append(addresses, e.Addresses...)
		}
	}
	return addresses, nil
}

// lookup asks the DNS of this machine.
func lookup(ctx context.Context, host string) ([]string, error) {
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("it is no Service, and the DNS does not know it: %w", err)
	}
	return found, nil
}

// watchDestinations returns what changes when the addresses of destinations do.
func watchDestinations(c *kubeapi.Client, s Selection) []nodehelper.Watched {
	var all []nodehelper.Watched
	for _, text := range s.To {
		if strings.ContainsAny(text, "/:") {
			continue
		}
		name, in := serviceNamed(text, s.Namespace)
		if strings.ContainsAny(name[:1], "0123456789") {
			continue // an address
		}
		lw := watch.Labelled(c.Clientset.DiscoveryV1().RESTClient(), "endpointslices", in, discoveryv1.LabelServiceName+"="+name)
		all = append(all, nodehelper.Watched{Objects: lw, Kind: &discoveryv1.EndpointSlice{}})
	}
	return all
}
