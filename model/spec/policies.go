package spec

import (
	"reflect"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// This file writes the policies that a system or a service has for all its calls
// into those that do not set them, node by node, so that the domain knows only
// calls, and mistakes are shown where they are written.

func policyKeys() []string { return decode.KeysOf(reflect.TypeFor[policy.Call]()) }

// Policies that stand for many calls.
const (
	defaultsKey = "defaults"
	policyKey   = "policy"
)

// takeDefaults takes the defaults of a system's calls.
func (f *reader) takeDefaults(n *decode.Node, path string) *decode.Node {
	defaults, path := n.Get(defaultsKey), problem.Join(path, defaultsKey)
	n.Take(defaultsKey)
	if defaults == nil || !f.Want(defaults, path, decode.Object, "write {policy: {timeout: 1s}}") {
		return nil
	}
	for _, field := range defaults.Fields {
		if field.Key != policyKey {
			f.Unknown(field, problem.Join(path, field.Key), []string{policyKey})
		}
	}
	return f.takePolicy(defaults, path)
}

// takePolicy takes the policies that stand at a node for the calls below it. Of
// policies with mistakes, which are reported here, nothing is used.
func (f *reader) takePolicy(n *decode.Node, path string) *decode.Node {
	common, path := n.Get(policyKey), problem.Join(path, policyKey)
	n.Take(policyKey)
	if common == nil {
		return nil
	}
	if common.Shape == decode.Object {
		lowerPolicy(common)
	}
	before := len(f.Mistakes)
	var read policy.Call
	f.Decode(common, path, reflect.ValueOf(&read).Elem())
	for _, p := range read.Validate() {
		place := common.At(p.Path)
		p.Path = problem.Join(path, p.Path)
		f.MistakeAt(place, p)
	}
	if len(f.Mistakes) > before {
		return nil
	}
	return common
}

// mayHaveNoValue reports whether a path leads to a policy of a call: there, a key
// without a value means that none is inherited.
func mayHaveNoValue(path string) bool {
	parent, key := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		parent, key = path[:i], path[i+1:]
	}
	if !slices.Contains(policyKeys(), key) {
		return false
	}
	object := parent[strings.LastIndexByte(parent, '.')+1:]
	name, _, _ := strings.Cut(object, "[")
	return slices.Contains([]string{"call", "calls", "steps", "parallel", "policy", "set"}, name)
}

// inherit adds the fields of common policies that a node, which has some of its
// own, does not set. A field without a value is set: it means none.
func inherit(n, common *decode.Node) {
	if common == nil {
		return
	}
	for _, field := range common.Fields {
		if !n.Has(field.Key) {
			value := *field.Value
			value.Origin = decode.Inherited
			field.Value = &value
			n.Fields = append(n.Fields, field)
		}
	}
}

// inheritAll adds common policies to all calls of steps that have been lowered.
func inheritAll(steps, common *decode.Node) {
	if steps == nil {
		return
	}
	for _, step := range steps.Items {
		if call := step.Get("call"); call != nil && call.Shape == decode.Object {
			inherit(call, common)
		}
		inheritAll(step.Get("parallel"), common)
	}
}

// lowerPolicy turns the short forms of policies into fields.
func lowerPolicy(n *decode.Node) {
	fallback := n.Get("fallback")
	if fallback.IsScalar() {
		n.Set("fallback", fallback.ObjectAt("kind", fallback))
	} else if fallback != nil && fallback.Shape == decode.Object {
		lowerText(fallback, "value")
	}
}

// lowerText turns the value of a key into JSON text, unless it is text already.
func lowerText(n *decode.Node, key string) {
	if v := n.Get(key); v != nil && v.Shape != decode.Text {
		n.Set(key, v.TextAt(string(v.JSON())))
	}
}

// wantPlainBodies reports numbers in bodies and in values of fallbacks that are not
// written as JSON writes them: as JSON, 0x10 would be a text.
func (f *reader) wantPlainBodies(n *decode.Node, path string) {
	for _, field := range n.Fields {
		at := problem.Join(path, field.Key)
		if field.Key == "body" || field.Key == "value" {
			f.WantPlainNumbers(field.Value, at)
			continue
		}
		f.wantPlainBodies(field.Value, at)
	}
	for i, item := range n.Items {
		f.wantPlainBodies(item, problem.Index(path, i))
	}
}

// lowerCall turns the short forms of a call into fields. Answers by what
// happened may be written in place of one consequence for all.
func lowerCall(n *decode.Node) {
	if n.Shape != decode.Object {
		return
	}
	lowerPolicy(n)
	if query := n.Get("query"); query.IsScalar() {
		n.Set("query", query.Listed())
	}
	if onError := n.Get("onError"); onError != nil && onError.Shape == decode.Object && !n.Has("answers") {
		n.Take("onError")
		n.Set("answers", onError)
	}
	answers := n.Get("answers")
	if answers == nil || answers.Shape != decode.Object {
		return
	}
	for i, field := range answers.Fields {
		if field.Value.IsScalar() {
			answers.Fields[i].Value = field.Value.ObjectAt("status", field.Value)
		} else if field.Value.Shape == decode.Object {
			lowerText(field.Value, "body")
		}
	}
}

// shortenCall is lowerCall in reverse.
func shortenCall(n *decode.Node) {
	if query := n.Get("query"); query != nil && len(query.Items) == 1 {
		n.Set("query", query.Items[0])
	}
	if fallback := n.Get("fallback"); fallback != nil && len(fallback.Fields) == 1 && fallback.Has("kind") {
		n.Set("fallback", fallback.Get("kind"))
	}
	answers := n.Get("answers")
	if answers == nil {
		return
	}
	for i, field := range answers.Fields {
		if status := field.Value.Get("status"); status != nil && len(field.Value.Fields) == 1 {
			answers.Fields[i].Value = status
		}
	}
	if !n.Has("onError") {
		n.Take("answers")
		n.Set("onError", answers)
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
