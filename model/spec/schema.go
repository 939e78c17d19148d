package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A schema is a JSON Schema as nested maps.
type schema = map[string]any

// Kinds lists the native kinds.
func Kinds() []string {
	return []string{document.KindSystem, document.KindExperiment, document.KindDataset}
}

// Schema returns the JSON Schema (draft 2020-12) of a native kind, for editors
// and checks elsewhere. It knows the shape of files; what a file says of itself,
// such as whether a callee exists, is checked by Read.
func Schema(kind string) ([]byte, error) {
	texts, err := readDescriptions()
	if err != nil {
		return nil, err
	}
	w := schemaWriter{defs: schema{}, descriptions: texts}
	var root schema
	switch kind {
	case document.KindSystem:
		root = w.System(true)
	case document.KindExperiment:
		root = w.experiment()
	case document.KindDataset:
		root = w.dataset()
	default:
		return nil, fmt.Errorf("describing kind %q: no such kind; known are %s", kind, strings.Join(Kinds(), ", "))
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://" + document.APIVersion + "/" + strings.ToLower(kind) + ".json"
	root["title"] = kind
	root["$defs"] = w.defs
	properties := root["properties"].(schema)
	properties["apiVersion"] = withText("The version of the format.", schema{"const": document.APIVersion})
	properties["kind"] = withText("What the file describes.", schema{"const": kind})
	out, err := json.MarshalIndent(root, "", "  ")
	return append(out, '\n'), err
}

// A schemaWriter gathers the definitions of the types that a kind is made of.
type schemaWriter struct {
	defs         schema
	descriptions descriptions
}

func (w *schemaWriter) System(document bool) schema {
	s := w.object(reflect.TypeFor[topology.System]())
	w.also(s, "entry", schema{"type": "string"})
	policies := withText("Policies of all calls of the system that do not set them.", w.policySchema())
	s["properties"].(schema)[defaultsKey] = withText("What services and calls inherit.",
		schema{"type": "object", "properties": schema{policyKey: policies}, "additionalProperties": false})
	s["required"] = []string{"services"}
	if document {
		s["required"] = []string{"apiVersion", "kind", "name", "services"}
	}
	return s
}

func (w *schemaWriter) experiment() schema {
	s := w.object(reflect.TypeFor[experiment.Experiment]())
	properties := s["properties"].(schema)
	properties["system"] = withText("The system that is run, or the name of one in the same files or of an example.",
		schema{"anyOf": []any{schema{"type": "string"}, w.System(false)}})
	w.comparisonProperties(s)
	s["required"] = []string{"apiVersion", "kind", "name", "system", "load"}
	return s
}

// also allows another form of a property.
func (w *schemaWriter) also(s schema, key string, forms ...any) {
	properties := s["properties"].(schema)
	first := properties[key].(schema)
	both := schema{"anyOf": append([]any{first}, forms...)}
	if text, ok := first["description"]; ok {
		both["description"] = text
		delete(first, "description")
	}
	properties[key] = both
}

// put gives a property another form, and keeps its description.
func put(properties schema, key string, form schema) {
	if before, ok := properties[key].(schema); ok && before["description"] != nil {
		form["description"] = before["description"]
	}
	properties[key] = form
}

// withText adds a description to a form.
func withText(text string, form schema) schema {
	form["description"] = text
	return form
}

// object describes the fields of a struct.
func (w *schemaWriter) object(t reflect.Type) schema {
	properties := schema{}
	usual := usualValues(t)
	for _, f := range decode.FieldsOf(t) {
		property := w.of(f.Typ)
		if value, ok := usual[f.Name]; ok {
			property["default"] = value
		}
		if text := w.descriptions.of(t, f.Name); text != "" {
			property["description"] = text
		}
		if _, ok := absent(t)[f.Name]; ok {
			property["not"] = schema{"type": []any{"number", "string"}, "anyOf": []any{schema{"const": 0}, schema{"pattern": `^0[.0]*([a-zA-Zµ]*|%)$`, "type": "string"}}}
		}
		properties[f.Name] = property
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// usualValues are what fields of a struct mean that are left out, by their names in
// files, as these write them; without those for which that is nothing, or depends on
// others.
func usualValues(t reflect.Type) map[string]any {
	usual := defaults(t)
	policies := policy.Call{Retry: &policy.Retry{}, Breaker: &policy.Breaker{}, Bulkhead: &policy.Bulkhead{}, Hedge: &policy.Hedge{}}.WithDefaults()
	for _, p := range []any{*policies.Retry, *policies.Breaker, *policies.Bulkhead, *policies.Hedge} {
		if reflect.TypeOf(p) == t {
			usual = reflect.ValueOf(p)
		}
	}
	values := map[string]any{}
	for _, f := range decode.FieldsOf(t) {
		if !usual.IsValid() {
			break
		}
		v := usual.FieldByIndex(f.Index)
		switch v.Kind() {
		case reflect.Struct, reflect.Slice, reflect.Map, reflect.Pointer:
			continue // it has defaults of its own
		}
		if !v.IsZero() {
			values[f.Name] = v.Interface()
		}
	}
	return values
}

// of describes a type. Structs are described once and referred to.
func (w *schemaWriter) of(t reflect.Type) schema {
	if s := quantity(t); s != nil {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.of(t.Elem())
	case reflect.Slice:
		return schema{"type": "array", "items": w.of(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": w.of(t.Elem())}
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Struct:
		name := t.Name()
		if w.defs[name] == nil {
			w.defs[name] = schema{} // stands for itself while it is described
			w.defs[name] = w.named(t)
		}
		return schema{"$ref": "#/$defs/" + name}
	}
	return schema{"type": "integer", "minimum": 0}
}

// quantity describes the types that are written as one word, or nil.
func quantity(t reflect.Type) schema {
	const number = `[0-9]+(\.[0-9]+)?`
	size := `^` + number + `([KMGTPE]i|[kKMGTPEB])?$`
	switch t {
	case reflect.TypeFor[unit.Duration]():
		return schema{"anyOf": []any{schema{"type": "string", "pattern": `^(` + number + `(ns|us|µs|μs|ms|s|min|m|h|d))+$|^0$`}, schema{"const": 0}}}
	case reflect.TypeFor[unit.Size]():
		return schema{"anyOf": []any{
			schema{"type": "string", "pattern": size}, schema{"type": "integer", "minimum": 0}}}
	case reflect.TypeFor[unit.Rate]():
		bits := `^` + number + `([kKmMgGtT][iI]?)?[bB][iI][tT]$`
		return schema{"anyOf": []any{schema{"type": "string", "pattern": size + "|" + bits}, schema{"type": "integer", "minimum": 0}}}
	case reflect.TypeFor[unit.Share]():
		return schema{"anyOf": []any{schema{"type": "string", "pattern": `^` + number + `%?$`}, schema{"type": "number", "minimum": 0, "maximum": 1}}}
	case reflect.TypeFor[unit.Percent]():
		return schema{"anyOf": []any{schema{"type": "string", "pattern": `^` + number + `%?$`}, schema{"type": "number", "minimum": 0, "maximum": 100}}}
	case reflect.TypeFor[unit.Cores]():
		return schema{"anyOf": []any{schema{"type": "string", "pattern": `^` + number + `m?$`}, schema{"type": "number", "minimum": 0}}}
	case reflect.TypeFor[topology.Kind]():
		return enum(topology.Kinds()...)
	case reflect.TypeFor[topology.RuntimeName]():
		var names []topology.RuntimeName
		for _, r := range topology.Runtimes() {
			names = append(names, r.Name)
		}
		return enum(names...)
	case reflect.TypeFor[topology.Engine]():
		return enum(topology.Embedded, topology.Real)
	case reflect.TypeFor[topology.Operation]():
		return enum(topology.Operations()...)
	case reflect.TypeFor[topology.OnError]():
		return enum(topology.Propagate, topology.Ignore)
	case reflect.TypeFor[topology.OnCancel]():
		return enum(topology.Finish, topology.Stop)
	case reflect.TypeFor[policy.Jitter]():
		return enum(policy.NoJitter, policy.FullJitter, policy.EqualJitter, policy.Decorrelated)
	case reflect.TypeFor[policy.Scope]():
		return enum(policy.PerReplica, policy.PerWorker)
	case reflect.TypeFor[experiment.Better]():
		return enum(experiment.Higher, experiment.Lower)
	case reflect.TypeFor[policy.FallbackKind]():
		return enum(policy.EmptyFallback, policy.FixedFallback, policy.LastGood)
	case reflect.TypeFor[policy.Trigger]():
		return schema{"anyOf": []any{
			enum(policy.RetriedClasses()...), schema{"type": "string", "pattern": `^[45]([0-9][0-9]|xx)$`}, schema{"type": "integer", "minimum": 400, "maximum": 599}}}
	case reflect.TypeFor[load.Arrivals]():
		return enum(load.Constant, load.Poisson)
	case reflect.TypeFor[fault.Direction]():
		return enum(fault.ToTarget, fault.FromTarget, fault.Both)
	case reflect.TypeFor[fault.Type]():
		var types []fault.Type
		for _, e := range fault.Vocabulary() {
			types = append(types, e.Type)
		}
		return enum(types...)
	}
	return nil
}

func enum[T ~string](values ...T) schema { return schema{"enum": values} }

// named describes a struct with the short forms that files may use for it.
func (w *schemaWriter) named(t reflect.Type) schema {
	s := w.object(t)
	switch t {
	case reflect.TypeFor[dist.Delay]():
		return schema{"anyOf": []any{quantity(reflect.TypeFor[unit.Duration]()), s}}
	case reflect.TypeFor[topology.Service]():
		maps.Copy(s["properties"].(schema), w.endpointProperties())
		delete(s["properties"].(schema), "path")
		s["properties"].(schema)[policyKey] = withText("Policies of the calls of the service that do not set them.", w.policySchema())
		s["required"] = []string{"name"}
		return schema{"anyOf": []any{schema{"type": "string"}, s}}
	case reflect.TypeFor[topology.Endpoint]():
		s["properties"] = w.endpointProperties()
	case reflect.TypeFor[topology.Step]():
		return w.step()
	case reflect.TypeFor[topology.Call]():
		s["required"] = []string{"to"}
		w.also(s, "query", enum(topology.Operations()...))
		put(s["properties"].(schema), "onError", w.onErrorSchema())
		put(s["properties"].(schema), "answers", schema{"type": "object", "additionalProperties": w.answer()})
		w.orNull(s)
	case reflect.TypeFor[topology.Response](), reflect.TypeFor[topology.Answer]():
		put(s["properties"].(schema), "body", anyBody())
	case reflect.TypeFor[policy.Fallback]():
		put(s["properties"].(schema), "value", anyBody())
		s["required"] = []string{"kind"}
	case reflect.TypeFor[load.Profile]():
		properties := s["properties"].(schema)
		maps.Copy(properties, w.object(reflect.TypeFor[load.Phase]())["properties"].(schema))
		request := schema{"anyOf": []any{schema{"type": "string"}, w.of(reflect.TypeFor[load.Request]())}}
		put(properties, "requests", schema{"anyOf": []any{schema{"type": "array", "items": request}, request}})
	case reflect.TypeFor[load.Request]():
		w.also(s, "chain", schema{"type": "object"})
	case reflect.TypeFor[fault.Fault]():
		properties := s["properties"].(schema)
		maps.Copy(properties, w.object(reflect.TypeFor[fault.Args]())["properties"].(schema))
		properties["direction"] = withText("Which way the network is broken: to the target, from it, or both.", quantity(reflect.TypeFor[fault.Direction]()))
		w.also(s, "target", schema{"type": "string"})
		s["required"] = []string{"type"}
	case reflect.TypeFor[experiment.Check]():
		s["required"] = []string{"check"}
	}
	return s
}

// endpointProperties are the fields of an endpoint with their short forms.
func (w *schemaWriter) endpointProperties() schema {
	s := w.object(reflect.TypeFor[topology.Endpoint]())
	step := w.of(reflect.TypeFor[topology.Step]())
	properties := s["properties"].(schema)
	properties["work"] = withText("What the endpoint does before its calls.", w.of(reflect.TypeFor[topology.Work]()))
	properties["calls"] = withText("The calls that the endpoint makes after its work, one after another; parallel makes several at once.",
		schema{"anyOf": []any{schema{"type": "array", "items": step}, step}})
	w.also(s, "response", quantity(reflect.TypeFor[unit.Size]()))
	w.also(s, "require", schema{"type": "string"})
	return properties
}

// step describes the forms of a step: a name, a call, work, or several steps.
func (w *schemaWriter) step() schema {
	self := schema{"$ref": "#/$defs/Step"}
	call, work := w.of(reflect.TypeFor[topology.Call]()), w.of(reflect.TypeFor[topology.Work]())
	only := func(key string, value schema) schema {
		return schema{"type": "object", "properties": schema{key: value}, "required": []string{key}, "additionalProperties": false}
	}
	return schema{"anyOf": []any{
		schema{"type": "string", "description": "the service that is called, and after it the path: cart/items"},
		call,
		schema{"allOf": []any{work, schema{"type": "object", "minProperties": 1}}},
		only("call", withText("A call of another service.", schema{"anyOf": []any{call, schema{"type": "string"}}})),
		only("work", withText("Work of the service itself.", schema{"allOf": []any{work}})),
		only("parallel", withText("Steps that are done at once.", schema{"anyOf": []any{schema{"type": "array", "items": self}, self}})),
	}}
}
