package spec

import (
	"reflect"

	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// This file writes the policies that a system or a service has for all its calls
// into those that do not set them, node by node, so that the domain knows only
// calls, and mistakes are shown where they are written.

func policyKeys() []string { return keysOf(reflect.TypeFor[policy.Call]()) }

// Policies that stand for many calls.
const (
	defaultsKey = "defaults"
	policyKey   = "policy"
)

// takeDefaults takes the defaults of a system's calls.
func (f *reader) takeDefaults(n *node, path string) *node {
	defaults, path := n.get(defaultsKey), problem.Join(path, defaultsKey)
	n.take(defaultsKey)
	if defaults == nil || !f.want(defaults, path, object, "write {policy: {timeout: 1s}}") {
		return nil
	}
	for _, field := range defaults.fields {
		if field.key != policyKey {
			f.unknown(field, problem.Join(path, field.key), []string{policyKey})
		}
	}
	return f.takePolicy(defaults, path)
}

// takePolicy takes the policies that stand at a node for the calls below it. Of
// policies with mistakes, which are reported here, nothing is used.
func (f *reader) takePolicy(n *node, path string) *node {
	common, path := n.get(policyKey), problem.Join(path, policyKey)
	n.take(policyKey)
	if common == nil {
		return nil
	}
	if common.shape == object {
		lowerPolicy(common)
	}
	before := len(f.mistakes)
	var read policy.Call
	f.decode(common, path, reflect.ValueOf(&read).Elem())
	for _, p := range read.Validate() {
		place := common.at(p.Path)
		p.Path = problem.Join(path, p.Path)
		f.mistakeAt(place, p)
	}
	if len(f.mistakes) > before {
		return nil
	}
	return common
}

// inherit adds the fields of common policies that a node, which has some of its
// own, does not set. A field without a value is set: it means none.
func inherit(n, common *node) {
	if common == nil {
		return
	}
	for _, field := range common.fields {
		if !n.has(field.key) {
			n.fields = append(n.fields, field)
		}
	}
}

// inheritAll adds common policies to all calls of steps that have been lowered.
func inheritAll(steps, common *node) {
	if steps == nil {
		return
	}
	for _, step := range steps.items {
		if call := step.get("call"); call != nil && call.shape == object {
			inherit(call, common)
		}
		inheritAll(step.get("parallel"), common)
	}
}

// lowerPolicy turns the short forms of policies into fields.
func lowerPolicy(n *node) {
	fallback := n.get("fallback")
	if fallback.isScalar() {
		n.set("fallback", fallback.objectAt("kind", fallback))
	} else if fallback != nil && fallback.shape == object {
		lowerText(fallback, "value")
	}
}

// lowerText writes what stands under a key as JSON where it is no text.
func lowerText(n *node, key string) {
	if v := n.get(key); v != nil && v.shape != text {
		n.set(key, v.textAt(string(v.json())))
	}
}

// lowerCall turns the short forms of a call into fields. Answers by what
// happened may be written in place of one consequence for all.
func lowerCall(n *node) {
	if n.shape != object {
		return
	}
	lowerPolicy(n)
	if onError := n.get("onError"); onError != nil && onError.shape == object && !n.has("answers") {
		n.take("onError")
		n.set("answers", onError)
	}
	answers := n.get("answers")
	if answers == nil || answers.shape != object {
		return
	}
	for i, field := range answers.fields {
		if field.value.isScalar() {
			answers.fields[i].value = field.value.objectAt("status", field.value)
		} else if field.value.shape == object {
			lowerText(field.value, "body")
		}
	}
}

// shortenCall is lowerCall in reverse.
func shortenCall(n *node) {
	if fallback := n.get("fallback"); fallback != nil && len(fallback.fields) == 1 && fallback.has("kind") {
		n.set("fallback", fallback.get("kind"))
	}
	answers := n.get("answers")
	if answers == nil {
		return
	}
	for i, field := range answers.fields {
		if status := field.value.get("status"); status != nil && len(field.value.fields) == 1 {
			answers.fields[i].value = status
		}
	}
	if !n.has("onError") {
		n.take("answers")
		n.set("onError", answers)
	}
}

// onErrorSchema describes the forms of onError.
func (w *schemaWriter) onErrorSchema() schema {
	answers := schema{"type": "object", "additionalProperties": w.answer()}
	return schema{"anyOf": []any{enum(topology.Propagate, topology.Ignore), answers}}
}

func (w *schemaWriter) answer() schema {
	status := schema{"type": "integer", "minimum": 200, "maximum": 599}
	return schema{"anyOf": []any{status, w.of(reflect.TypeFor[topology.Answer]())}}
}

// policySchema describes policies with the short form of a fallback.
func (w *schemaWriter) policySchema() schema {
	s := w.object(reflect.TypeFor[policy.Call]())
	w.orNull(s)
	return s
}

// orNull allows the fields of policies to have no value, which turns those that
// would be inherited off.
func (w *schemaWriter) orNull(s schema) {
	for _, key := range policyKeys() {
		w.also(s, key, schema{"type": "null"})
	}
	w.also(s, "fallback", enum(policy.EmptyFallback, policy.LastGood))
}

// anyBody describes a text that may be written as any JSON.
func anyBody() schema {
	return schema{"description": "a text, or any value, which is written as JSON"}
}
