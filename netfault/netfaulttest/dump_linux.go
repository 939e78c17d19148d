package netfaulttest

import (
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
)

// Dump describes the links of a namespace, their queueing disciplines, classes
// and filters, without counters: two dumps differ only if something changed.
func Dump(n *Node) (string, error) {
	var out strings.Builder
	links, err := n.Handle.LinkList()
	if err != nil {
		return "", fmt.Errorf("listing links: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		// Leave out the carrier flag, which changes by itself some time after the
		// set-up.
		fmt.Fprintf(&out, "link %d %s type=%s mtu=%d txqlen=%d mac=%s up=%v alias=%q queues=%d/%d gso=%d/%d promisc=%d\n",
			a.Index, a.Name, l.Type(), a.MTU, a.TxQLen, a.HardwareAddr, a.Flags&net.FlagUp != 0, a.Alias, a.NumTxQueues, a.NumRxQueues, a.GSOMaxSize, a.GSOMaxSegs, a.Promisc)
		qdiscs, err := n.Handle.QdiscList(l)
		if err != nil {
			return "", fmt.Errorf("listing the queueing disciplines of %q: %w", a.Name, err)
		}
		for _, q := range qdiscs {
			fmt.Fprintf(&out, "  qdisc %s handle=%x parent=%x\n", q.Type(), q.Attrs().Handle, q.Attrs().Parent)
			if err := dumpFilters(&out, n, l, q.Attrs().Handle); err != nil {
				return "", err
			}
		}
		classes, err := n.Handle.ClassList(l, 0)
		if err != nil {
			return "", fmt.Errorf("listing the classes of %q: %w", a.Name, err)
		}
		for _, c := range classes {
			fmt.Fprintf(&out, "  class %s handle=%x parent=%x leaf=%x\n", c.Type(), c.Attrs().Handle, c.Attrs().Parent, c.Attrs().Leaf)
		}
	}
	return out.String(), nil
}

func dumpFilters(out *strings.Builder, n *Node, l netlink.Link, parent uint32) error {
	if parent == 0 {
		return nil
	}
	filters, err := n.Handle.FilterList(l, parent)
	if err != nil {
		return fmt.Errorf("listing the filters of %q: %w", l.Attrs().Name, err)
	}
	for _, f := range filters {
		fmt.Fprintf(out, "    filter %s prio=%d protocol=%x handle=%x\n", f.Type(), f.Attrs().Priority, f.Attrs().Protocol, f.Attrs().Handle)
	}
	return nil
}
