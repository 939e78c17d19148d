package edit

import (
	"reflect"
	"slices"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/source"
)

// This file brings experiments into their nodes.

func (s *syncer) experiment(n *source.Node, before, after *experiment.Experiment) {
	o := s.object(n, decode.KeysOf(reflect.TypeFor[experiment.Experiment]()))
	defer o.done()
	b, a, usual := values(before, after)
	o.fields(b, a, usual, "system", "load", "faults", "checks", "abortOn", "variants", "rank")
	if system := n.Get("system"); system != nil && system.Resolve().Kind == source.Object && !equal(before.System, after.System) {
		s.system(system, &before.System, &after.System)
	}
	if !equal(before.Load, after.Load) {
		if l := n.Get("load"); l != nil {
			s.load(l, &before.Load, &after.Load)
		} else {
			o.set("load", s.short(after.Load))
		}
	}
	if !equal(before.Faults, after.Faults) {
		o.items("faults", alignFaults(before.Faults, after.Faults), func(n *source.Node, p pair) {
			s.fault(n, &before.Faults[p.old], &after.Faults[p.new])
		}, func(j int) *decode.Node { return s.short(after.Faults[j]) })
	}
	o.checks("checks", before.Checks, after.Checks)
	o.checks("abortOn", before.AbortOn, after.AbortOn)
	if !equal(before.Rank, after.Rank) {
		if rank := n.Get("rank"); rank != nil && rank.Kind == source.Scalar {
			s.replace(rank, s.short(after.Rank))
		} else {
			x, _ := fieldOf(b, "rank")
			y, _ := fieldOf(a, "rank")
			z, _ := fieldOf(usual, "rank")
			o.field("rank", x, y, z)
		}
	}
	o.variants(before.Variants, after.Variants)
}

func alignFaults(before, after []fault.Fault) []pair {
	return align(len(before), len(after), func(i, j int) bool { return equal(before[i], after[j]) }, func(i, j int) bool {
		return before[i].Type == after[j].Type && before[i].Name == after[j].Name
	})
}

func (o *object) checks(key string, before, after []experiment.Check) {
	if equal(before, after) {
		return
	}
	pairs := align(len(before), len(after), func(i, j int) bool { return before[i] == after[j] }, func(i, j int) bool { return before[i].Expr == after[j].Expr })
	o.items(key, pairs, func(n *source.Node, p pair) {
		o.shortened(n, reflect.ValueOf(before[p.old]), reflect.ValueOf(after[p.new]))
	}, func(j int) *decode.Node { return o.short(after[j]) })
}

// shortened brings a struct into its node, which may have a short form in its
// place.
func (s *syncer) shortened(n *source.Node, before, after reflect.Value) {
	switch {
	case same(before, after):
	case n.Kind == source.Scalar:
		s.replace(n, s.short(after.Interface()))
	default:
		s.value(n, before, after)
	}
}

func (o *object) variants(before, after []experiment.Variant) {
	if equal(before, after) {
		return
	}
	pairs := align(len(before), len(after), func(i, j int) bool { return equal(before[i], after[j]) }, func(i, j int) bool { return before[i].Name == after[j].Name })
	o.items("variants", pairs, func(n *source.Node, p pair) {
		o.variant(n, &before[p.old], &after[p.new])
	}, func(j int) *decode.Node { return o.short(after[j]) })
}

func (s *syncer) variant(n *source.Node, before, after *experiment.Variant) {
	if equal(before, after) || !s.enter(n) {
		return
	}
	if n.Kind == source.Scalar {
		s.replace(n, s.short(*after))
		return
	}
	o := s.object(n, decode.KeysOf(reflect.TypeFor[experiment.Variant]()))
	b, a, usual := values(before, after)
	o.fields(b, a, usual, "set", "load", "checks", "faults")
	o.checks("checks", before.Checks, after.Checks)
	if !equal(before.Faults, after.Faults) {
		o.items("faults", align(len(before.Faults), len(after.Faults), func(i, j int) bool { return before.Faults[i] == after.Faults[j] }, func(int, int) bool { return false }),
			func(n *source.Node, p pair) {
				s.shortened(n, reflect.ValueOf(before.Faults[p.old]), reflect.ValueOf(after.Faults[p.new]))
			},
			func(j int) *decode.Node { return s.short(after.Faults[j]) })
		if len(after.Faults) == 0 && after.Faults != nil && o.get("faults") != nil {
			// No faults at all is not the same as all.
			delete(o.change.Delete, n.Find("faults"))
			o.set("faults", &decode.Node{Shape: decode.List})
		}
	}
	if !equal(before.Set, after.Set) {
		o.items("set", align(len(before.Set), len(after.Set), func(i, j int) bool { return equal(before.Set[i], after.Set[j]) }, func(i, j int) bool { return false }),
			func(n *source.Node, p pair) {
				s.shortened(n, reflect.ValueOf(before.Set[p.old]), reflect.ValueOf(after.Set[p.new]))
			},
			func(j int) *decode.Node { return s.short(after.Set[j]) })
	}
	if l := n.Get("load"); l != nil && before.Load != nil && after.Load != nil {
		s.load(l, before.Load, after.Load)
	} else {
		x, _ := fieldOf(b, "load")
		y, _ := fieldOf(a, "load")
		o.field("load", x, y, reflect.Zero(y.Type()))
	}
	o.done()
}

func (s *syncer) load(n *source.Node, before, after *load.Profile) {
	if equal(before, after) || !s.enter(n) {
		return
	}
	o := s.object(n, append(decode.KeysOf(reflect.TypeFor[load.Profile]()), spec.PhaseKeys()...))
	defer o.done()
	b, a, usual := values(before, after)
	o.fields(b, a, usual, "requests", "phases")
	if !equal(before.Requests, after.Requests) {
		pairs := align(len(before.Requests), len(after.Requests),
			func(i, j int) bool { return equal(before.Requests[i], after.Requests[j]) },
			func(i, j int) bool { return before.Requests[i].Name == after.Requests[j].Name })
		o.items("requests", pairs, func(n *source.Node, p pair) {
			s.request(n, &before.Requests[p.old], &after.Requests[p.new])
		}, func(j int) *decode.Node { return s.short(after.Requests[j]) })
	}
	o.phases(before.Phases, after.Phases)
}

func (s *syncer) request(n *source.Node, before, after *load.Request) {
	if equal(before, after) || !s.enter(n) {
		return
	}
	if n.Kind == source.Scalar {
		s.replace(n, s.short(*after))
		return
	}
	o := s.object(n, decode.KeysOf(reflect.TypeFor[load.Request]()))
	b, a, usual := values(before, after)
	unnamed := *after
	unnamed.Name = ""
	name := load.Profile{Requests: []load.Request{unnamed}}.WithDefaults().Requests[0].Name
	o.fields(b, a, usual, append(textKeys(), "name")...)
	o.field("name", reflect.ValueOf(before.Name), reflect.ValueOf(after.Name), reflect.ValueOf(name))
	for _, key := range textKeys() {
		o.textField(key, b, a)
	}
	o.done()
}

func (o *object) phases(before, after []load.Phase) {
	if equal(before, after) {
		return
	}
	short := func(j int) *decode.Node {
		n := o.short(after[j])
		if n.Text("name") == strconv.Itoa(j+1) {
			n.Take("name")
		}
		return n
	}
	switch {
	case look(o.node, "phases") != nil:
		pairs := align(len(before), len(after), func(i, j int) bool { return equal(before[i], after[j]) }, func(i, j int) bool { return before[i].Name == after[j].Name })
		o.items("phases", pairs, func(n *source.Node, p pair) {
			if !equal(before[p.old], after[p.new]) && o.enter(n) {
				inner := o.syncer.object(n, spec.PhaseKeys())
				inner.phase(&before[p.old], &after[p.new], p.new)
				inner.done()
			}
		}, short)
	case len(before) == 1 && len(after) == 1 && after[0].Name == before[0].Name:
		o.phase(&before[0], &after[0], 0)
	default:
		for _, key := range spec.PhaseKeys() {
			o.remove(key)
		}
		list := &decode.Node{Shape: decode.List}
		for j := range after {
			list.Items = append(list.Items, short(j))
		}
		o.set("phases", list)
	}
}

func (o *object) phase(before, after *load.Phase, index int) {
	usual := load.Phase{Name: strconv.Itoa(index + 1)}
	if after.IsOpen() {
		usual.Burst, usual.Arrivals = 1, load.Constant
	}
	o.fields(reflect.ValueOf(*before), reflect.ValueOf(*after), reflect.ValueOf(usual))
}

// fault brings a fault into its node. Its parameters stand beside its type or in
// args, and its target is text or an object.
func (s *syncer) fault(n *source.Node, before, after *fault.Fault) {
	if equal(before, after) || !s.enter(n) {
		return
	}
	keys := decode.KeysOf(reflect.TypeFor[fault.Fault]())
	argKeys := decode.KeysOf(reflect.TypeFor[fault.Args]())
	o := s.object(n, slices.Concat(keys[:slices.Index(keys, "target")+1], []string{"direction"}, argKeys, keys[slices.Index(keys, "target")+1:]))
	defer o.done()
	b, a, usual := values(before, after)
	o.fields(b, a, usual, "target", "args")
	o.target(before, after)
	known, _ := fault.Lookup(after.Type)
	args := o
	if inner := n.Get("args"); inner != nil && inner.Resolve().Kind == source.Object {
		if !equal(before.Args, after.Args) && s.enter(inner) {
			args = s.object(inner, argKeys)
			defer args.done()
		}
	}
	x, y, z := reflect.ValueOf(before.Args), reflect.ValueOf(after.Args), reflect.ValueOf(known.Defaults)
	for _, f := range decode.FieldsOf(y.Type()) {
		was, is, def := x.FieldByIndex(f.Index), y.FieldByIndex(f.Index), z.FieldByIndex(f.Index)
		if same(was, is) && before.Type != after.Type && args.get(f.Name) == nil && !same(is, def) {
			args.set(f.Name, s.short(is.Interface())) // it was a default of the old type
			continue
		}
		args.field(f.Name, was, is, def)
	}
}

func (o *object) target(before, after *fault.Fault) {
	if before.Target == after.Target {
		return
	}
	short := o.short(*after)
	own := o.get("target")
	if own != nil && own.Resolve().Kind == source.Object {
		if !o.enter(own) {
			return
		}
		except := ""
		if o.get("direction") != nil {
			except = "direction"
			o.field("direction", reflect.ValueOf(before.Target.Direction), reflect.ValueOf(after.Target.Direction), reflect.ValueOf(fault.Direction("")))
		}
		inner := o.syncer.object(own, decode.KeysOf(reflect.TypeFor[fault.Target]()))
		inner.fields(reflect.ValueOf(before.Target), reflect.ValueOf(after.Target), reflect.ValueOf(fault.Target{}), except)
		inner.done()
		return
	}
	for _, key := range []string{"target", "direction"} {
		switch wanted := short.Get(key); {
		case wanted == nil:
			o.remove(key)
		case o.get(key) != nil:
			o.tree(o.get(key), wanted)
		default:
			o.set(key, wanted)
		}
	}
}
