package netfault

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Link is what happens on one interface in one direction: which packets belong
// to which class, and how each class is impaired.
type Link struct {
	Interface string    `json:"interface"`
	Direction Direction `json:"direction"` // Egress or Ingress
	Classes   []Class   `json:"classes"`
	// Stages are what classes share; see [Stage].
	Stages []Stage `json:"stages,omitempty"`
	// Filters are tried in order, the first that matches decides; a packet that
	// no filter matches is not impaired.
	Filters []Filter `json:"-"`
}

// Class is the packets that the same rules match: what is merged from these
// rules for its packets alone, and the stages of the link that they pass before.
type Class struct {
	Rules      []string   `json:"rules"`
	Impairment Impairment `json:"impairment"`
	Stages     []int      `json:"stages,omitempty"` // places in [Link.Stages], in the order of passing
}

// Unimpaired is the Class of a [Filter] whose packets are not impaired.
const Unimpaired = -1

// Filter sends the packets of a selector to a class, or to [Unimpaired].
type Filter struct {
	Match Selector
	Class int
}

// Whole reports whether every packet of the link belongs to one class.
func (l Link) Whole() bool {
	return len(l.Filters) == 1 && l.Filters[0].Match.IsAny()
}

// Classify returns the class of a packet, or [Unimpaired].
func (l Link) Classify(p Packet) int {
	for _, f := range l.Filters {
		if f.Match.Match(p) {
			return f.Class
		}
	}
	return Unimpaired
}

// Compile turns rules into links, ordered by interface and egress first. If
// rules overlap, packets that several rules match get a class of their own with
// the merged impairment, and share with other classes what a rule keeps across
// packets; a rule does not impair packets that it exempts.
func Compile(s State) ([]Link, error) {
	type key struct {
		iface string
		dir   Direction
	}
	rules := map[key][]Rule{}
	var keys []key
	for _, r := range s.Rules {
		for _, dir := range []Direction{Egress, Ingress} {
			if r.Direction != dir && r.Direction != Both {
				continue
			}
			k := key{r.Interface, dir}
			if rules[k] == nil {
				keys = append(keys, k)
			}
			rules[k] = append(rules[k], r)
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.iface, b.iface), cmp.Compare(a.dir, b.dir))
	})
	var links []Link
	for _, k := range keys {
		l := Link{Interface: k.iface, Direction: k.dir}
		if err := l.compile(rules[k]); err != nil {
			return nil, fmt.Errorf("%s of interface %q: %w", k.dir, k.iface, err)
		}
		links = append(links, l)
	}
	return links, nil
}

func selectorsOf(peers []Peer) []Selector {
	var out []Selector
	for _, p := range peers {
		out = append(out, p.Selectors()...)
	}
	return out
}

func (l *Link) compile(rules []Rule) error {
	matches := make([][]Selector, len(rules))
	exempts := make([][]Selector, len(rules))
	var all []Selector
	for n, r := range rules {
		matches[n] = []Selector{Any()}
		if len(r.Peers) > 0 {
			matches[n] = selectorsOf(r.Peers)
		}
		exempts[n] = selectorsOf(r.Exempt)
		all = append(append(all, matches[n]...), exempts[n]...)
	}
	parts, err := cells(all)
	if err != nil {
		return err
	}
	var groups []group
	for _, part := range parts {
		contains := func(s Selector) bool { return s.Contains(part) }
		var g group
		for n, r := range rules {
			if slices.ContainsFunc(matches[n], contains) && !slices.ContainsFunc(exempts[n], contains) {
				g.ids, g.rules = append(g.ids, r.ID), append(g.rules, n)
			}
		}
		class := Unimpaired
		if len(g.ids) > 0 {
			class = slices.IndexFunc(groups, func(o group) bool { return slices.Equal(o.rules, g.rules) })
			if class < 0 {
				class = len(groups)
				groups = append(groups, g)
			}
		}
		l.Filters = append(l.Filters, Filter{part, class})
	}
	l.Filters = prune(l.Filters)
	return l.merge(rules, groups)
}

func joined(ids []string) string { return strings.Join(ids, ", ") }

// prune drops redundant filters, whose packets would get the same class without
// them.
func prune(filters []Filter) []Filter {
	var out []Filter
	for n, f := range filters {
		next := Unimpaired
		sure := true // no later filter takes only a part of these packets
		for _, later := range filters[n+1:] {
			if later.Match.Contains(f.Match) {
				next = later.Class
				break
			}
			if _, overlap := later.Match.Intersect(f.Match); overlap {
				sure = sure && later.Class == f.Class
			}
		}
		if !sure || next != f.Class {
			out = append(out, f)
		}
	}
	return out
}
