package netfaulttest

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// Interface is the name of the link on either side of the laboratory.
const Interface = "eth0"

// Lab is two namespaces joined by one link; neighbours are set for good, so
// that a fault never acts on address resolution.
type Lab struct {
	// Near is the namespace whose network is broken, Far is its peer.
	Near, Far *Node
}

// Node is one end of the laboratory.
type Node struct {
	NS     vns.NsHandle
	V4, V6 netip.Addr
	// Handle speaks netlink inside the namespace.
	Handle *netlink.Handle
}

// Path returns a path of the namespace that other processes can open while
// this one lives.
func (n *Node) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(n.NS)) }

// NewLab makes a laboratory that goes away with the test. It fails the test
// if it is not run as root.
func NewLab(t testing.TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("making network namespaces needs root; run it by `make test-root`")
	}
	lab := &Lab{
		Near: newNode(t, "10.77.0.1", "fd77::1"),
		Far:  newNode(t, "10.77.0.2", "fd77::2"),
	}
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: Interface, TxQLen: 1000, MTU: 1500, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
		PeerName:      Interface,
		PeerNamespace: netlink.NsFd(lab.Far.NS), PeerHardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 2},
	}
	if err := lab.Near.Handle.LinkAdd(veth); err != nil {
		t.Fatalf("making the veth pair: %v", err)
	}
	lab.Near.up(t, lab.Far, net.HardwareAddr{2, 0, 0, 0, 0, 2})
	lab.Far.up(t, lab.Near, net.HardwareAddr{2, 0, 0, 0, 0, 1})
	for _, n := range []*Node{lab.Near, lab.Far} {
		n.waitUp(t)
	}
	return lab
}

// waitUp waits until the kernel has finished setting up the link: it does so
// some time after both ends were switched on, and a dump would show it.
func (n *Node) waitUp(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		link, err := n.Handle.LinkByName(Interface)
		if err != nil {
			t.Fatalf("waiting for the link of the laboratory: %v", err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the link of the laboratory did not come up within 10 s")
		}
	}
}

func newNode(t testing.TB, v4, v6 string) *Node {
	t.Helper()
	ns, err := netns.Create()
	if err != nil {
		t.Fatal(err)
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatalf("opening netlink in the namespace: %v", err)
	}
	t.Cleanup(func() {
		h.Close()
		if err := ns.Close(); err != nil {
			t.Errorf("closing the namespace: %v", err)
		}
	})
	return &Node{NS: ns, V4: netip.MustParseAddr(v4), V6: netip.MustParseAddr(v6), Handle: h}
}

func (n *Node) up(t testing.TB, peer *Node, peerMAC net.HardwareAddr) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatalf("setting up the link of the laboratory: %v", err)
		}
	}
	lo, err := n.Handle.LinkByName("lo")
	check(err)
	check(n.Handle.LinkSetUp(lo))
	link, err := n.Handle.LinkByName(Interface)
	check(err)
	for _, a := range []netip.Prefix{netip.PrefixFrom(n.V4, 24), netip.PrefixFrom(n.V6, 64)} {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}, Flags: unix.IFA_F_NODAD}
		if !a.Addr().Is6() {
			addr.Flags = 0
		}
		check(n.Handle.AddrAdd(link, addr))
	}
	check(n.Handle.LinkSetUp(link))
	for family, ip := range map[int]netip.Addr{unix.AF_INET: peer.V4, unix.AF_INET6: peer.V6} {
		check(n.Handle.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, Family: family,
			State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: peerMAC}))
	}
}

// SetMTU sets how long packets of the link may be.
func (l *Lab) SetMTU(t testing.TB, mtu int) {
	t.Helper()
	for _, n := range []*Node{l.Near, l.Far} {
		link, err := n.Handle.LinkByName(Interface)
		if err == nil {
			err = n.Handle.LinkSetMTU(link, mtu)
		}
		if err != nil {
			t.Fatalf("setting the MTU of the laboratory to %d: %v", mtu, err)
		}
	}
}

// Do runs f on a thread inside the node's namespace. Sockets that f opens stay
// in that namespace; goroutines that f starts do not.
func (n *Node) Do(f func() error) error {
	return netns.OnThread(func() error {
		if err := netns.Enter(n.NS); err != nil {
			return err
		}
		return f()
	})
}

// Addr returns the node's address of one family.
func (n *Node) Addr(v6 bool) netip.Addr {
	if v6 {
		return n.V6
	}
	return n.V4
}
