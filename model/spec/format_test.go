package spec

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// reread prints a document and reads it again. A load and an experiment whose
// system is named elsewhere are given that system.
func reread(t *testing.T, d *document.Document) (*document.Document, []byte) {
	t.Helper()
	out, err := Format(document.Documents{*d})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := Read("formatted", bytes.NewReader(out))
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d documents, %v, in\n%s", len(docs), err, out)
	}
	return &docs[0], out
}

// same reports a document that is not what it was after printing and reading.
func same(t *testing.T, d *document.Document) {
	t.Helper()
	if d.Faults != nil {
		return // they have no native form of their own
	}
	again, out := reread(t, d)
	switch {
	case d.System != nil && !reflect.DeepEqual(d.System, again.System):
		t.Errorf("printed as\n%sread as\n%+v\nwas\n%+v", out, again.System, d.System)
	case d.Experiment != nil && !reflect.DeepEqual(d.Experiment, again.Experiment):
		t.Errorf("printed as\n%sread as\n%+v\nwas\n%+v", out, again.Experiment, d.Experiment)
	case d.Load != nil && !reflect.DeepEqual(ended(d.Load.Profile), again.Experiment.Load):
		t.Errorf("printed as\n%sread as\n%+v\nwas\n%+v", out, again.Experiment.Load, d.Load.Profile)
	case d.Chain != nil && !reflect.DeepEqual(d.Chain, again.Chain):
		t.Errorf("printed as\n%sread as\n%+v\nwas\n%+v", out, again.Chain, d.Chain)
	}
}

// ended returns the profile with the end that an experiment needs.
func ended(p load.Profile) load.Profile {
	p.Phases = slices.Clone(p.Phases)
	for i := range p.Phases {
		if p.Phases[i].Endless() {
			p.Phases[i].Duration = document.EndlessFor
		}
	}
	return p
}

func TestFormatIsReadBack(t *testing.T) {
	for _, e := range examples.List() {
		data, err := examples.Open(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := Read(e.File, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for i := range docs {
			same(t, &docs[i])
		}
	}
	paths, err := filepath.Glob("testdata/good/*")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := Read(path, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for i := range docs {
			same(t, &docs[i])
		}
	}
	for _, shape := range topology.Shapes() {
		s, err := topology.Generate(shape, 100, 300, 5)
		if err != nil {
			t.Fatal(err)
		}
		same(t, &document.Document{System: s})
	}
}

func TestFormatIsShort(t *testing.T) {
	cart := topology.NewService("cart", topology.CallTo("db"))
	cart.Endpoints[0].Response.Size = 2 << 10
	cart.Endpoints[0].Timeout = unit.Duration(1500e6)
	twelve := topology.NewService("12")
	twelve.Endpoints[0].Response.Size = 512
	s := topology.System{Name: "tiny", Services: []topology.Service{cart, twelve, topology.NewService("db")}}
	out, err := FormatSystem(&s)
	if err != nil {
		t.Fatal(err)
	}
	want := `apiVersion: microsim.dev/v1alpha1
kind: System
name: tiny
services:
  - name: cart
    calls: [db]
    response: 2Ki
    timeout: 1.5s
  - name: "12"
    response: 512
  - name: db
`
	if string(out) != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func BenchmarkFormatThousandServices(b *testing.B) {
	s, err := topology.Generate(topology.Random, 1000, 5000, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := FormatSystem(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadThousandServices(b *testing.B) {
	s, err := topology.Generate(topology.Random, 1000, 5000, 1)
	if err != nil {
		b.Fatal(err)
	}
	data, err := FormatSystem(s)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read("bench.yaml", bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}
