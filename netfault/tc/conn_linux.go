package tc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// conn sends netlink requests inside one namespace, from any thread.
type conn struct {
	links   *netlink.Handle
	sockets map[int]*nl.SocketHandle
}

func dial(ns netns.NsHandle) (*conn, error) {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink in the namespace: %w", err)
	}
	s, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("opening netlink in the namespace: %w", err)
	}
	// The kernel's message says more than an error number; old kernels send
	// none.
	_ = s.SetExtAck(true)
	return &conn{links: h, sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

func (c *conn) Close() {
	c.links.Close()
	for _, s := range c.sockets {
		s.Close()
	}
}

// do runs one operation.
func (c *conn) do(op Op) error {
	var err error
	switch o := op.Object.(type) {
	case Qdisc:
		err = c.qdisc(op.Verb, o)
	case Class:
		err = c.class(op.Verb, o)
	case Filter:
		err = c.filter(o)
	case Device:
		err = c.device(op.Verb, o)
	case Alias:
		err = c.alias(o)
	}
	if err != nil {
		return fmt.Errorf("%v: %w", op, err)
	}
	return nil
}

// tcmsg is struct tcmsg and its attributes, as a netlink request takes them.
type tcmsg struct {
	index                int
	handle, parent, info uint32
	attrs                attrs
}

func (m tcmsg) Len() int { return 20 + len(m.attrs) }

func (m tcmsg) Serialize() []byte {
	b := binary.NativeEndian.AppendUint32(nil, 0) // any family
	b = binary.NativeEndian.AppendUint32(b, uint32(m.index))
	return append(append(b, u32s(m.handle, m.parent, m.info)...), m.attrs...)
}

func (c *conn) index(dev string) (int, error) {
	l, err := c.links.LinkByName(dev)
	if err != nil {
		return 0, fmt.Errorf("finding interface %q: %w", dev, err)
	}
	return l.Attrs().Index, nil
}

func (c *conn) send(message, flags int, dev string, m tcmsg) error {
	var err error
	if m.index, err = c.index(dev); err != nil {
		return err
	}
	req := nl.NewNetlinkRequest(message, flags|unix.NLM_F_ACK)
	req.Sockets = c.sockets
	req.AddData(m)
	_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// The attributes that all objects of traffic control begin with.
const (
	attrKind    = 1
	attrOptions = 2
)

func flags(v Verb) int {
	if v == Add {
		return unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	return 0
}

func (c *conn) qdisc(v Verb, q Qdisc) error {
	m := tcmsg{handle: q.Handle, parent: q.Parent}
	if v == Delete {
		err := c.send(unix.RTM_DELQDISC, 0, q.Dev, m)
		if errors.Is(err, unix.ENOENT) {
			return nil // gone already
		}
		return err
	}
	m.attrs.text(attrKind, q.discipline.kind())
	if options := q.discipline.options(v == Change); options != nil {
		m.attrs.bytes(attrOptions, options)
	}
	err := c.send(unix.RTM_NEWQDISC, flags(v), q.Dev, m)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("the kernel does not have %q: %w (%w)", q.discipline.kind(), netfault.ErrUnsupported, err)
	}
	if errors.Is(err, unix.EINVAL) && q.discipline.kind() == "netem" {
		return fmt.Errorf("the kernel refuses these parameters of netem (newer ones refuse a duplicating netem beside another in one tree): %w (%w)", netfault.ErrUnsupported, err)
	}
	return err
}

func (c *conn) class(v Verb, class Class) error {
	m := tcmsg{handle: class.ID, parent: class.Parent}
	m.attrs.text(attrKind, "htb")
	m.attrs.bytes(attrOptions, htbClassOptions())
	return c.send(unix.RTM_NEWTCLASS, flags(v), class.Dev, m)
}

func (c *conn) filter(f Filter) error {
	m := tcmsg{parent: f.Parent, info: uint32(f.Priority)<<16 | uint32(f.Protocol<<8|f.Protocol>>8)}
	m.attrs.text(attrKind, f.Kind)
	var options attrs
	action := uint16(1) // TCA_BPF_ACT
	if f.Kind == "bpf" {
		options.bytes(4, binary.NativeEndian.AppendUint16(nil, uint16(len(f.Match)/8))) // TCA_BPF_OPS_LEN
		options.bytes(5, []byte(f.Match))                                               // TCA_BPF_OPS
	} else {
		action = 7                        // TCA_U32_ACT
		options.bytes(5, []byte(f.Match)) // TCA_U32_SEL
		if f.ClassID != 0 {
			options.u32(1, f.ClassID) // TCA_U32_CLASSID
		}
	}
	if f.Redirect != "" {
		index, err := c.index(f.Redirect)
		if err != nil {
			return err
		}
		options.bytes(action, mirred(index))
	}
	m.attrs.bytes(attrOptions, options)
	return c.send(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL, f.Dev, m)
}

// mirred encodes the one action that leads a packet to another device's egress.
func mirred(index int) []byte {
	const stolen, egressRedirect = 4, 1
	var options, act, list attrs
	options.u32s(2, 0, 0, stolen, 0, 0, egressRedirect, uint32(index)) // TCA_MIRRED_PARMS
	act.text(1, "mirred")                                              // TCA_ACT_KIND
	act.bytes(2, options)                                              // TCA_ACT_OPTIONS
	list.bytes(1, act)
	return list
}

func (c *conn) device(v Verb, d Device) error {
	if v == Delete {
		l, err := c.links.LinkByName(d.Name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil
		}
		if err != nil {
			return err
		}
		return c.links.LinkDel(l)
	}
	if v == Add {
		if err := c.addIFB(d.Name); err != nil {
			return err
		}
	}
	l, err := c.links.LinkByName(d.Name)
	if err != nil {
		return err
	}
	// Without addresses the device sends no packets of its own.
	if err := c.links.LinkSetIP6AddrGenMode(l, nl.IN6_ADDR_GEN_MODE_NONE); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	if err := c.links.LinkSetAlias(l, d.Alias); err != nil {
		return err
	}
	return c.links.LinkSetUp(l)
}

func (c *conn) addIFB(name string) error {
	ifb := &netlink.Ifb{LinkAttrs: netlink.NewLinkAttrs()}
	ifb.Name = name
	err := c.links.LinkAdd(ifb)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("the kernel does not have the ifb device: %w (%w)", netfault.ErrUnsupported, err)
	}
	return err
}

func (c *conn) alias(a Alias) error {
	l, err := c.links.LinkByName(a.Dev)
	if err != nil {
		return err
	}
	return c.links.LinkSetAlias(l, a.Text)
}

// text reads a string attribute, with or without its end.
func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

// dumpTries is how often a dump is repeated after a change interrupted it.
const dumpTries = 10

func dump[T any](get func() ([]T, error)) ([]T, error) {
	for try := 1; ; try++ {
		out, err := get()
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) || try == dumpTries {
			return out, err
		}
	}
}

// facts reads what is there on every link of the namespace.
func (c *conn) facts(k Kernel) (Facts, error) {
	links, err := dump(c.links.LinkList)
	if err != nil {
		return Facts{}, fmt.Errorf("listing interfaces: %w", err)
	}
	names, byName := map[int]string{}, map[string]LinkFacts{}
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
		byName[a.Name] = LinkFacts{Index: a.Index, MTU: a.MTU, Alias: a.Alias, IFB: l.Type() == "ifb"}
	}
	qdiscs, err := c.list(unix.RTM_GETQDISC, unix.RTM_NEWQDISC, tcmsg{})
	if err != nil {
		return Facts{}, fmt.Errorf("listing queueing disciplines: %w", err)
	}
	for _, q := range qdiscs {
		name := names[q.index]
		l, ok := byName[name]
		if !ok || q.handle == 0 {
			continue // the link came after we looked, or the kernel's default
		}
		d, err := parseDiscipline(q.kind, q.options)
		if err != nil {
			return Facts{}, fmt.Errorf("reading the disciplines of interface %q: %w", name, err)
		}
		l.Qdiscs = append(l.Qdiscs, Qdisc{name, q.parent, q.handle, d})
		byName[name] = l
	}
	for name, l := range byName {
		if err := c.sorting(name, &l, names); err != nil {
			return Facts{}, fmt.Errorf("reading the classes and filters of interface %q: %w", name, err)
		}
		byName[name] = l
	}
	return Facts{Kernel: k, Links: byName}, nil
}

// sorting reads the classes and filters of what sorts our packets, and the
// filters of the ingress.
func (c *conn) sorting(name string, l *LinkFacts, names map[int]string) error {
	for _, q := range l.Qdiscs {
		if !sorts(q.Handle) && q.Parent != atIngress {
			continue
		}
		filters, err := c.list(unix.RTM_GETTFILTER, unix.RTM_NEWTFILTER, tcmsg{index: l.Index, parent: q.Handle})
		if err != nil {
			return err
		}
		for _, f := range filters {
			parsed, ok, err := parseFilter(name, f, names)
			if err != nil {
				return err
			}
			if ok {
				l.Filters = append(l.Filters, parsed)
			}
		}
		if q.discipline.kind() != "htb" {
			continue
		}
		classes, err := c.list(unix.RTM_GETTCLASS, unix.RTM_NEWTCLASS, tcmsg{index: l.Index})
		if err != nil {
			return err
		}
		for _, class := range classes {
			if class.handle>>16 == q.Handle>>16 {
				// The kernel says that a class of the top is at the root.
				l.Classes = append(l.Classes, Class{name, q.Handle, class.handle})
			}
		}
	}
	return nil
}

// listed is one object of a dump.
type listed struct {
	index                int
	handle, parent, info uint32
	kind                 string
	options              []byte
}

func (c *conn) list(message int, answer uint16, m tcmsg) ([]listed, error) {
	return dump(func() ([]listed, error) {
		req := nl.NewNetlinkRequest(message, unix.NLM_F_DUMP)
		req.Sockets = c.sockets
		req.AddData(m)
		messages, err := req.Execute(unix.NETLINK_ROUTE, answer)
		if err != nil {
			return nil, err
		}
		var out []listed
		for _, b := range messages {
			if len(b) < 20 {
				return nil, fmt.Errorf("an answer of %d bytes: %w", len(b), syscall.EBADMSG)
			}
			a, err := parseAttrs(b[20:])
			if err != nil {
				return nil, err
			}
			var index uint32
			var o listed
			words(b[4:], &index, &o.handle, &o.parent, &o.info)
			o.index, o.kind, o.options = int(index), text(a[attrKind]), a[attrOptions]
			out = append(out, o)
		}
		return out, nil
	})
}

// parseFilter reads a filter as far as we make them. It ignores the list heads
// that some classifiers dump beside their filters.
func parseFilter(dev string, o listed, names map[int]string) (Filter, bool, error) {
	f := Filter{Dev: dev, Parent: o.parent, Priority: uint16(o.info >> 16), Kind: o.kind}
	f.Protocol = uint16(o.info)<<8 | uint16(o.info)>>8
	a, err := parseAttrs(o.options)
	if err != nil {
		return f, false, fmt.Errorf("filter %d: %w", f.Priority, err)
	}
	var action []byte
	switch o.kind {
	case "bpf":
		f.Match, action = string(a[5]), a[1]
	case "u32":
		f.Match, f.ClassID, action = string(a[5]), u32(a[1]), a[7]
	default:
		return f, true, nil
	}
	if f.Match == "" {
		return f, o.kind == "bpf" && o.handle != 0, nil
	}
	actions, err := parseAttrs(action)
	if err != nil {
		return f, false, fmt.Errorf("the actions of filter %d: %w", f.Priority, err)
	}
	act, _ := parseAttrs(actions[1])
	if text(act[1]) == "mirred" {
		options, _ := parseAttrs(act[2])
		if p := options[2]; len(p) >= 28 {
			f.Redirect = names[int(u32(p[24:]))]
		}
	}
	return f, true, nil
}
