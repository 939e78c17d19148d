package tc

import (
	"cmp"
	"errors"
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
	stageHandle   uint32 = 0x71000000 // of the first stage, likewise
	sorterHandle  uint32 = 0x73000000 // of what sorts the packets behind the first stage
	restHandle    uint32 = 0x75000000 // of the queue of those that it sorts to no class
	filterBase    uint16 = 0x6d73     // the priority of our first filter
)

// inRange reports whether a handle is one of those that begin at first.
func inRange(handle, first uint32) bool {
	const most = 0x200 // maxSelectors of netfault bounds classes and stages
	n := int(handle>>16) - int(first>>16)
	return handle&0xffff == 0 && n >= 0 && n < most
}

// sorts reports whether a discipline of that handle sorts our packets.
func sorts(handle uint32) bool {
	return handle == rootHandle || inRange(handle, sorterHandle)
}

// tree is everything below one root, each discipline after its parent.
type tree struct {
	qdiscs  []Qdisc
	classes []Class
	filters []Filter
}

// create returns the operations that create a tree.
func (t tree) create() []Op {
	var ops []Op
	for _, q := range t.qdiscs {
		ops = append(ops, Op{Add, q})
		for _, c := range t.classes {
			if c.Parent == q.Handle {
				ops = append(ops, Op{Add, c})
			}
		}
	}
	for _, f := range t.filters {
		ops = append(ops, Op{Add, f})
	}
	return ops
}

// at returns the discipline of a handle; nil if there is none.
func (t tree) at(handle uint32) discipline {
	for _, q := range t.qdiscs {
		if q.Handle == handle {
			return q.discipline
		}
	}
	return nil
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
	for _, q := range want.qdiscs {
		if !same(t.at(q.Handle), q.discipline) || hasTable(q.discipline) {
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

// sameShape reports whether changes of parameters alone turn one tree into the
// other.
func (t tree) sameShape(want tree) bool {
	same := func(a, b Qdisc) bool {
		return a.Dev == b.Dev && a.Parent == b.Parent && a.Handle == b.Handle && a.discipline.kind() == b.discipline.kind() &&
			(!fixed(a.discipline) || a.discipline == b.discipline) && !leavesTable(a.discipline, b.discipline)
	}
	byHandle := func(qdiscs []Qdisc) []Qdisc {
		return slices.SortedFunc(slices.Values(qdiscs), func(a, b Qdisc) int { return cmp.Compare(a.Handle, b.Handle) })
	}
	classes := func(of []Class) []Class {
		return slices.SortedFunc(slices.Values(of), func(a, b Class) int { return cmp.Compare(a.ID, b.ID) })
	}
	filters := func(of []Filter) []Filter {
		return slices.SortedFunc(slices.Values(of), func(a, b Filter) int {
			return cmp.Or(cmp.Compare(a.Parent, b.Parent), cmp.Compare(a.Priority, b.Priority))
		})
	}
	return slices.EqualFunc(byHandle(t.qdiscs), byHandle(want.qdiscs), same) &&
		slices.Equal(classes(t.classes), classes(want.classes)) && slices.Equal(filters(t.filters), filters(want.filters))
}

// leavesTable reports whether a change would leave the table of a distribution
// of slots in force: no attribute takes it away, and with it the kernel does not
// look at a range of pauses.
func leavesTable(there, want discipline) bool {
	a, wasNetem := there.(netem)
	b, isNetem := want.(netem)
	return wasNetem && isNetem && (a.slotDelay|a.slotJitter) != 0 && b.slotJitter == 0
}

// fixed reports whether a discipline is rebuilt rather than changed.
func fixed(d discipline) bool {
	switch d.(type) {
	case netem, tbf:
		return false
	}
	return true
}

// effective fills a link with the impairments of a tree that was read back.
func (t tree) effective(l *netfault.Link) error {
	for n := range l.Stages {
		i, ok := impairmentOf(t.at(stageHandle + uint32(n)<<16))
		if !ok {
			return errors.New("the kernel does not show all impairments that were set up")
		}
		l.Stages[n].Impairment = i
	}
	for n := range l.Classes {
		handle := classHandle + uint32(n)<<16
		if l.Whole() {
			handle = rootHandle
		}
		i, ok := impairmentOf(t.at(handle))
		if !ok && !l.Classes[n].Impairment.IsZero() {
			return errors.New("the kernel does not show all impairments that were set up")
		}
		l.Classes[n].Impairment = i
	}
	return nil
}

// shown reads a tree of any process as a link without rules and filters.
// Classes that only pass stages do not show.
func (t tree) shown(l *netfault.Link) {
	places := map[uint32]int{} // of stages, by handle
	for _, q := range t.qdiscs {
		if inRange(q.Handle, stageHandle) {
			i, _ := impairmentOf(q.discipline)
			places[q.Handle] = len(l.Stages)
			l.Stages = append(l.Stages, netfault.Stage{Impairment: i})
		}
	}
	for _, q := range t.qdiscs {
		isClass := inRange(q.Handle, classHandle)
		i, ok := impairmentOf(q.discipline)
		if ok && (isClass || q.Handle == rootHandle) {
			l.Classes = append(l.Classes, netfault.Class{Impairment: i, Stages: t.passed(q, places)})
		}
	}
}

// passed returns the stages above a discipline, the outermost first.
func (t tree) passed(q Qdisc, places map[uint32]int) []int {
	var out []int
	for up := q; up.Parent != atRoot; {
		at := slices.IndexFunc(t.qdiscs, func(o Qdisc) bool { return o.Handle>>16 == up.Parent>>16 })
		if at < 0 {
			break
		}
		up = t.qdiscs[at]
		if place, ok := places[up.Handle]; ok {
			out = slices.Insert(out, 0, place)
		}
	}
	return out
}

// impairmentOf reads a discipline as an impairment; ok is false for one that
// only sorts or queues.
func impairmentOf(d discipline) (i netfault.Impairment, ok bool) {
	switch d := d.(type) {
	case netem:
		return d.impairment(), true
	case tbf:
		return d.impairment(), true
	case plainQdisc:
		return netfault.Impairment{Partition: true}, d == "blackhole"
	}
	return i, false
}
