package tc

import (
	"errors"
	"fmt"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Parents that the kernel names.
const (
	atRoot        uint32 = 0xffffffff
	atIngress     uint32 = 0xfffffff1
	ingressHandle uint32 = 0xffff0000
)

// Handles of ours. A root discipline with rootHandle is ours and no other is.
const (
	rootHandle    uint32 = 0x6d730000 // "ms"
	defaultHandle uint32 = 0x6d740000
	classHandle   uint32 = 0x6d800000 // of the first class; the next is 1<<16 more
	filterBase    uint16 = 0x6d73     // the priority of our first filter
)

// tree is everything below one root.
type tree struct {
	qdiscs  []Qdisc
	classes []Class
	filters []Filter
}

// Kernel says which kinds a kernel has; see [Facts].
type Kernel struct {
	Netem, TBF, Prio, HTB bool // disciplines; blackhole is always there
	BPF, U32              bool // classifiers
	IFB, Mirred           bool // to impair what arrives
}

// unsupported says which feature the kernel lacks.
func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s: %w; load the module, or choose the backend emulate", fmt.Sprintf(format, args...), netfault.ErrUnsupported)
}

// disciplineFor chooses the discipline for an impairment.
func (k Kernel) disciplineFor(i netfault.Impairment) (discipline, error) {
	switch {
	case i.Partition:
		return plainQdisc("blackhole"), nil
	case k.Netem:
		return newNetem(i), nil
	case k.TBF && tbfCan(i):
		return newTBF(i), nil
	case i.RateOnly():
		return nil, unsupported("the kernel has no netem (CONFIG_NET_SCH_NETEM), and its tbf cannot do this rate (cells, or an overhead below 0)")
	}
	return nil, unsupported("the kernel has no netem (CONFIG_NET_SCH_NETEM), and only a rate or a partition can do without")
}

// build returns the tree that applies a link on a device.
func (k Kernel) build(dev string, l netfault.Link) (tree, error) {
	var disciplines []discipline
	for _, class := range l.Classes {
		d, err := k.disciplineFor(class.Impairment)
		if err != nil {
			return tree{}, fmt.Errorf("rules %q: %w", class.Rules, err)
		}
		disciplines = append(disciplines, d)
	}
	if l.Whole() {
		return tree{qdiscs: []Qdisc{{dev, atRoot, rootHandle, disciplines[0]}}}, nil
	}
	t, err := k.root(dev, len(disciplines))
	if err != nil {
		return tree{}, err
	}
	for n, d := range disciplines {
		t.qdiscs = append(t.qdiscs, Qdisc{dev, classID(n), classHandle + uint32(n)<<16, d})
	}
	t.filters, err = k.sort(dev, l)
	return t, err
}

// classID is the class of an impairment. Unimpaired packets have no class of
// their own: htb uses its direct path, which the root's handle names, and prio
// uses its first band.
func classID(class int) uint32 {
	if class == netfault.Unimpaired {
		return rootHandle
	}
	return rootHandle + uint32(class) + 2
}

// root returns the classful root for the given number of classes, and its
// default path.
func (k Kernel) root(dev string, classes int) (tree, error) {
	if k.Prio && classes < maxBands {
		return tree{qdiscs: []Qdisc{
			{dev, atRoot, rootHandle, prio{uint32(classes) + 1}},
			// Its own limit: the default is the link's, which is 0 on some veths.
			{dev, rootHandle + 1, defaultHandle, pfifo{directQueue}},
		}}, nil
	}
	if !k.HTB {
		if k.Prio {
			return tree{}, unsupported("%d different impairments on %q, of which prio can sort %d, and the kernel has no htb (CONFIG_NET_SCH_HTB)", classes, dev, maxBands-1)
		}
		return tree{}, unsupported("peers need a discipline with classes, and the kernel has neither prio nor htb (CONFIG_NET_SCH_PRIO, CONFIG_NET_SCH_HTB)")
	}
	t := tree{qdiscs: []Qdisc{{dev, atRoot, rootHandle, htb{}}}}
	for n := range classes {
		t.classes = append(t.classes, Class{dev, rootHandle, classID(n)})
	}
	return t, nil
}

// sort returns the filters that lead a link's packets to their classes.
func (k Kernel) sort(dev string, l netfault.Link) ([]Filter, error) {
	var out []Filter
	add := func(f Filter) {
		f.Dev, f.Parent, f.Priority = dev, rootHandle, filterBase+uint16(len(out))
		out = append(out, f)
	}
	switch {
	case k.BPF:
		for _, program := range classifier(l.Filters, l.Direction, classID) {
			add(Filter{Protocol: etherTypeAll, Kind: "bpf", Match: string(encode(program))})
		}
	case k.U32:
		for _, f := range l.Filters {
			for _, m := range u32Matches(f.Match, l.Direction) {
				add(Filter{Protocol: m.protocol, Kind: "u32", Match: string(m.selector()), ClassID: classID(f.Class)})
			}
		}
		if len(out) > maxFilters {
			return nil, fmt.Errorf("peers and exemptions on %q need %d u32 filters, and %d are possible; name fewer, or larger ranges", dev, len(out), maxFilters)
		}
	default:
		return nil, unsupported("peers need a classifier, and the kernel has neither bpf nor u32 (CONFIG_NET_CLS_BPF, CONFIG_NET_CLS_U32)")
	}
	return out, nil
}

// maxFilters keeps the priorities of u32 filters within their 16 bits.
const maxFilters = 4096

// redirect returns the ingress discipline that redirects all arriving packets
// to an ifb.
func (k Kernel) redirect(dev, ifb string) (tree, error) {
	if !k.IFB || !k.Mirred {
		return tree{}, unsupported("faults on what arrives need the ifb device and the mirred action (CONFIG_IFB, CONFIG_NET_ACT_MIRRED)")
	}
	f := Filter{Dev: dev, Parent: ingressHandle, Priority: filterBase, Protocol: etherTypeAll, Redirect: ifb}
	switch {
	case k.BPF:
		f.Kind, f.Match = "bpf", acceptAll()
	case k.U32:
		f.Kind, f.Match = "u32", string(u32Match{keys: []key{{}}}.selector())
	default:
		return tree{}, unsupported("faults on what arrives need a classifier, and the kernel has neither bpf nor u32 (CONFIG_NET_CLS_BPF, CONFIG_NET_CLS_U32)")
	}
	return tree{
		qdiscs:  []Qdisc{{dev, atIngress, ingressHandle, plainQdisc("ingress")}},
		filters: []Filter{f},
	}, nil
}

// create returns the operations that create a tree.
func (t tree) create() []Op {
	var ops []Op
	ops = append(ops, Op{Add, t.qdiscs[0]})
	for _, c := range t.classes {
		ops = append(ops, Op{Add, c})
	}
	for _, q := range t.qdiscs[1:] {
		ops = append(ops, Op{Add, q})
	}
	for _, f := range t.filters {
		ops = append(ops, Op{Add, f})
	}
	return ops
}

// reconcile returns the operations that turn one tree of ours into another:
// none for what already matches, changes if only parameters differ, otherwise a
// rebuild.
func (t tree) reconcile(want tree) []Op {
	if len(t.qdiscs) == 0 {
		return want.create()
	}
	if !t.sameShape(want) {
		return append([]Op{{Delete, t.qdiscs[0]}}, want.create()...)
	}
	var ops []Op
	for n, q := range want.qdiscs {
		if !same(t.qdiscs[n].discipline, q.discipline) || hasTable(q.discipline) {
			ops = append(ops, Op{Change, q})
		}
	}
	return ops
}

// hasTable reports whether a netem has a distribution, which the kernel does
// not report back. It must be sent again, because the installed one is unknown.
func hasTable(d discipline) bool {
	n, ok := d.(netem)
	return ok && (n.jitter > 0 || n.slotJitter > 0)
}

func (t tree) sameShape(o tree) bool {
	kind := func(a, b Qdisc) bool {
		return a.Dev == b.Dev && a.Parent == b.Parent && a.Handle == b.Handle && a.discipline.kind() == b.discipline.kind() &&
			(!fixed(a.discipline) || a.discipline == b.discipline)
	}
	return slices.EqualFunc(t.qdiscs, o.qdiscs, kind) && slices.Equal(t.classes, o.classes) && slices.Equal(t.filters, o.filters)
}

// fixed reports whether a discipline is rebuilt rather than changed.
func fixed(d discipline) bool {
	switch d.(type) {
	case netem, tbf:
		return false
	}
	return true
}

// effective reads a tree of ours as classes. The rules' ids come from asked, if
// that is known.
func (t tree) effective(asked []netfault.Class) ([]netfault.Class, error) {
	var out []netfault.Class
	for _, q := range t.qdiscs {
		var c netfault.Class
		switch d := q.discipline.(type) {
		case netem:
			c.Impairment = d.impairment()
		case tbf:
			c.Impairment = d.impairment()
		case plainQdisc:
			if d != "blackhole" {
				continue
			}
			c.Impairment.Partition = true
		default:
			continue // a root
		}
		if len(out) < len(asked) {
			c.Rules = asked[len(out)].Rules
		}
		out = append(out, c)
	}
	if asked != nil && len(out) != len(asked) {
		return out, errors.New("the kernel does not show all impairments that were set up")
	}
	return out, nil
}
