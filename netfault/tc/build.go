package tc

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

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
func (k Kernel) disciplineFor(i netfault.Impairment, mtu int) (discipline, error) {
	switch {
	case i.Partition:
		return plainQdisc("blackhole"), nil
	case k.Netem:
		return k.netemFor(i)
	case k.TBF && tbfCan(i):
		return newTBF(i, mtu), nil
	case i.RateOnly():
		return nil, unsupported("the kernel has no netem (CONFIG_NET_SCH_NETEM), and its tbf cannot do this rate (cells, or an overhead below 0)")
	}
	return nil, unsupported("the kernel has no netem (CONFIG_NET_SCH_NETEM), and only a rate or a partition can do without")
}

// netemFor is netem for an impairment, within what it can hold: the kernel caps
// jitters at 2^31-1 ns, and multiplies a range of pauses by 2^32 in 64 bits.
func (k Kernel) netemFor(i netfault.Impairment) (discipline, error) {
	const most = time.Duration(math.MaxInt32)
	for _, v := range []struct {
		name  string
		value time.Duration
	}{{"jitter", i.Jitter}, {"slot.jitter", i.Slot.Jitter}, {"slot.maxDelay less slot.minDelay", i.Slot.MaxDelay - i.Slot.MinDelay}} {
		if v.value > most {
			return nil, fmt.Errorf("%s %v is more than the %v that netem can hold: %w; give less, or choose the backend emulate", v.name, v.value, most, netfault.ErrUnsupported)
		}
	}
	return newNetem(i), nil
}

// build returns the tree that applies a link on a device whose packets are at
// most as long as mtu.
func (k Kernel) build(dev string, mtu int, l netfault.Link) (tree, error) {
	b := builder{kernel: k, dev: dev, link: l}
	for _, class := range l.Classes {
		var d discipline
		if !class.Impairment.IsZero() {
			var err error
			if d, err = k.disciplineFor(class.Impairment, mtu); err != nil {
				return tree{}, fmt.Errorf("rules %q: %w", class.Rules, err)
			}
		}
		b.disciplines = append(b.disciplines, d)
	}
	if l.Whole() {
		return tree{qdiscs: []Qdisc{{dev, atRoot, rootHandle, b.disciplines[0]}}}, nil
	}
	if err := b.nested(); err != nil {
		return tree{}, err
	}
	err := b.level(nil, atRoot, rootHandle, defaultHandle)
	return b.tree, err
}

// builder collects the tree of one link: at each level a discipline that sorts
// packets to classes and stages, and behind each stage another level.
type builder struct {
	kernel      Kernel
	dev         string
	link        netfault.Link
	disciplines []discipline // of each class; nil if it has none of its own
	tree        tree
}

// nested checks that stages can be levels of a tree: what a stage shares must
// lie within what the stage before it shares.
func (b *builder) nested() error {
	if len(b.link.Stages) > 0 && !b.kernel.Netem {
		return unsupported("rules %q share a rate between packets that other rules treat differently, and the kernel has no netem (CONFIG_NET_SCH_NETEM)", b.link.Stages[0].Rules)
	}
	before := map[int][]int{}
	for _, c := range b.link.Classes {
		for n, stage := range c.Stages {
			if there, seen := before[stage]; seen && !slices.Equal(there, c.Stages[:n]) {
				return unsupported("rules %q and others share a rate, slots or losses with packets that overlap only in part, which the kernel's disciplines cannot do", b.link.Stages[stage].Rules)
			}
			before[stage] = c.Stages[:n]
		}
	}
	return nil
}

// member is what a level sorts packets to: a stage, or else a class.
type member struct {
	stage, class int // -1: it is the other
}

// memberOf returns what a class is part of behind these stages; ok is false if
// its packets do not come there, or nothing more happens to them.
func (b *builder) memberOf(class int, passed []int) (m member, ok bool) {
	stages := b.link.Classes[class].Stages
	switch {
	case len(stages) < len(passed) || !slices.Equal(stages[:len(passed)], passed):
		return m, false
	case len(stages) > len(passed):
		return member{stages[len(passed)], -1}, true
	}
	return member{-1, class}, b.disciplines[class] != nil
}

// level adds what comes behind some stages.
func (b *builder) level(passed []int, parent, handle, rest uint32) error {
	var members []member
	bands := map[int]uint32{netfault.Unimpaired: handle} // of each class
	for class := range b.link.Classes {
		m, ok := b.memberOf(class, passed)
		bands[class] = handle
		if !ok {
			continue
		}
		at := slices.Index(members, m)
		if at < 0 {
			at = len(members)
			members = append(members, m)
		}
		bands[class] = handle + uint32(at) + 2
	}
	if len(members) == 0 {
		return nil
	}
	if err := b.sorter(parent, handle, rest, len(members)); err != nil {
		return err
	}
	for n, m := range members {
		band := handle + uint32(n) + 2
		if m.stage < 0 {
			b.add(Qdisc{b.dev, band, classHandle + uint32(m.class)<<16, b.disciplines[m.class]})
			continue
		}
		d, err := b.kernel.netemFor(b.link.Stages[m.stage].Impairment)
		if err != nil {
			return fmt.Errorf("rules %q: %w", b.link.Stages[m.stage].Rules, err)
		}
		nth := uint32(m.stage) << 16
		b.add(Qdisc{b.dev, band, stageHandle + nth, d})
		behind := append(slices.Clone(passed), m.stage)
		if err := b.level(behind, stageHandle+nth+1, sorterHandle+nth, restHandle+nth); err != nil {
			return err
		}
	}
	filters, err := b.kernel.sort(b.dev, handle, b.link, func(class int) uint32 { return bands[class] })
	b.tree.filters = append(b.tree.filters, filters...)
	return err
}

func (b *builder) add(q Qdisc) { b.tree.qdiscs = append(b.tree.qdiscs, q) }

// sorter adds the classful discipline of a level for so many members. Packets
// that no member is meant for have no class of their own: htb uses its direct
// path, which its handle names, and prio uses its first band.
func (b *builder) sorter(parent, handle, rest uint32, members int) error {
	k := b.kernel
	if k.Prio && members < maxBands {
		b.add(Qdisc{b.dev, parent, handle, prio{uint32(members) + 1}})
		// Its own limit: the default is the link's, which is 0 on some veths.
		b.add(Qdisc{b.dev, handle + 1, rest, pfifo{directQueue}})
		return nil
	}
	if !k.HTB {
		if k.Prio {
			return unsupported("%d different impairments on %q, of which prio can sort %d, and the kernel has no htb (CONFIG_NET_SCH_HTB)", members, b.dev, maxBands-1)
		}
		return unsupported("peers need a discipline with classes, and the kernel has neither prio nor htb (CONFIG_NET_SCH_PRIO, CONFIG_NET_SCH_HTB)")
	}
	b.add(Qdisc{b.dev, parent, handle, htb{}})
	for n := range members {
		b.tree.classes = append(b.tree.classes, Class{b.dev, handle, handle + uint32(n) + 2})
	}
	return nil
}

// sort returns the filters at a parent that lead a link's packets to their classes.
func (k Kernel) sort(dev string, parent uint32, l netfault.Link, classID func(class int) uint32) ([]Filter, error) {
	var out []Filter
	add := func(f Filter) {
		f.Dev, f.Parent, f.Priority = dev, parent, filterBase+uint16(len(out))
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
