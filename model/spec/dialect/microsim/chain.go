package microsim

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
)

// This file reads MicroSim's requests: by themselves, and inside other files.
// Package behave decides what they mean; this file adds the places of mistakes.

// chainFile is one hop of a request.
type chainFile struct {
	Designation *string      `json:"designation,omitempty"`
	Probability *float64     `json:"probability,omitempty"`
	Faults      chainFaults  `json:"faults"`
	Routes      []*chainFile `json:"routes,omitempty"`
}

type chainFaults struct {
	Before []chainFault `json:"before,omitempty"`
	After  []chainFault `json:"after,omitempty"`
}

type chainFault struct {
	Type *string   `json:"type,omitempty"`
	Args chainArgs `json:"args"`
}

type chainArgs struct {
	Delay    *float64 `json:"delay,omitempty"`
	Size     *float64 `json:"size,omitempty"`
	Duration *float64 `json:"duration,omitempty"`
	Cores    *float64 `json:"cores,omitempty"`
	Status   *float64 `json:"status,omitempty"`
	Rate     *float64 `json:"rate,omitempty"`
}

// ReadRequest reads a request of MicroSim as a document.
func ReadRequest(f *decode.File, n *decode.Node) *document.Draft {
	p := document.NewDraft(f, n, document.MicroSim, kindRequest)
	p.Chain = Chain(f, n, "")
	return p
}

// Chain reads a request that stands at a path of the file. It reports mistakes;
// then the chain is empty.
func Chain(f *decode.File, n *decode.Node, path string) *chain.Chain {
	if !f.Want(n, path, decode.Object, "write a request with a designation") {
		return &chain.Chain{}
	}
	var in chainFile
	before := len(f.Mistakes)
	f.Decode(n, path, reflect.ValueOf(&in).Elem())
	known := slices.Clone(f.Mistakes[before:])
	for i := range known { // seen from the request, as the problems are
		known[i].Path = strings.TrimPrefix(strings.TrimPrefix(known[i].Path, path), ".")
	}
	data, err := json.Marshal(in)
	if err != nil {
		f.Mistake(n, path, "", "the request cannot be read: %v", err)
		return &chain.Chain{}
	}
	// Only what was understood is parsed, so that all mistakes come at once.
	tree, err := chain.Parse(data, chain.Limits{})
	if err == nil {
		return tree
	}
	for _, one := range problemsOf(err) {
		place, whole := n.Follow(one.Path)
		if !decode.Follows(n, one.Path, place, whole, known) {
			one.Path = problem.Join(path, one.Path)
			f.MistakeAt(place, one)
		}
	}
	return &chain.Chain{}
}

// problemsOf lists the problems of an error; an error that has none is one.
func problemsOf(err error) problem.List {
	parts := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		parts = joined.Unwrap()
	}
	var list problem.List
	for _, part := range parts {
		var p problem.Problem
		if !errors.As(part, &p) {
			p.Message = part.Error()
		}
		list = append(list, p)
	}
	return list
}

// ChainText checks a request that stands as text inside a file, and returns it
// as compact JSON.
func ChainText(f *decode.File, at *decode.Node, path string) string {
	inner := &decode.File{Name: f.Name, Types: f.Types}
	roots := inner.Parse([]byte(at.Scalar))
	compact := ""
	if len(roots) == 1 {
		Chain(inner, roots[0], "")
		compact = string(roots[0].JSON())
	} else if len(inner.Mistakes) == 0 {
		f.Mistake(at, path, "give one request", "%d requests are found in one text", len(roots))
	}
	for _, m := range inner.Mistakes {
		// Escapes and folding hide where the text's own lines are in the file, so
		// the place is that of the whole text.
		f.Mistake(at, problem.Join(path, m.Path), m.Hint, "%s", m.Message)
	}
	return compact
}
