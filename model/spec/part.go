package spec

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// This file reads and prints parts of native documents, for those who change
// documents piece by piece.

// ReadUnchecked reads one native document without validating it: what it says of
// other documents, and what is too large or out of range, is not looked at. An
// error of type Mistakes names what does not fit.
func ReadUnchecked(name string, text []byte) (*document.Document, error) {
	f := readFile(name, text)
	if err := f.Mistakes.Err([]string{name}); err != nil {
		return nil, err
	}
	if len(f.docs) != 1 {
		return nil, fmt.Errorf("reading %q: expected one document, got %d", name, len(f.docs))
	}
	return &f.docs[0].Document, nil
}

// A Layout is how a text was read.
type Layout struct {
	// Nodes are the documents of the YAML library; nil for JSON.
	Nodes []*yaml.Node
	// Roots are the documents that were read, their short forms turned into the
	// domain's fields. Each node knows its place and its origin.
	Roots []*decode.Node
}

// ReadLayout is Read of a text, and tells how it was read.
func ReadLayout(name string, text []byte) (document.Documents, Layout, error) {
	f := readFile(name, text)
	docs, err := finish([]*reader{f})
	layout := Layout{Nodes: f.Nodes}
	for _, d := range f.docs {
		layout.Roots = append(layout.Roots, d.Root)
	}
	return docs, layout, err
}

// Default returns the value that a file's value of the type starts from.
func Default(t reflect.Type) reflect.Value {
	if t == reflect.TypeFor[topology.Response]() {
		return reflect.ValueOf(topology.NewEndpoint("").Response)
	}
	return defaults(t)
}

// Short returns what stands for a value in a file, in its short form: fields with
// their defaults are left out.
func Short(v any) (*decode.Node, error) {
	n, err := encode(reflect.ValueOf(v), Default(reflect.TypeOf(v)))
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case topology.Service:
		shortenService(n)
		if len(n.Fields) == 1 && n.Has("name") {
			return n.Get("name"), nil
		}
	case topology.Endpoint:
		shortenEndpoint(n)
	case topology.Step:
		return shortenStep(n), nil
	case topology.Response:
		if len(n.Fields) == 1 && n.Has("size") {
			return n.Get("size"), nil
		}
	case topology.Require:
		if len(n.Fields) == 1 && n.Has("header") {
			return n.Get("header"), nil
		}
	case fault.Fault:
		shortenFault(n, v.Target)
	case load.Profile:
		shortenLoad(n)
	case load.Request, load.Phase:
		return shortOf(n, v), nil
	case experiment.Check, experiment.Rank:
		if len(n.Fields) == 1 {
			return n.Fields[0].Value, nil
		}
	}
	return n, nil
}

// shortOf shortens a request or a phase as those of a load are.
func shortOf(n *decode.Node, v any) *decode.Node {
	l, list := &decode.Node{Shape: decode.Object}, &decode.Node{Shape: decode.List, Items: []*decode.Node{n}}
	if _, isPhase := v.(load.Phase); isPhase {
		// A name keeps the phase in its list.
		list.Items = append(list.Items, &decode.Node{Shape: decode.Object})
		l.Set("phases", list)
	} else {
		l.Set("requests", list)
	}
	shortenLoad(l)
	return list.Items[0]
}

// ServiceKeys are the keys at a service that describe its only endpoint.
func ServiceKeys() []string { return endpointKeys() }

// PhaseKeys are the keys at a load that describe its only phase.
func PhaseKeys() []string { return phaseKeys() }
