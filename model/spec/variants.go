package spec

import (
	"maps"
	"reflect"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// This file reads and prints what an experiment says of variants and of the run
// as a whole.

// lowerComparison turns the short forms of an experiment's variants, checks and
// rank into fields.
func (f *reader) lowerComparison(n *node) {
	lowerChecks(n, "checks")
	lowerChecks(n, "abortOn")
	if rank := n.get("rank"); rank.isScalar() {
		n.set("rank", rank.objectAt("metric", rank))
	}
	variants := n.get("variants")
	if variants == nil || variants.shape != list {
		return
	}
	for i, v := range variants.items {
		if v.shape == text {
			v = v.objectAt("name", v)
			variants.items[i] = v
		}
		if v.shape == object {
			f.lowerVariant(v, problem.Index("variants", i))
		}
	}
}

func (f *reader) lowerVariant(n *node, path string) {
	lowerChecks(n, "checks")
	if faults := n.get("faults"); faults.isScalar() {
		n.set("faults", faults.listed())
	}
	if l := n.get("load"); l != nil {
		f.lowerLoad(l, problem.Join(path, "load"))
	}
	set := n.get("set").listed()
	if set == nil {
		return
	}
	n.set("set", set)
	for _, patch := range set.items {
		if patch.shape == object {
			lowerPatch(patch)
		}
	}
}

// lowerPatch moves policies without a value, which are taken away, into without.
func lowerPatch(n *node) {
	for _, key := range keysOf(reflect.TypeFor[policy.Call]()) {
		if !n.has(key) || n.get(key) != nil {
			continue
		}
		at := n.at(key)
		n.take(key)
		without := n.get("without").listed()
		if without == nil {
			without = at.like(list)
		}
		without.items = append(without.items, at.textAt(key))
		n.set("without", without)
	}
	if without := n.get("without"); without.isScalar() {
		n.set("without", without.listed())
	}
}

// lowerChecks makes objects of the texts in a list of checks.
func lowerChecks(n *node, key string) {
	checks := n.get(key).listed()
	if checks == nil {
		return
	}
	n.set(key, checks)
	for i, check := range checks.items {
		if check.shape == text {
			checks.items[i] = check.objectAt("check", check)
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
func shortenComparison(n *node) {
	shortenChecks(n, "checks")
	shortenChecks(n, "abortOn")
	if rank := n.get("rank"); rank != nil && len(rank.fields) == 1 && rank.has("metric") {
		n.set("rank", rank.get("metric"))
	}
	variants := n.get("variants")
	if variants == nil {
		return
	}
	for i, v := range variants.items {
		shortenChecks(v, "checks")
		shortenLoad(v.get("load"))
		if len(v.fields) == 1 && v.has("name") {
			variants.items[i] = v.get("name")
		}
	}
}

func shortenChecks(n *node, key string) {
	checks := n.get(key)
	if checks == nil {
		return
	}
	for i, check := range checks.items {
		if len(check.fields) == 1 && check.has("check") {
			checks.items[i] = check.get("check")
		}
	}
}

// comparisonProperties describe what lowerComparison reads.
func (w *schemaWriter) comparisonProperties(experimentSchema schema) {
	properties := experimentSchema["properties"].(schema)
	for _, key := range []string{"checks", "abortOn"} {
		properties[key] = w.checks()
	}
	w.also(experimentSchema, "rank", w.metric())
	variant := w.object(reflect.TypeFor[experiment.Variant]())
	own := variant["properties"].(schema)
	own["checks"] = w.checks()
	patch := w.object(reflect.TypeFor[experiment.Patch]())
	for _, key := range keysOf(reflect.TypeFor[policy.Call]()) {
		w.also(patch, key, schema{"type": "null"})
	}
	w.also(patch, "without", schema{"type": "string"})
	own["set"] = schema{"anyOf": []any{schema{"type": "array", "items": patch}, patch}}
	w.also(variant, "faults", schema{"type": "string"})
	variant["required"] = []string{"name"}
	properties["variants"] = schema{"type": "array", "items": schema{"anyOf": []any{schema{"type": "string"}, variant}}}
}

func (w *schemaWriter) checks() schema {
	check := schema{"anyOf": []any{schema{"type": "string"}, w.of(reflect.TypeFor[experiment.Check]())}}
	return schema{"anyOf": []any{schema{"type": "array", "items": check}, check}}
}

func (w *schemaWriter) metric() schema {
	var metrics []experiment.Metric
	metrics = append(metrics, experiment.Metrics()...)
	for _, c := range experiment.Classes() {
		metrics = append(metrics, experiment.Metric(c))
	}
	s := enum(metrics...)
	maps.Copy(s, schema{"description": "the figure by which variants are ranked"})
	return s
}
