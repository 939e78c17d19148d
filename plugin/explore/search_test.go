package explore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
)

// All but b can be done without: their failures are ignored, after 150 ms at
// most. Two of them together are slower than the bound, and b alone is, too.
const weakLink = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: weak
seed: 1
system:
  services:
    - name: web
      calls: [{to: a, timeout: 150ms, onError: ignore}, b, {to: c, timeout: 150ms, onError: ignore}, {to: d, timeout: 10ms, onError: ignore}]
    - {name: a, work: {sleep: 2ms}}
    - {name: b, work: {sleep: 2ms}}
    - {name: c, work: {sleep: 2ms}}
    - {name: d, work: {sleep: 2ms}}
load:
  requests: web
  phases: [{rate: 50, duration: 10s}]
`

func huntIn(t *testing.T, e *experiment.Experiment, budget int, slo ...string) *search.Hunt {
	t.Helper()
	l := limitsOf(t, *e, slo...)
	h := &search.Hunt{
		Requirements: l.Requirements, Budget: budget, Load: 50, Known: &search.Known{Runs: map[string][]search.Reading{}},
		Steady: search.Steady{Phase: l.Steady.Phase, WarmUp: time.Second, Duration: 4 * time.Second},
	}
	h.Arms = search.Arms(e, []fault.Type{fault.Latency, fault.Error}, []string{"a", "b", "c", "d"}, 2*time.Second, func(f *fault.Fault) bool { return virtual.CanInject(e, f) == nil })
	return h
}

func TestSearchFindsTheWeakLink(t *testing.T) {
	e := readExperiment(t, weakLink)
	s, err := huntIn(t, &e, 400, "errors < 1%", "p99 < 180ms").Find(e, newTestPlayer(t.Context()).playAll)
	if err != nil {
		t.Fatal(err)
	}
	var singles, pairs []string
	for _, f := range s.Findings {
		if f.Broke != f.Runs {
			t.Errorf("%v breaks in %d of %d runs, which are all alike", f.Words, f.Broke, f.Runs)
		}
		if len(f.Faults) == 1 {
			singles = append(singles, f.Words[0])
		} else {
			pairs = append(pairs, strings.Join(f.Words, " + "))
		}
	}
	// A delay of 50 ms leaves b within 180 ms; an error of 5 % breaks 1 % of all.
	slices.Sort(singles)
	if want := []string{"error b probability=5% duration=2s", "latency b delay=200ms duration=2s"}; !slices.Equal(singles, want) {
		t.Errorf("alone, it finds %q, want %q", singles, want)
	}
	found := false
	for _, p := range pairs {
		found = found || strings.Contains(p, "latency a ") && strings.Contains(p, "latency c ")
		if strings.Contains(p, " d ") && !strings.Contains(p, " b ") && !strings.Contains(p, " a ") {
			t.Errorf("pair %q can not break it", p)
		}
	}
	if !found {
		t.Errorf("the pair of a and c is not among %q", pairs)
	}
	// An experiment that was written plays the same again.
	for i, x := range s.Experiments() {
		text, err := spec.FormatExperiment(&x)
		if err != nil {
			t.Fatal(err)
		}
		res, err := virtual.Run(t.Context(), readExperiment(t, string(text)), virtual.Options{Machine: ideal()})
		if err != nil || res.Passed {
			t.Errorf("finding %d, played again: passed %v, %v", i+1, res.Passed, err)
		}
	}
}

// A search that was interrupted goes on from what it knows, and comes to the same
// end as one that was not.
func TestSearchGoesOn(t *testing.T) {
	e := readExperiment(t, weakLink)
	encoded := func(s *search.FaultSearch) string {
		var b bytes.Buffer
		if err := s.Encode(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	whole, err := huntIn(t, &e, 150, "errors < 1%", "p99 < 180ms").Find(e, newTestPlayer(t.Context()).playAll)
	if err != nil {
		t.Fatal(err)
	}
	parts := huntIn(t, &e, 150, "errors < 1%", "p99 < 180ms")
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("interrupted by a test")
	looks := 0
	parts.Learnt = func() error {
		if looks++; looks == 4 {
			stop(why)
		}
		return nil
	}
	half, err := parts.Find(e, newTestPlayer(ctx).playAll)
	if !errors.Is(err, why) || !half.Incomplete || half.Runs == 0 {
		t.Fatalf("got %+v, %v", half, err)
	}
	known := len(parts.Known.Runs)
	parts.Learnt = nil
	rest, err := parts.Find(e, newTestPlayer(t.Context()).playAll)
	if err != nil || encoded(rest) != encoded(whole) || known == 0 {
		t.Errorf("with %d runs known: got %s, %v, want %s", known, encoded(rest), err, encoded(whole))
	}
}

func TestSearchRefusesWhatIsBroken(t *testing.T) {
	e := readExperiment(t, weakLink)
	_, err := huntIn(t, &e, 150, "p99 < 1ms").Find(e, newTestPlayer(t.Context()).playAll)
	var broken *search.BrokenError
	if !errors.As(err, &broken) {
		t.Errorf("got %v", err)
	}
}

// No budget is overdrawn, and the least of them is enough to find something.
func TestSearchKeepsItsBudget(t *testing.T) {
	e := readExperiment(t, weakLink)
	for _, budget := range []int{search.MinBudget, 50, 77, 100} {
		s, err := huntIn(t, &e, budget, "errors < 1%").Find(e, newTestPlayer(t.Context()).playAll)
		if err != nil || s.Runs > budget || s.Tried > s.Candidates || s.Tried == 0 {
			t.Errorf("budget %d: %+v, %v", budget, s, err)
		}
	}
}
