package edit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// This file reads the values of operations, which are written as in a file, with
// the decoder of files.

// valueName stands for a file in the mistakes of values.
const valueName = "value"

func unique(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}

// fields is an object in JSON.
type fields map[string]any

// read reads a document of some fields.
func read(kind string, f fields) (*document.Document, error) {
	f = maps.Clone(f)
	f["apiVersion"], f["kind"], f["name"] = document.APIVersion, kind, "part"
	text, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("the value is not JSON: %w", err)
	}
	return spec.ReadUnchecked(valueName+".json", text)
}

func readService(service any) (topology.Service, error) {
	d, err := read(document.KindSystem, fields{"services": []any{service}})
	if err != nil {
		return topology.Service{}, err
	}
	return d.System.Services[0], nil
}

func readStep(step json.RawMessage) (topology.Step, error) {
	if len(step) == 0 {
		return topology.Step{}, refuse("the call is missing; write {\"to\": \"cart\"}")
	}
	s, err := readService(fields{"name": "x", "steps": []any{step}})
	if err != nil {
		return topology.Step{}, err
	}
	return s.Endpoints[0].Steps[0], nil
}

func readExperiment(f fields) (*experiment.Experiment, error) {
	f = maps.Clone(f)
	f["system"] = "part"
	d, err := read(document.KindExperiment, f)
	if err != nil {
		return nil, err
	}
	return d.Experiment, nil
}
