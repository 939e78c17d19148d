package spec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Format prints documents in native form, also those that were read from a
// dialect. A load that stands alone becomes an experiment on the system that it
// names, and gets an end where it has none, which an experiment needs. A request
// of MicroSim has no other form and is printed as it is, in indented JSON. Faults
// that stand alone become part of the one experiment that the documents make.
func Format(docs Documents) ([]byte, error) {
	if len(docs.Faults()) > 0 {
		e, err := docs.Experiment()
		if err != nil {
			return nil, fmt.Errorf("faults have no native form without a system and a load: %w", err)
		}
		return FormatExperiment(e)
	}
	var b bytes.Buffer
	for i := range docs {
		text, err := format(&docs[i])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(text)
	}
	return b.Bytes(), nil
}

func format(d *Document) ([]byte, error) {
	switch {
	case d.System != nil:
		return FormatSystem(d.System)
	case d.Experiment != nil:
		return FormatExperiment(d.Experiment)
	case d.Load != nil:
		return formatLoad(d.Load)
	}
	text, err := json.MarshalIndent(d.Chain, "", "  ")
	return append(text, '\n'), err
}

func formatLoad(l *Load) ([]byte, error) {
	e := experiment.Experiment{Name: l.Name, Seed: DefaultSeed, Load: l.Profile}
	e.Load.Phases = slices.Clone(e.Load.Phases)
	comment := ""
	for i := range e.Load.Phases {
		if p := &e.Load.Phases[i]; p.Endless() {
			p.Duration = endlessFor
			comment = "# This load goes on until it is stopped; an experiment has to end.\n"
		}
	}
	text, err := formatExperiment(&e, l.System)
	return append([]byte(comment), text...), err
}

// FormatSystem prints a system as a native document in its short form. Reading
// it gives an equal system.
func FormatSystem(s *topology.System) ([]byte, error) {
	n, err := encode(reflect.ValueOf(*s), reflect.ValueOf(topology.System{}))
	if err != nil {
		return nil, fmt.Errorf("formatting system %q: %w", s.Name, err)
	}
	shortenSystem(n)
	return write(KindSystem, n)
}

// FormatExperiment prints an experiment as a native document in its short form.
// Reading it gives an equal experiment.
func FormatExperiment(e *experiment.Experiment) ([]byte, error) {
	return formatExperiment(e, "")
}

// formatExperiment prints an experiment with its system or, where a name is
// given, with only the name of one.
func formatExperiment(e *experiment.Experiment, system string) ([]byte, error) {
	n, err := encode(reflect.ValueOf(*e), defaults(reflect.TypeFor[experiment.Experiment]()))
	if err != nil {
		return nil, fmt.Errorf("formatting experiment %q: %w", e.Name, err)
	}
	if inline := n.get("system"); system != "" {
		n.take("system")
		at := max(slices.IndexFunc(n.fields, func(f field) bool { return f.key == "load" }), 0)
		n.fields = slices.Insert(n.fields, at, field{key: "system", value: &node{shape: text, scalar: system}})
	} else if inline != nil {
		shortenSystem(inline)
		if inline.text("name") == e.Name {
			inline.take("name")
		}
	}
	shortenLoad(n.get("load"))
	if faults := n.get("faults"); faults != nil {
		for i, one := range faults.items {
			shortenFault(one, e.Faults[i].Target)
		}
	}
	shortenComparison(n)
	return write(KindExperiment, n)
}

// encode makes a node of a value and leaves out what equals the defaults that
// reading starts from.
func encode(v, def reflect.Value) (*node, error) {
	if d, ok := v.Interface().(dist.Delay); ok && (d.Fixed != 0 || d.IsZero()) {
		v = reflect.ValueOf(d.Fixed)
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		data, err := m.MarshalText()
		n := &node{shape: text, scalar: strings.ReplaceAll(string(data), "µs", "us")}
		if _, notNumber := strconv.ParseUint(n.scalar, 10, 63); notNumber == nil {
			n.shape = number // 512 bytes and 2 cores need no quotes
		}
		return n, err
	}
	switch v.Kind() {
	case reflect.Pointer:
		return encode(v.Elem(), defaults(v.Type().Elem()))
	case reflect.Struct:
		return encodeObject(v, def)
	case reflect.Slice:
		n := &node{shape: list}
		for i := range v.Len() {
			item, err := encode(v.Index(i), defaults(v.Type().Elem()))
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		return n, nil
	case reflect.Map:
		n := &node{shape: object}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			value, err := encode(v.MapIndex(key), reflect.Zero(v.Type().Elem()))
			if err != nil {
				return nil, err
			}
			n.set(key.String(), value)
		}
		return n, nil
	}
	return encodeScalar(v)
}

func encodeObject(v, def reflect.Value) (*node, error) {
	n := &node{shape: object}
	if f, ok := v.Interface().(fault.Fault); ok {
		known, _ := fault.Lookup(f.Type)
		def = reflect.ValueOf(fault.Fault{Probability: 1, Args: known.Defaults})
	}
	for _, field := range fieldsOf(v.Type()) {
		is, usual := v.FieldByIndex(field.index), def.FieldByIndex(field.index)
		if reflect.DeepEqual(is.Interface(), usual.Interface()) {
			continue
		}
		value, err := encode(is, usual)
		if err != nil {
			return nil, err
		}
		n.set(field.name, value)
	}
	return n, nil
}

func encodeScalar(v reflect.Value) (*node, error) {
	switch v.Kind() {
	case reflect.String:
		return &node{shape: text, scalar: v.String()}, nil
	case reflect.Bool:
		return &node{shape: boolean, scalar: strconv.FormatBool(v.Bool())}, nil
	case reflect.Int, reflect.Int64:
		return &node{shape: number, scalar: strconv.FormatInt(v.Int(), 10)}, nil
	case reflect.Uint64:
		return &node{shape: number, scalar: strconv.FormatUint(v.Uint(), 10)}, nil
	case reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%v cannot be written", x)
		}
		return &node{shape: number, scalar: strconv.FormatFloat(v.Float(), 'g', -1, 64)}, nil
	}
	return nil, fmt.Errorf("a value of type %s cannot be written", v.Type())
}

func shortenSystem(n *node) {
	if services := n.get("services"); services != nil {
		for _, s := range services.items {
			shortenService(s)
		}
	}
}

// shortenService writes the fields of an only endpoint at "/" at its service.
func shortenService(n *node) {
	endpoints := n.get("endpoints")
	if endpoints == nil {
		// No endpoints at all is not the default, and has to be said.
		n.set("endpoints", &node{shape: list})
		return
	}
	for _, e := range endpoints.items {
		shortenEndpoint(e)
	}
	if len(endpoints.items) == 1 && !endpoints.items[0].has("path") {
		n.take("endpoints")
		n.fields = append(n.fields, endpoints.items[0].fields...)
	}
}

func shortenEndpoint(n *node) {
	if response := n.get("response"); response != nil && len(response.fields) == 1 && response.has("size") {
		n.set("response", response.get("size"))
	}
	if require := n.get("require"); require != nil && len(require.fields) == 1 && require.has("header") {
		n.set("require", require.get("header"))
	}
	steps := n.get("steps")
	if steps == nil || len(steps.items) == 0 {
		return
	}
	// Only the first work has a place of its own; all else are calls.
	rest := steps.items
	var short []field
	if work := rest[0].get("work"); work != nil {
		short = append(short, field{key: "work", value: work})
		rest = rest[1:]
	}
	if len(rest) > 0 {
		calls := &node{shape: list}
		for _, step := range rest {
			calls.items = append(calls.items, shortenStep(step))
		}
		short = append(short, field{key: "calls", value: calls})
	}
	at := slices.IndexFunc(n.fields, func(f field) bool { return f.key == "steps" })
	n.fields = slices.Concat(n.fields[:at], short, n.fields[at+1:])
}

func shortenStep(n *node) *node {
	if call := n.get("call"); call != nil {
		to, endpoint := call.text("to"), call.text("endpoint")
		// A name that has a slash itself, or a path that lacks it, has to be spelt
		// out to be read again as it is; neither is valid.
		if strings.HasPrefix(endpoint, "/") && len(endpoint) > 1 && !strings.Contains(to, "/") {
			call.take("endpoint")
			call.set("to", &node{shape: text, scalar: to + endpoint})
		}
		shortenCall(call)
		if len(call.fields) == 1 && call.has("to") {
			return call.get("to")
		}
		return call
	}
	if work := n.get("work"); work != nil && len(work.fields) > 0 {
		return work
	}
	if parallel := n.get("parallel"); parallel != nil {
		for i, step := range parallel.items {
			parallel.items[i] = shortenStep(step)
		}
	}
	return n
}

// shortenLoad writes the fields of an only phase without a name at the profile.
func shortenLoad(n *node) {
	if n == nil {
		return
	}
	phases := n.get("phases")
	if phases != nil {
		for i, phase := range phases.items {
			if phase.text("name") == strconv.Itoa(i+1) {
				phase.take("name")
			}
			if phase.text("burst") == "1" {
				phase.take("burst")
			}
			if phase.text("arrivals") == "constant" && (phase.has("rate") || phase.has("rateTo")) {
				phase.take("arrivals")
			}
		}
		if len(phases.items) == 1 && !phases.items[0].has("name") && len(phases.items[0].fields) > 0 {
			n.take("phases")
			n.fields = append(n.fields, phases.items[0].fields...)
		}
	}
	requests := n.get("requests")
	if requests == nil {
		return
	}
	for i, r := range requests.items {
		service, endpoint := r.text("service"), r.text("endpoint")
		if service != "" && r.text("name") == service+endpoint {
			r.take("name")
		}
		plain := len(r.fields) == 1 || len(r.fields) == 2 && strings.HasPrefix(endpoint, "/") && len(endpoint) > 1
		if plain && service != "" && !strings.Contains(service, "/") {
			requests.items[i] = &node{shape: text, scalar: service + endpoint}
		}
	}
}

// shortenFault writes a target as text and the parameters beside the type.
func shortenFault(n *node, target fault.Target) {
	if parsed, err := fault.ParseTarget(target.String()); err == nil {
		direction := target.Direction
		if target.Direction = ""; parsed == target {
			n.set("target", &node{shape: text, scalar: target.String()})
			if direction != "" {
				n.set("direction", &node{shape: text, scalar: string(direction)})
			}
		}
	}
	if args := n.take("args").get("args"); args != nil {
		n.fields = append(n.fields, args.fields...)
	}
}

// write prints a native document.
func write(kind string, n *node) ([]byte, error) {
	head := &node{shape: object}
	head.set("apiVersion", &node{shape: text, scalar: APIVersion})
	head.set("kind", &node{shape: text, scalar: kind})
	head.fields = append(head.fields, n.fields...)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(head.yaml()); err != nil {
		return nil, fmt.Errorf("formatting: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("formatting: %w", err)
	}
	return b.Bytes(), nil
}
