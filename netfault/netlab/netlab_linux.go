package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// Network is a network of hosts. Its methods may be called at the same time.
type Network struct {
	name     string
	link     string
	prefix   netip.Prefix
	backends func(vns.NsHandle) []netfault.Backend

	mu     sync.Mutex
	hub    vns.NsHandle
	hubNet *netlink.Handle
	bridge int
	hosts  map[string]*host
}

type host struct {
	ns       vns.NsHandle
	number   int
	backends []netfault.Backend
	// impaired is the index of the backend that has applied rules, or
	// noBackend.
	impaired int
	// met are the packets that rules had matched before the last change;
	// counted says whether they are counted at all.
	met     map[string]int64
	counted bool
}

// noBackend is the index that stands for no backend.
const noBackend = -1

// bridgeName is the name of the bridge in the hub.
const bridgeName = "bridge"

// New makes a network without hosts. The name of its link must be of LinkName.
// The function makes the backends that can impair the hosts, the preferred one
// first.
func New(name, link string, backends func(vns.NsHandle) []netfault.Backend) (_ *Network, err error) {
	if err := checkLink(link); err != nil {
		return nil, err
	}
	if err := mayMake(); err != nil {
		return nil, err
	}
	n := &Network{name: name, link: link, backends: backends, hub: vns.None(), hosts: map[string]*host{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("making the network of %q: %w", name, err), n.Close())
		}
	}()
	if n.hub, err = netns.Create(); err != nil {
		return nil, err
	}
	if n.hubNet, err = netlink.NewHandleAt(n.hub, unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("speaking to the kernel about the hub: %w", err)
	}
	if err := n.makeBridge(); err != nil {
		return nil, fmt.Errorf("making the bridge of the hub: %w", err)
	}
	if err := n.makeLink(); err != nil {
		return nil, fmt.Errorf("making the link %q to the hub: %w", link, err)
	}
	return n, nil
}

// mayMake says why this program has no right to make namespaces.
func mayMake() error {
	ns, err := netns.Create()
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: root is needed: run it by sudo, or choose --isolation process", err)
	}
	if err != nil {
		return err
	}
	return ns.Close()
}

// Check tries to make everything that a network needs, and removes it again.
func Check() error {
	n, err := New("check", LinkName(fmt.Sprintf("%08x", rand.Uint32())), nil)
	if err != nil {
		return err
	}
	_, err = n.Add("check")
	return errors.Join(err, n.Close())
}

func (n *Network) makeBridge() error {
	if err := n.hubNet.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}); err != nil {
		return err
	}
	bridge, err := n.hubNet.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	n.bridge = bridge.Attrs().Index
	return n.hubNet.LinkSetUp(bridge)
}

// makeLink joins this program's namespace to the hub.
func (n *Network) makeLink() error {
	here, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer here.Close()
	if n.prefix, err = freePrefix(here); err != nil {
		return err
	}
	const inHub = "outside"
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: n.link}, PeerName: inHub, PeerNamespace: netlink.NsFd(n.hub)}
	if err := here.LinkAdd(veth); err != nil {
		return err
	}
	link, err := here.LinkByName(n.link)
	if err != nil {
		return err
	}
	if err := here.LinkSetAlias(link, alias+n.name); err != nil {
		return err
	}
	if err := setUp(here, link, netip.PrefixFrom(addressOf(n.prefix, 1), networkBits)); err != nil {
		return err
	}
	return n.join(inHub)
}

// join makes a link of the hub a port of the bridge.
func (n *Network) join(name string) error {
	port, err := n.hubNet.LinkByName(name)
	if err != nil {
		return err
	}
	if err := n.hubNet.LinkSetMasterByIndex(port, n.bridge); err != nil {
		return err
	}
	return n.hubNet.LinkSetUp(port)
}

func setUp(h *netlink.Handle, link netlink.Link, a netip.Prefix) error {
	address := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), 32)}}
	if err := h.AddrAdd(link, address); err != nil {
		return fmt.Errorf("giving it the address %s: %w", a, err)
	}
	return h.LinkSetUp(link)
}

// freePrefix chooses a network in which this machine has no address.
func freePrefix(here *netlink.Handle) (netip.Prefix, error) {
	used, err := here.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, err
	}
	first := rand.IntN(networks)
	for n := range networks {
		p := prefixOf(first + n)
		taken := slices.ContainsFunc(used, func(a netlink.Addr) bool {
			ip, ok := netip.AddrFromSlice(a.IP.To4())
			bits, _ := a.Mask.Size()
			return ok && netip.PrefixFrom(ip, bits).Overlaps(p)
		})
		if !taken {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("all %d networks of 198.18.0.0/15 are in use; take systems down", networks)
}

// Link is the name of the link in this program's namespace.
func (n *Network) Link() string { return n.link }

// Add makes a host and returns its address.
func (n *Network) Add(name string) (ip string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[name] != nil {
		return "", fmt.Errorf("adding host %q: there is one of that name", name)
	}
	h := &host{ns: vns.None(), number: n.freeNumber(), impaired: noBackend}
	if h.number == 0 {
		return "", fmt.Errorf("adding host %q: the network is full with %d", name, most)
	}
	if h.ns, err = netns.Create(); err == nil {
		n.hosts[name] = h
		if err = n.connect(h); err != nil {
			err = errors.Join(err, n.remove(name))
		}
	}
	if err != nil {
		return "", fmt.Errorf("adding host %q: %w", name, err)
	}
	if n.backends != nil {
		h.backends = n.backends(h.ns)
	}
	return addressOf(n.prefix, h.number).String(), nil
}

// freeNumber returns an unused host number, or 0 if there is none.
func (n *Network) freeNumber() int {
	used := map[int]bool{}
	for _, h := range n.hosts {
		used[h.number] = true
	}
	for number := 2; number < 2+most; number++ {
		if !used[number] {
			return number
		}
	}
	return 0
}

func (h *host) port() string { return fmt.Sprintf("host%d", h.number) }

func (n *Network) connect(h *host) error {
	inside, err := netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer inside.Close()
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: h.port(), TxQLen: 1000}, PeerName: Interface, PeerNamespace: netlink.NsFd(h.ns),
	}
	if err := n.hubNet.LinkAdd(veth); err != nil {
		return fmt.Errorf("making its link: %w", err)
	}
	if err := n.join(h.port()); err != nil {
		return fmt.Errorf("joining it to the bridge: %w", err)
	}
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := inside.LinkSetUp(lo); err != nil {
		return err
	}
	link, err := inside.LinkByName(Interface)
	if err != nil {
		return err
	}
	return setUp(inside, link, netip.PrefixFrom(addressOf(n.prefix, h.number), networkBits))
}

// Remove takes a host away. The processes in it lose their link.
func (n *Network) Remove(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[name] == nil {
		return nil
	}
	if err := n.remove(name); err != nil {
		return fmt.Errorf("removing host %q: %w", name, err)
	}
	return nil
}

func (n *Network) remove(name string) error {
	h := n.hosts[name]
	delete(n.hosts, name)
	errs := []error{n.closeBackends(h)}
	if port, err := n.hubNet.LinkByName(h.port()); err == nil {
		errs = append(errs, n.hubNet.LinkDel(port))
	}
	return errors.Join(append(errs, h.ns.Close())...)
}

func (n *Network) closeBackends(h *host) error {
	var errs []error
	if h.impaired != noBackend {
		errs = append(errs, h.backends[h.impaired].Clear(context.Background(), n.owner()))
	}
	for _, b := range h.backends {
		if c, ok := b.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	h.backends, h.impaired = nil, noBackend
	return errors.Join(errs...)
}

// Enter runs f on the calling thread, inside a host. The caller has locked the
// thread. The error says if the thread is left in the wrong namespace.
func (n *Network) Enter(name string, f func() error) error {
	n.mu.Lock()
	h := n.hosts[name]
	n.mu.Unlock()
	if h == nil {
		return fmt.Errorf("entering host %q: no such host", name)
	}
	here, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return fmt.Errorf("entering host %q: %w", name, err)
	}
	defer here.Close()
	if err := netns.Enter(h.ns); err != nil {
		return fmt.Errorf("entering host %q: %w", name, err)
	}
	err = f()
	if back := netns.Enter(vns.NsHandle(here.Fd())); back != nil {
		return errors.Join(err, fmt.Errorf("coming back from host %q: the thread is in a wrong namespace: %w", name, back))
	}
	return err
}

// owner marks rules as those of this network.
func (n *Network) owner() string { return n.link }

// Impair makes exactly these rules act on the host; with no rules it removes
// all. It returns which backend acts, and why a preferred one does not.
func (n *Network) Impair(ctx context.Context, name string, rules []netfault.Rule) (backend string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[name]
	if h == nil {
		return "", fmt.Errorf("impairing host %q: no such host", name)
	}
	if len(rules) == 0 {
		if h.impaired == noBackend {
			return "", nil
		}
		if err := h.backends[h.impaired].Clear(ctx, n.owner()); err != nil {
			return "", fmt.Errorf("mending the network of host %q: %w", name, err)
		}
		h.impaired = noBackend
		return "", nil
	}
	h.remember(rules)
	state := netfault.State{Owner: n.owner(), Rules: rules}
	if err := state.Validate(); err != nil {
		return "", fmt.Errorf("impairing host %q: %w", name, err)
	}
	var errs []error
	for i, b := range h.backends {
		_, err := b.Apply(ctx, state)
		if errors.Is(err, netfault.ErrUnsupported) {
			errs = append(errs, fmt.Errorf("backend %s: %w", b.Name(), err))
			continue
		}
		if err == nil && h.impaired != noBackend && h.impaired != i {
			err = h.backends[h.impaired].Clear(ctx, n.owner())
		}
		h.impaired = i
		_, h.counted = b.(Counter)
		if err != nil {
			return "", fmt.Errorf("impairing host %q: %w", name, err)
		}
		return b.Name(), nil
	}
	return "", fmt.Errorf("impairing host %q: no backend can do it here: %w; `kubectl microsim doctor` tells what works", name, errors.Join(errs...))
}

// remember keeps what has been counted of the rules that stay.
func (h *host) remember(rules []netfault.Rule) {
	now := h.metNow()
	h.met = map[string]int64{}
	for _, r := range rules {
		h.met[r.ID] = now[r.ID]
	}
}

// metNow counts the packets that each rule has matched; nil if they are not
// counted.
func (h *host) metNow() map[string]int64 {
	if h.impaired == noBackend || !h.counted {
		return nil
	}
	met := maps.Clone(h.met)
	for id, n := range h.backends[h.impaired].(Counter).Met() {
		met[id] += n
	}
	return met
}

// Met counts the packets of a host that each rule has matched since it was
// applied, by the rule's id. It is nil if the backend does not count.
func (n *Network) Met(name string) map[string]int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hosts[name]; h != nil {
		return h.metNow()
	}
	return nil
}

// Close removes everything. It may be called again.
func (n *Network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	names := make([]string, 0, len(n.hosts))
	for name := range n.hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		// Their links go with the namespaces, all at once: one by one takes the
		// kernel some 40 ms each.
		h := n.hosts[name]
		errs = append(errs, n.closeBackends(h), h.ns.Close())
		delete(n.hosts, name)
	}
	if n.hubNet != nil {
		n.hubNet.Close()
		n.hubNet = nil
	}
	if n.hub.IsOpen() {
		errs = append(errs, n.hub.Close(), Sweep(n.link))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("taking down the network of %q: %w; `ip link del %s` removes its link", n.name, err, n.link)
	}
	return nil
}

// Sweep removes the link of a network whose program is gone, if it is still
// there. A link that is not ours is left alone.
func Sweep(link string) error {
	if err := checkLink(link); err != nil {
		return err
	}
	here, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("looking for link %q: %w", link, err)
	}
	defer here.Close()
	l, err := here.LinkByName(link)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for link %q: %w", link, err)
	}
	if _, isVeth := l.(*netlink.Veth); !isVeth || l.Attrs().Alias != "" && !strings.HasPrefix(l.Attrs().Alias, alias) {
		return fmt.Errorf("link %q is not ours: it is a %s with the alias %q", link, l.Type(), l.Attrs().Alias)
	}
	// The end in a namespace that is just being removed may take it along.
	if err := here.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing link %q: %w; `ip link del %s` does it by hand", link, err, link)
	}
	return nil
}

// CheckBackends asks every backend whether it works in a new namespace.
func CheckBackends(ctx context.Context, backends func(vns.NsHandle) []netfault.Backend) []BackendCheck {
	ns, err := netns.Create()
	var checks []BackendCheck
	for _, b := range backends(ns) {
		c := BackendCheck{Name: b.Name(), Err: err}
		if err == nil {
			c.Err = b.Check(ctx)
		}
		if closer, ok := b.(io.Closer); ok {
			c.Err = errors.Join(c.Err, closer.Close())
		}
		checks = append(checks, c)
	}
	if err == nil {
		_ = ns.Close() // an open descriptor is all that could be left, and this program ends soon
	}
	return checks
}
