package netfault

import (
	"cmp"
	"fmt"
	"slices"
)

// Stage holds what a rule keeps from packet to packet: a rate, slots, losses
// that depend on the loss before. Packets of several classes pass it one after
// the other, so a rule of 100 kB/s lets 100 kB/s pass whatever else acts on some
// of its packets.
type Stage struct {
	Rules      []string   `json:"rules"`
	Impairment Impairment `json:"impairment"`
}

// split parts an impairment into what needs a memory across packets and the
// rest. Correlated duplicates, corruption and reordering stay in the rest: they
// decide about packets of one class.
func (i Impairment) split() (shared, own Impairment) {
	own = i
	if i.Rate.BytesPerSecond > 0 {
		shared.Rate, own.Rate = i.Rate, Rate{}
		shared.Limit, own.Limit = i.Limit, 0
	}
	shared.Slot, own.Slot = i.Slot, Slot{}
	if l := i.Loss; l.Correlation > 0 || l.State != (StateLoss{}) || l.GilbertElliott != (GilbertElliott{}) {
		shared.Loss, own.Loss = i.Loss, Loss{}
		shared.ECN, own.ECN = i.ECN, false
	}
	if shared.IsZero() {
		return Impairment{}, i
	}
	shared.Seed = i.Seed
	if own.IsZero() {
		own = Impairment{}
	}
	return shared, own
}

// group is the rules that act on the packets of one class, by their place.
type group struct {
	ids   []string
	rules []int
}

// merge makes the stages and classes of a link. A rule whose packets all fall
// into one class needs no stage: its state is the class's own.
func (l *Link) merge(rules []Rule, groups []group) error {
	classesOf := make([][]int, len(rules))
	for class, g := range groups {
		if slices.ContainsFunc(g.rules, func(n int) bool { return rules[n].Impairment.Partition }) {
			continue // no packet of it gets as far as a stage
		}
		for _, n := range g.rules {
			classesOf[n] = append(classesOf[n], class)
		}
	}
	var extents [][]int // of each stage, its classes
	own := make([]Impairment, len(rules))
	for n, r := range rules {
		own[n] = r.Impairment
		shared, rest := r.Impairment.split()
		if shared.IsZero() || len(classesOf[n]) < 2 {
			continue
		}
		own[n] = rest
		at := slices.IndexFunc(extents, func(e []int) bool { return slices.Equal(e, classesOf[n]) })
		if at < 0 {
			extents, l.Stages = append(extents, classesOf[n]), append(l.Stages, Stage{})
			at = len(extents) - 1
		}
		stage := &l.Stages[at]
		stage.Rules = append(stage.Rules, r.ID)
		var err error
		if stage.Impairment, err = Merge(stage.Impairment, shared); err != nil {
			return fmt.Errorf("rules %s: %w", joined(stage.Rules), err)
		}
	}
	order := l.widestFirst(extents)
	for class, g := range groups {
		var impairments []Impairment
		for _, n := range g.rules {
			impairments = append(impairments, own[n])
		}
		merged, err := Merge(impairments...)
		if err != nil {
			return fmt.Errorf("rules %s: %w", joined(g.ids), err)
		}
		c := Class{Rules: g.ids, Impairment: merged}
		for n, extent := range order {
			if slices.Contains(extent, class) {
				c.Stages = append(c.Stages, n)
			}
		}
		l.Classes = append(l.Classes, c)
	}
	return nil
}

// widestFirst orders the stages so that each class passes those it shares with
// most others first. It returns the classes of each stage in that order.
func (l *Link) widestFirst(extents [][]int) [][]int {
	order := make([]int, len(extents))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(extents[b]), len(extents[a])) })
	stages, out := make([]Stage, len(order)), make([][]int, len(order))
	for to, from := range order {
		stages[to], out[to] = l.Stages[from], extents[from]
	}
	if len(stages) > 0 {
		l.Stages = stages
	}
	return out
}

// Parts returns everything that the packets of a class meet: its stages in the
// order in which they are passed, then its own impairment unless that does
// nothing.
func (l Link) Parts(class int) []Impairment {
	c := l.Classes[class]
	var out []Impairment
	for _, n := range c.Stages {
		out = append(out, l.Stages[n].Impairment)
	}
	if !c.Impairment.IsZero() {
		out = append(out, c.Impairment)
	}
	return out
}
