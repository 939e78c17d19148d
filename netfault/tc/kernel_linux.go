package tc

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// probe finds out which features the kernel has, loading its modules if it can:
// it creates one of each in a temporary namespace. If it cannot make a
// namespace, it assumes all features, and Apply reports what is missing.
func probe() (Kernel, error) {
	ns, err := netns.Create()
	if errors.Is(err, unix.EPERM) {
		return Kernel{true, true, true, true, true, true, true, true}, nil
	}
	if err != nil {
		return Kernel{}, fmt.Errorf("asking the kernel what it has: %w", err)
	}
	defer func() { _ = ns.Close() }() // the namespace goes with its last handle
	c, err := dial(ns)
	if err != nil {
		return Kernel{}, err
	}
	defer c.Close()
	return c.probe(), nil
}

func (c *conn) probe() Kernel {
	const dev, ifb = "lo", "probe0"
	try := func(q Qdisc, inside func()) bool {
		if err := c.do(Op{Add, q}); err != nil {
			return false
		}
		if inside != nil {
			inside()
		}
		return c.do(Op{Delete, q}) == nil
	}
	root := func(d discipline) Qdisc { return Qdisc{dev, atRoot, rootHandle, d} }
	k := Kernel{
		Netem: try(root(newNetem(netfault.Impairment{Delay: 1})), nil),
		TBF:   try(root(tbf{rate: 1000, burst: packetSize, limit: packetSize}), nil),
		Prio:  try(root(prio{2}), nil),
		HTB:   try(root(htb{}), nil),
		IFB:   c.do(Op{Add, Device{Name: ifb}}) == nil,
	}
	all := string(u32Match{keys: []key{{}}}.selector())
	accept := acceptAll()
	try(Qdisc{dev, atIngress, ingressHandle, plainQdisc("ingress")}, func() {
		has := func(priority uint16, kind, match, redirect string) bool {
			return c.do(Op{Add, Filter{Dev: dev, Parent: ingressHandle, Priority: priority, Protocol: etherTypeAll, Kind: kind, Match: match, Redirect: redirect}}) == nil
		}
		k.BPF = has(1, "bpf", accept, "")
		k.U32 = has(2, "u32", all, "")
		k.Mirred = k.IFB && (has(3, "bpf", accept, ifb) || has(4, "u32", all, ifb))
	})
	return k
}
