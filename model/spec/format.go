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
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Format prints documents in native form, also those that were read from a
// dialect. A load that stands alone becomes an experiment on the system that it
// names, and gets an end where it has none, which an experiment needs. A request
// of MicroSim has no other form and is printed as it is, in indented JSON. Faults
// that stand alone become part of the one experiment that the documents make.
func Format(docs document.Documents) ([]byte, error) {
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

func format(d *document.Document) ([]byte, error) {
	switch {
	case d.System != nil:
		return FormatSystem(d.System)
	case d.Experiment != nil:
		return FormatExperiment(d.Experiment)
	case d.Dataset != nil:
		return FormatDataset(d.Dataset)
	case d.Load != nil:
		return formatLoad(d.Load)
	}
	text, err := json.MarshalIndent(d.Chain, "", "  ")
	return append(text, '\n'), err
}

func formatLoad(l *document.Load) ([]byte, error) {
	e := experiment.Experiment{Name: l.Name, Seed: document.DefaultSeed, Load: l.Profile}
	e.Load.Phases = slices.Clone(e.Load.Phases)
	comment := ""
	for i := range e.Load.Phases {
		if p := &e.Load.Phases[i]; p.Endless() {
			p.Duration = document.EndlessFor
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
	return write(document.KindSystem, n)
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
	if inline := n.Get("system"); system != "" {
		n.Take("system")
		at := max(slices.IndexFunc(n.Fields, func(f decode.Field) bool { return f.Key == "load" }), 0)
		n.Fields = slices.Insert(n.Fields, at, decode.Field{Key: "system", Value: &decode.Node{Shape: decode.Text, Scalar: system}})
	} else if inline != nil {
		shortenSystem(inline)
		if inline.Text("name") == e.Name {
			inline.Take("name")
		}
	}
	shortenLoad(n.Get("load"))
	if faults := n.Get("faults"); faults != nil {
		for i, one := range faults.Items {
			shortenFault(one, e.Faults[i].Target)
		}
	}
	shortenComparison(n)
	return write(document.KindExperiment, n)
}

// encode makes a node of a value and leaves out what equals the defaults that
// reading starts from.
func encode(v, def reflect.Value) (*decode.Node, error) {
	if d, ok := v.Interface().(dist.Delay); ok && (d.Fixed != 0 || d.IsZero()) {
		v = reflect.ValueOf(d.Fixed)
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		data, err := m.MarshalText()
		n := &decode.Node{Shape: decode.Text, Scalar: strings.ReplaceAll(string(data), "µs", "us")}
		if _, notNumber := strconv.ParseUint(n.Scalar, 10, 63); notNumber == nil {
			n.Shape = decode.Number // 512 bytes and 2 cores need no quotes
		}
		return n, err
	}
	switch v.Kind() {
	case reflect.Pointer:
		return encode(v.Elem(), defaults(v.Type().Elem()))
	case reflect.Struct:
		return encodeObject(v, def)
	case reflect.Slice:
		n := &decode.Node{Shape: decode.List}
		for i := range v.Len() {
			item, err := encode(v.Index(i), defaults(v.Type().Elem()))
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, item)
		}
		return n, nil
	case reflect.Map:
		n := &decode.Node{Shape: decode.Object}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			value, err := encode(v.MapIndex(key), reflect.Zero(v.Type().Elem()))
			if err != nil {
				return nil, err
			}
			n.Set(key.String(), value)
		}
		return n, nil
	}
	return encodeScalar(v)
}

func encodeObject(v, def reflect.Value) (*decode.Node, error) {
	n := &decode.Node{Shape: decode.Object}
	if f, ok := v.Interface().(fault.Fault); ok {
		known, _ := fault.Lookup(f.Type)
		def = reflect.ValueOf(fault.Fault{Probability: 1, Args: known.Defaults})
	}
	for _, field := range decode.FieldsOf(v.Type()) {
		is, usual := v.FieldByIndex(field.Index), def.FieldByIndex(field.Index)
		if reflect.DeepEqual(is.Interface(), usual.Interface()) {
			continue
		}
		value, err := encode(is, usual)
		if err != nil {
			return nil, err
		}
		n.Set(field.Name, value)
	}
	return n, nil
}

func encodeScalar(v reflect.Value) (*decode.Node, error) {
	switch v.Kind() {
	case reflect.String:
		return &decode.Node{Shape: decode.Text, Scalar: v.String()}, nil
	case reflect.Bool:
		return &decode.Node{Shape: decode.Boolean, Scalar: strconv.FormatBool(v.Bool())}, nil
	case reflect.Int, reflect.Int64:
		return &decode.Node{Shape: decode.Number, Scalar: strconv.FormatInt(v.Int(), 10)}, nil
	case reflect.Uint64:
		return &decode.Node{Shape: decode.Number, Scalar: strconv.FormatUint(v.Uint(), 10)}, nil
	case reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%v cannot be written", x)
		}
		return &decode.Node{Shape: decode.Number, Scalar: strconv.FormatFloat(v.Float(), 'g', -1, 64)}, nil
	}
	return nil, fmt.Errorf("a value of type %s cannot be written", v.Type())
}

func shortenSystem(n *decode.Node) {
	if services := n.Get("services"); services != nil {
		for _, s := range services.Items {
			shortenService(s)
		}
	}
}

// shortenService writes the fields of an only endpoint at "/" at its service.
func shortenService(n *decode.Node) {
	endpoints := n.Get("endpoints")
	if endpoints == nil {
		// No endpoints at all is not the default, and has to be said.
		n.Set("endpoints", &decode.Node{Shape: decode.List})
		return
	}
	for _, e := range endpoints.Items {
		shortenEndpoint(e)
	}
	if len(endpoints.Items) == 1 && !endpoints.Items[0].Has("path") {
		n.Take("endpoints")
		n.Fields = append(n.Fields, endpoints.Items[0].Fields...)
	}
}

func shortenEndpoint(n *decode.Node) {
	if response := n.Get("response"); response != nil && len(response.Fields) == 1 && response.Has("size") {
		n.Set("response", response.Get("size"))
	}
	if require := n.Get("require"); require != nil && len(require.Fields) == 1 && require.Has("header") {
		n.Set("require", require.Get("header"))
	}
	steps := n.Get("steps")
	if steps == nil || len(steps.Items) == 0 {
		return
	}
	// Only the first work has a place of its own; all else are calls.
	rest := steps.Items
	var short []decode.Field
	if work := rest[0].Get("work"); work != nil {
		short = append(short, decode.Field{Key: "work", Value: work})
		rest = rest[1:]
	}
	if len(rest) > 0 {
		calls := &decode.Node{Shape: decode.List}
		for _, step := range rest {
			calls.Items = append(calls.Items, shortenStep(step))
		}
		short = append(short, decode.Field{Key: "calls", Value: calls})
	}
	at := slices.IndexFunc(n.Fields, func(f decode.Field) bool { return f.Key == "steps" })
	n.Fields = slices.Concat(n.Fields[:at], short, n.Fields[at+1:])
}

func shortenStep(n *decode.Node) *decode.Node {
	if call := n.Get("call"); call != nil {
		to, endpoint := call.Text("to"), call.Text("endpoint")
		// A name that has a slash itself, or a path that lacks it, has to be spelt
		// out to be read again as it is; neither is valid.
		if strings.HasPrefix(endpoint, "/") && len(endpoint) > 1 && !strings.Contains(to, "/") {
			call.Take("endpoint")
			call.Set("to", &decode.Node{Shape: decode.Text, Scalar: to + endpoint})
		}
		shortenCall(call)
		if len(call.Fields) == 1 && call.Has("to") {
			return call.Get("to")
		}
		return call
	}
	if work := n.Get("work"); work != nil && len(work.Fields) > 0 {
		return work
	}
	if parallel := n.Get("parallel"); parallel != nil {
		for i, step := range parallel.Items {
			parallel.Items[i] = shortenStep(step)
		}
	}
	return n
}

// shortenLoad writes the fields of an only phase without a name at the profile.
func shortenLoad(n *decode.Node) {
	if n == nil {
		return
	}
	phases := n.Get("phases")
	if phases != nil {
		for i, phase := range phases.Items {
			if phase.Text("name") == strconv.Itoa(i+1) {
				phase.Take("name")
			}
			if phase.Text("burst") == "1" {
				phase.Take("burst")
			}
			if phase.Text("arrivals") == "constant" && (phase.Has("rate") || phase.Has("rateTo")) {
				phase.Take("arrivals")
			}
		}
		if len(phases.Items) == 1 && !phases.Items[0].Has("name") && len(phases.Items[0].Fields) > 0 {
			n.Take("phases")
			n.Fields = append(n.Fields, phases.Items[0].Fields...)
		}
	}
	requests := n.Get("requests")
	if requests == nil {
		return
	}
	for i, r := range requests.Items {
		service, endpoint := r.Text("service"), r.Text("endpoint")
		if service != "" && r.Text("name") == service+endpoint {
			r.Take("name")
		}
		plain := len(r.Fields) == 1 || len(r.Fields) == 2 && strings.HasPrefix(endpoint, "/") && len(endpoint) > 1
		if plain && service != "" && !strings.Contains(service, "/") {
			requests.Items[i] = &decode.Node{Shape: decode.Text, Scalar: service + endpoint}
		}
	}
}

// shortenFault writes a target as text and the parameters beside the type.
func shortenFault(n *decode.Node, target fault.Target) {
	if parsed, err := fault.ParseTarget(target.String()); err == nil {
		direction := target.Direction
		if target.Direction = ""; parsed == target {
			n.Set("target", &decode.Node{Shape: decode.Text, Scalar: target.String()})
			if direction != "" {
				n.Set("direction", &decode.Node{Shape: decode.Text, Scalar: string(direction)})
			}
		}
	}
	if args := n.Take("args").Get("args"); args != nil {
		n.Fields = append(n.Fields, args.Fields...)
	}
}

// write prints a native document.
func write(kind string, n *decode.Node) ([]byte, error) {
	head := &decode.Node{Shape: decode.Object}
	head.Set("apiVersion", &decode.Node{Shape: decode.Text, Scalar: document.APIVersion})
	head.Set("kind", &decode.Node{Shape: decode.Text, Scalar: kind})
	head.Fields = append(head.Fields, n.Fields...)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(head.YAML()); err != nil {
		return nil, fmt.Errorf("formatting: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("formatting: %w", err)
	}
	return b.Bytes(), nil
}
