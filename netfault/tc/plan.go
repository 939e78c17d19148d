package tc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Facts is what planning needs to know about a namespace.
type Facts struct {
	Kernel Kernel
	Links  map[string]LinkFacts // by name
}

// LinkFacts is what exists on one link.
type LinkFacts struct {
	Index   int
	MTU     int
	Alias   string
	IFB     bool
	Qdiscs  []Qdisc // those with a handle; the kernel's defaults have none
	Classes []Class
	Filters []Filter
}

// ForeignError says that a discipline of another program occupies the link.
type ForeignError struct{ Interface, Kind, Handle string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("interface %q has the discipline %q (handle %s), which is not ours and would be lost: remove it first (`tc qdisc del dev %s root`, or `ingress`), choose another interface, or choose the backend emulate",
		e.Interface, e.Kind, e.Handle, e.Interface)
}

// ourTree returns our disciplines on a link, below one parent.
func (l LinkFacts) ourTree(parent uint32) tree {
	var t tree
	handle := rootHandle
	if parent == atIngress {
		handle = ingressHandle
		if m, ok := parseMark(l.Alias); !ok || !m.ingress || l.foreign(atIngress) != nil {
			return t
		}
	}
	t.qdiscs = l.below(parent, handle)
	if len(t.qdiscs) == 0 {
		return t
	}
	if parent == atRoot {
		t.classes = slices.Clone(l.Classes)
	}
	for _, f := range l.Filters {
		if f.Parent == handle || parent == atRoot && sorts(f.Parent) {
			t.filters = append(t.filters, f)
		}
	}
	return t
}

// below returns the discipline of a handle at a parent, and at the root all that
// hang below it, each after its parent.
func (l LinkFacts) below(parent, handle uint32) []Qdisc {
	var out []Qdisc
	for _, q := range l.Qdiscs {
		if q.Parent == parent && q.Handle == handle {
			out = append(out, q)
		}
	}
	for n := 0; n < len(out) && parent == atRoot; n++ {
		for _, q := range l.Qdiscs {
			if q.Parent != atRoot && q.Parent>>16 == out[n].Handle>>16 {
				out = append(out, q)
			}
		}
	}
	return out
}

// foreign returns another program's discipline at the root or the ingress of a
// link.
func (l LinkFacts) foreign(parent uint32) *Qdisc {
	for _, q := range l.Qdiscs {
		if q.Parent != parent {
			continue
		}
		if parent == atRoot {
			if q.Handle != rootHandle {
				return &q
			}
			continue
		}
		m, marked := parseMark(l.Alias)
		others := func(f Filter) bool {
			return f.Parent == ingressHandle && (f.Priority != filterBase || !strings.HasPrefix(f.Redirect, ifbPrefix))
		}
		if !marked || !m.ingress || q.discipline.kind() != "ingress" || slices.ContainsFunc(l.Filters, others) {
			return &q
		}
	}
	return nil
}

const ifbPrefix = "msim"

// ifbName is the ifb device that belongs to an interface.
func ifbName(index int) string { return fmt.Sprintf("%s%d", ifbPrefix, index) }

// ifbOf returns our ifb device of an interface. It carries a mark. One without
// a mark is ours if the interface's own mark announced it: a process died while
// making it.
func (f Facts) ifbOf(here LinkFacts) (device LinkFacts, ok bool) {
	device, ok = f.Links[ifbName(here.Index)]
	if !ok || !device.IFB {
		return LinkFacts{}, false
	}
	if _, marked := parseMark(device.Alias); marked {
		return device, true
	}
	m, marked := parseMark(here.Alias)
	return device, device.Alias == "" && marked && m.ingress
}

// Plan returns the operations that change the namespace of the facts to the
// state, and the links of the state. It does not touch what already matches. It
// clears interfaces that the owner holds and the state does not name.
func Plan(s netfault.State, facts Facts) ([]Op, []netfault.Link, error) {
	links, err := netfault.Compile(s)
	if err != nil {
		return nil, nil, err
	}
	wanted := map[string]*[2]*netfault.Link{}
	for n, l := range links {
		if wanted[l.Interface] == nil {
			wanted[l.Interface] = &[2]*netfault.Link{}
		}
		wanted[l.Interface][directionIndex(l.Direction)] = &links[n]
	}
	for name, l := range facts.Links {
		if m, ok := parseMark(l.Alias); ok && !l.IFB && m.owner == s.Owner && wanted[name] == nil {
			wanted[name] = &[2]*netfault.Link{}
		}
	}
	var ops []Op
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		p := planner{facts: facts, name: name, mark: mark{owner: s.Owner, by: s.Generation, deadline: s.Deadline}}
		more, err := p.plan(wanted[name][0], wanted[name][1])
		if err != nil {
			return nil, nil, fmt.Errorf("planning the faults of interface %q: %w", name, err)
		}
		ops = append(ops, more...)
	}
	return ops, links, nil
}

func directionIndex(d netfault.Direction) int {
	if d == netfault.Ingress {
		return 1
	}
	return 0
}

// planner plans one interface.
type planner struct {
	facts Facts
	name  string
	mark  mark // what the alias shall say in the end
}

func (p planner) plan(egress, ingress *netfault.Link) ([]Op, error) {
	here, ok := p.facts.Links[p.name]
	if !ok {
		return nil, fmt.Errorf("there is no such interface; there are %s", strings.Join(slices.Sorted(maps.Keys(p.facts.Links)), ", "))
	}
	if egress == nil && ingress == nil {
		return planClear(p.facts, p.name), nil
	}
	before, marked := parseMark(here.Alias)
	if marked && before.owner != p.mark.owner {
		return nil, &netfault.OwnedError{Interface: p.name, Owner: before.owner, Deadline: before.deadline}
	}
	p.mark.was = here.Alias
	if marked {
		p.mark.was = before.was
	}
	p.mark.egress, p.mark.ingress = egress != nil, ingress != nil
	if err := p.inTheWay(here, egress, ingress); err != nil {
		return nil, err
	}
	intent := p.mark
	intent.egress = intent.egress || before.egress
	intent.ingress = intent.ingress || before.ingress
	if n := len(intent.String()); n > maxAlias {
		return nil, fmt.Errorf("our mark and the interface's alias %q would be %d bytes long, and a link's alias holds %d; shorten the alias or the owner", p.mark.was, n, maxAlias)
	}
	var ops []Op
	alias := here.Alias
	say := func(m mark) {
		if text := m.String(); text != alias {
			ops = append(ops, Op{Set, Alias{p.name, text}})
			alias = text
		}
	}
	say(intent)
	down, err := p.egressOps(here, egress)
	if err != nil {
		return nil, err
	}
	up, err := p.ingressOps(here, ingress)
	if err != nil {
		return nil, err
	}
	ops = append(append(ops, down...), up...)
	say(p.mark)
	return ops, nil
}

// inTheWay returns an error if another program or owner occupies the interface.
func (p planner) inTheWay(here LinkFacts, egress, ingress *netfault.Link) error {
	var q *Qdisc
	if egress != nil {
		q = here.foreign(atRoot)
	}
	if q == nil && ingress != nil {
		q = here.foreign(atIngress)
	}
	if q != nil {
		return &ForeignError{p.name, q.discipline.kind(), handleText(q.Handle)}
	}
	ifb := ifbName(here.Index)
	_, taken := p.facts.Links[ifb]
	if _, ours := p.facts.ifbOf(here); ingress != nil && taken && !ours {
		return fmt.Errorf("the name %q is that of our ifb device for it, and another link has it; rename that link", ifb)
	}
	return nil
}

func (p planner) egressOps(here LinkFacts, egress *netfault.Link) ([]Op, error) {
	current := here.ourTree(atRoot)
	if egress == nil {
		return current.remove(), nil
	}
	want, err := p.facts.Kernel.build(p.name, here.MTU, *egress)
	if err != nil {
		return nil, err
	}
	return current.reconcile(want), nil
}

func (p planner) ingressOps(here LinkFacts, ingress *netfault.Link) ([]Op, error) {
	ifb := ifbName(here.Index)
	device, exists := p.facts.ifbOf(here)
	current := here.ourTree(atIngress)
	if ingress == nil {
		ops := current.remove()
		if exists {
			ops = append(ops, Op{Delete, Device{Name: ifb}})
		}
		return ops, nil
	}
	redirect, err := p.facts.Kernel.redirect(p.name, ifb)
	if err != nil {
		return nil, err
	}
	want, err := p.facts.Kernel.build(ifb, here.MTU, *ingress)
	if err != nil {
		return nil, err
	}
	var ops []Op
	if own := (mark{owner: p.mark.owner, by: p.mark.by, deadline: p.mark.deadline}).String(); !exists {
		ops = append(ops, Op{Add, Device{ifb, own}})
	} else if device.Alias != own {
		ops = append(ops, Op{Set, Device{ifb, own}})
	}
	ops = append(ops, device.ourTree(atRoot).reconcile(want)...)
	return append(ops, current.reconcile(redirect)...), nil
}

// remove returns the operations that remove a tree.
func (t tree) remove() []Op {
	if len(t.qdiscs) == 0 {
		return nil
	}
	return []Op{{Delete, t.qdiscs[0]}}
}

// planClear returns the operations that remove everything of ours from an
// interface: first what redirects packets, last the mark.
func planClear(facts Facts, name string) []Op {
	here := facts.Links[name]
	if here.IFB {
		return []Op{{Delete, Device{Name: name}}} // its interface is gone
	}
	ops := here.ourTree(atIngress).remove()
	if _, ok := facts.ifbOf(here); ok {
		ops = append(ops, Op{Delete, Device{Name: ifbName(here.Index)}})
	}
	ops = append(ops, here.ourTree(atRoot).remove()...)
	if m, ok := parseMark(here.Alias); ok {
		ops = append(ops, Op{Set, Alias{name, m.was}})
	}
	return ops
}

// holding is one interface that carries something of ours.
type holding struct {
	name string
	mark mark // its owner is empty if only the handle tells that it is ours
}

// holdings returns the interfaces that an owner holds, or with owner "" any of
// ours does, ordered by name. An ifb whose interface is gone counts as one.
func holdings(facts Facts, owner string) []holding {
	owned := map[string]bool{} // ifb devices that go with their interface
	for _, l := range facts.Links {
		owned[ifbName(l.Index)] = true
	}
	var out []holding
	for _, name := range slices.Sorted(maps.Keys(facts.Links)) {
		l := facts.Links[name]
		m, marked := parseMark(l.Alias)
		if l.IFB && marked && owned[name] {
			continue
		}
		if !marked && len(l.ourTree(atRoot).qdiscs) == 0 {
			continue
		}
		if owner == "" || m.owner == owner {
			out = append(out, holding{name, m})
		}
	}
	return out
}
