package spec

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// A schemaSet has the schema of each native kind.
type schemaSet map[string]*jsonschema.Schema

// schemas compiles the schemas of the native kinds.
func schemas(t *testing.T) schemaSet {
	t.Helper()
	compiled := schemaSet{}
	for _, kind := range Kinds() {
		data, err := Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource(kind, doc); err != nil {
			t.Fatal(err)
		}
		if compiled[kind], err = c.Compile(kind); err != nil {
			t.Fatal(err)
		}
	}
	return compiled
}

// conforms checks every native document of a file, and returns the first error.
func conforms(t *testing.T, schemas schemaSet, data []byte) error {
	t.Helper()
	f := decode.File{}
	for _, root := range f.Parse(data) {
		s := schemas[root.Text("kind")]
		if s == nil {
			continue
		}
		var instance any
		dec := json.NewDecoder(bytes.NewReader(root.JSON()))
		dec.UseNumber()
		if err := dec.Decode(&instance); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(instance); err != nil {
			return err
		}
	}
	return nil
}

func TestExamplesConformToTheSchema(t *testing.T) {
	schemas := schemas(t)
	for _, e := range examples.List() {
		data, err := examples.Open(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := conforms(t, schemas, data); err != nil {
			t.Errorf("%s: %v", e.File, err)
		}
		// The printed form conforms, too.
		docs, err := Read(e.File, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for i := range docs {
			if docs[i].Faults != nil {
				continue // they have no native form of their own
			}
			out, err := Format(docs[i : i+1])
			if err != nil {
				t.Fatal(err)
			}
			if err := conforms(t, schemas, out); err != nil {
				t.Errorf("%s, printed as\n%s: %v", e.File, out, err)
			}
		}
	}
}

func TestEveryShortFormConformsToTheSchema(t *testing.T) {
	paths, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path, bytes.NewReader(data)); err != nil {
			t.Error(err)
		}
		if err := conforms(t, schemas(t), data); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestWrongShapesBreakTheSchema(t *testing.T) {
	schemas := schemas(t)
	for _, name := range []string{"unknown-field", "wrong-type", "probability", "negative-duration", "size-overflow", "metadata", "experiment", "several", "references"} {
		data, err := os.ReadFile("testdata/mistakes/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if conforms(t, schemas, data) == nil {
			t.Errorf("%s conforms to the schema", name)
		}
	}
}

func TestSchemaRefusesOtherKinds(t *testing.T) {
	if _, err := Schema("Simulation"); err == nil || !strings.Contains(err.Error(), "known are System, Experiment, Dataset") {
		t.Errorf("got %v", err)
	}
}

// The schema tells editors the value that a field has when a file leaves it out.
func TestTheSchemaTellsDefaults(t *testing.T) {
	data, err := Schema("Experiment")
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]struct {
			Default any `json:"default"`
		} `json:"properties"`
	}
	var root struct {
		Defs map[string]struct {
			object
			AnyOf []object `json:"anyOf"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"Service.replicas": 1.0, "Service.workers": nil, "Call.probability": 1.0, "Call.count": 1.0, "Endpoint.errorStatus": 500.0,
		"Retry.attempts": nil, "Retry.factor": 2.0, "Retry.cap": "2m", "Retry.jitter": "full", "Breaker.trials": 1.0, "Breaker.scope": "replica", "Breaker.failures": nil,
		"Bulkhead.scope": "replica", "Hedge.max": 1.0, "RateLimit.burst": nil,
	} {
		name, key, _ := strings.Cut(field, ".")
		def, found := root.Defs[name], false
		for _, form := range append(def.AnyOf, def.object) {
			if p, ok := form.Properties[key]; ok {
				found = true
				if p.Default != want {
					t.Errorf("%s means %v where it is left out, and %v is told", field, want, p.Default)
				}
			}
		}
		if !found {
			t.Errorf("%s is not described", field)
		}
	}
}
