package examples_test

import (
	"bytes"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
)

func TestEveryExampleIsValidAndDescribed(t *testing.T) {
	for _, e := range examples.List() {
		data, err := examples.Open(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := spec.Read(e.File, bytes.NewReader(data))
		if err != nil {
			t.Error(err)
			continue
		}
		if e.Title == "" || len(e.Title) > 90 || e.Kind != docs[0].Origin.Kind {
			t.Errorf("example %+v needs a short title in its first line, and is of kind %q", e, docs[0].Origin.Kind)
		}
	}
}

// The page of an experiment begins with what it shows.
func TestEveryExperimentIsExplained(t *testing.T) {
	for _, e := range examples.List() {
		for _, x := range read(t, e.Name).Experiments() {
			if x.Title == "" || x.Doc == "" {
				t.Errorf("experiment %q of %s has title %q and doc %q, and needs both", x.Name, e.File, x.Title, x.Doc)
			}
		}
	}
}

func TestFaultsOfExamplesFitTheirSystems(t *testing.T) {
	for faults, system := range map[string]string{"faults-vecrosim": "social", "faults-chaos-mesh": "shop"} {
		set, on := read(t, faults), read(t, system)
		if experiments := on.Experiments(); len(experiments) > 0 {
			on = document.Documents{{System: &experiments[0].System}}
		}
		for _, one := range set.Faults() {
			if list, err := one.For(on.Systems()[0], 1); err != nil || len(list) == 0 {
				t.Errorf("%s on %s gives %v, %v", faults, system, list, err)
			}
		}
	}
}

func read(t *testing.T, name string) document.Documents {
	t.Helper()
	data, err := examples.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := spec.Read(name, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestOpenKnowsOnlyItsOwn(t *testing.T) {
	if _, err := examples.Open("../go.mod"); err == nil {
		t.Error("a file beside the examples can be opened")
	}
	byFile, err := examples.Open("shop.yaml")
	byName, err2 := examples.Open("shop")
	if err != nil || err2 != nil || !bytes.Equal(byFile, byName) {
		t.Errorf("name and file name differ: %v, %v", err, err2)
	}
}
