package virtual

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// example reads one of the examples.
func example(t testing.TB, name string) experiment.Experiment {
	t.Helper()
	text, err := examples.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := spec.Read(name, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	all := docs.Experiments()
	if len(all) != 1 {
		return experiment.Experiment{}
	}
	return *all[0]
}

// TestExamplesHoldTheirChecks plays every example and lesson; its own checks
// judge it.
func TestExamplesHoldTheirChecks(t *testing.T) {
	for _, ex := range examples.List() {
		e := example(t, ex.Name)
		if e.Name == "" || e.NeedsPrometheus() != "" { // `make test-monitor` runs those
			continue
		}
		t.Run(ex.Name, func(t *testing.T) {
			variants, err := e.Select(nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range variants {
				applied, _ := e.Apply(v)
				began := time.Now()
				var last Progress
				r, err := Run(context.Background(), applied, Options{Progress: func(p Progress) { last = p }})
				if usesRuntime(&applied.System) {
					if err == nil || !strings.Contains(err.Error(), "is not known in virtual time") {
						t.Errorf("%s: a runtime whose costs are not known: %v", v.Name, err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", v.Name, err)
					continue
				}
				for _, c := range r.Checks {
					if !c.Pass {
						t.Errorf("%s: %s of %s: %s", v.Name, c.Expr, c.Subject(), c.Why)
					}
				}
				t.Logf("%s: %v, %d events, virtual %v", v.Name, time.Since(began).Round(time.Millisecond), last.Events, last.Virtual)
			}
		})
	}
}

func usesRuntime(s *topology.System) bool {
	return slices.ContainsFunc(s.Services, func(one topology.Service) bool { return one.Runtime != "" })
}
