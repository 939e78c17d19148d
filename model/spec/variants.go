package spec

import (
	"maps"
	"reflect"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// This file reads and prints what an experiment says of variants and of the run
// as a whole.

// lowerComparison turns the short forms of an experiment's variants, checks and
// rank into fields.
func (f *reader) lowerComparison(n *decode.Node) {
	lowerChecks(n, "checks")
	lowerChecks(n, "abortOn")
	if rank := n.Get("rank"); rank.IsScalar() {
		n.Set("rank", rank.ObjectAt("metric", rank))
	}
	variants := n.Get("variants")
	if variants == nil || variants.Shape != decode.List {
		return
	}
	for i, v := range variants.Items {
		if v.Shape == decode.Text {
			v = v.ObjectAt("name", v)
			variants.Items[i] = v
		}
		if v.Shape == decode.Object {
			f.lowerVariant(v, problem.Index("variants", i))
		}
	}
}

func (f *reader) lowerVariant(n *decode.Node, path string) {
	lowerChecks(n, "checks")
	if faults := n.Get("faults"); faults.IsScalar() {
		n.Set("faults", faults.Listed())
	}
	if l := n.Get("load"); l != nil {
		f.lowerLoad(l, problem.Join(path, "load"))
	}
	set := n.Get("set").Listed()
	if set == nil {
		return
	}
	n.Set("set", set)
	for _, patch := range set.Items {
		if patch.Shape == decode.Object {
			lowerPatch(patch)
		}
	}
}

// lowerPatch moves policies without a value, which are taken away, into without.
func lowerPatch(n *decode.Node) {
	for _, key := range decode.KeysOf(reflect.TypeFor[policy.Call]()) {
		if !n.Has(key) || n.Get(key) != nil {
			continue
		}
		at := n.At(key)
		n.Take(key)
		without := n.Get("without").Listed()
		if without == nil {
			without = at.Like(decode.List)
		}
		without.Items = append(without.Items, at.TextAt(key))
		n.Set("without", without)
	}
	if without := n.Get("without"); without.IsScalar() {
		n.Set("without", without.Listed())
	}
}

// lowerChecks makes objects of the texts in a list of checks.
func lowerChecks(n *decode.Node, key string) {
	checks := n.Get(key).Listed()
	if checks == nil {
		return
	}
	n.Set(key, checks)
	for i, check := range checks.Items {
		if check.Shape == decode.Text {
			checks.Items[i] = check.ObjectAt("check", check)
		}
	}
}

// finishVariants fills in the defaults that depend on what was read.
func finishVariants(e *experiment.Experiment) {
	for i := range e.Variants {
		if l := e.Variants[i].Load; l != nil {
			*l = l.WithDefaults()
		}
	}
}

// shortenComparison is lowerComparison in reverse.
func shortenComparison(n *decode.Node) {
	shortenChecks(n, "checks")
	shortenChecks(n, "abortOn")
	if rank := n.Get("rank"); rank != nil && len(rank.Fields) == 1 && rank.Has("metric") {
		n.Set("rank", rank.Get("metric"))
	}
	variants := n.Get("variants")
	if variants == nil {
		return
	}
	for i, v := range variants.Items {
		shortenChecks(v, "checks")
		shortenLoad(v.Get("load"))
		if len(v.Fields) == 1 && v.Has("name") {
			variants.Items[i] = v.Get("name")
		}
	}
}

func shortenChecks(n *decode.Node, key string) {
	checks := n.Get(key)
	if checks == nil {
		return
	}
	for i, check := range checks.Items {
		if len(check.Fields) == 1 && check.Has("check") {
			checks.Items[i] = check.Get("check")
		}
	}
}

// comparisonProperties describe what lowerComparison reads.
func (w *schemaWriter) comparisonProperties(experimentSchema schema) {
	properties := experimentSchema["properties"].(schema)
	for _, key := range []string{"checks", "abortOn"} {
		put(properties, key, w.checks())
	}
	w.also(experimentSchema, "rank", w.metric())
	variant := w.object(reflect.TypeFor[experiment.Variant]())
	own := variant["properties"].(schema)
	put(own, "checks", w.checks())
	patch := w.object(reflect.TypeFor[experiment.Patch]())
	for _, key := range decode.KeysOf(reflect.TypeFor[policy.Call]()) {
		w.also(patch, key, schema{"type": "null"})
	}
	w.also(patch, "without", schema{"type": "string"})
	put(own, "set", schema{"anyOf": []any{schema{"type": "array", "items": patch}, patch}})
	w.also(variant, "faults", schema{"type": "string"})
	variant["required"] = []string{"name"}
	put(properties, "variants", schema{"type": "array", "items": schema{"anyOf": []any{schema{"type": "string"}, variant}}})
}

func (w *schemaWriter) checks() schema {
	check := schema{"anyOf": []any{schema{"type": "string"}, w.of(reflect.TypeFor[experiment.Check]())}}
	return schema{"anyOf": []any{schema{"type": "array", "items": check}, check}}
}

func (w *schemaWriter) metric() schema {
	var metrics []experiment.Metric
	metrics = append(append(metrics, experiment.Metrics()...), experiment.NoRank)
	for _, c := range outcome.Classes() {
		metrics = append(metrics, experiment.Metric(c))
	}
	s := enum(metrics...)
	maps.Copy(s, schema{"description": "the figure by which variants are ranked"})
	return s
}
