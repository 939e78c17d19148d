package explore

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
)

// ideal is a machine on which nothing takes time but what the file says.
func ideal() virtual.Machine {
	return virtual.Machine{Latency: -1, RequestCPU: -1, ConnectionCPU: -1, SleepLate: -1}
}

func newTestPlayer(ctx context.Context) *player {
	return &player{ctx: ctx, line: newLine(io.Discard), machine: ideal()}
}

func readExperiment(t *testing.T, text string) experiment.Experiment {
	t.Helper()
	docs, err := spec.Read("test.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	e, err := docs.Experiment()
	if err != nil {
		t.Fatal(err)
	}
	e.Load = e.Load.WithDefaults()
	return *e
}

// one worker serves in 10 ms on average, at random: M/M/1 with mu = 100/s.
const mm1 = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: mm1
seed: 1
system:
  services:
    - {name: api, workers: 1, backlog: 60000, work: {sleep: {exponential: {mean: 10ms}}}}
load:
  requests: api
  timeout: 1h
  maxInFlight: 60000
  phases:
    - {rate: 40, arrivals: poisson, duration: 10s}
`

func limitsOf(t *testing.T, e experiment.Experiment, slo ...string) search.Limits {
	t.Helper()
	phase, err := search.Template(e.Load, "")
	if err != nil {
		t.Fatal(err)
	}
	l := search.Limits{
		Confidence: 0.95, Seeds: 16, Cores: 8,
		Steady:    search.Steady{Phase: phase, WarmUp: 20 * time.Second, Duration: 80 * time.Second, Recovery: 10 * time.Second},
		Bisection: search.Bisection{Start: phase.Rate, Least: 1, Most: 400, Precision: 0.03, Tries: points},
	}
	for _, text := range slo {
		r, err := search.ParseRequirement(text)
		if err != nil {
			t.Fatal(err)
		}
		l.Requirements = append(l.Requirements, r)
	}
	return l
}

// The time in an M/M/1 system is exponential with the rate mu-lambda (Kleinrock,
// Queueing Systems I, 3.2), so its 99th percentile is ln(100)/(mu-lambda). Where
// that meets the bound is the limit; the worker is what fills up.
func TestLimitOfMM1(t *testing.T) {
	const mu, bound = 100, 0.3
	want := mu - math.Log(100)/bound
	e := readExperiment(t, mm1)
	l, err := limitsOf(t, e, "p99 < 300ms").Find(e, newTestPlayer(t.Context()).play)
	if err != nil {
		t.Fatal(err)
	}
	if l.Holds == nil || l.Breaks == nil {
		t.Fatalf("no bracket: %+v", l.Answer)
	}
	t.Logf("[%v, %v] for %.2f, by %d loads", *l.Holds, *l.Breaks, want, len(l.Points))
	if *l.Holds > want || *l.Breaks < want {
		t.Errorf("[%v, %v] does not hold %v", *l.Holds, *l.Breaks, want)
	}
	if *l.Breaks-*l.Holds > 0.15*want {
		t.Errorf("[%v, %v] is wide", *l.Holds, *l.Breaks)
	}
	if l.Growing {
		t.Error("requests pile up below the capacity")
	}
	// The share of time that the worker is busy is rho, within three deviations of so
	// many looks.
	at := l.Resources[0]
	if at.What != search.Workers || at.AtHolds == nil || math.Abs(*at.AtHolds-*l.Holds/mu) > 0.065 {
		t.Errorf("the worker is busy %v of the time at %v/s", at, *l.Holds)
	}
}

// A queue that has no bound but the load's timeout holds a bound on errors beyond
// its capacity for as long as nobody has waited that long; that it grows is said.
func TestLimitSaysWhereRequestsPileUp(t *testing.T) {
	e := readExperiment(t, mm1)
	o := limitsOf(t, e, "errors < 1%")
	o.Bisection.Start, o.Bisection.Most = 150, 150
	o.Steady.Duration = 20 * time.Second
	l, err := o.Find(e, newTestPlayer(t.Context()).play)
	if err != nil || l.Holds == nil || *l.Holds != 150 || l.Breaks != nil || !l.Growing {
		t.Errorf("got %+v, %v", l.Answer, err)
	}
}

// Each request that fails is sent four times, so that a queue that is full stays
// full beyond a quarter of the capacity, whatever filled it; without that, the
// capacity is the limit.
func TestLimitAfterATrigger(t *testing.T) {
	e := readExperiment(t, `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: storm
seed: 1
system:
  services:
    - {name: web, calls: [{to: api, timeout: 200ms, retry: {attempts: 4}}]}
    - {name: api, workers: 4, backlog: 128, work: {sleep: 20ms}}
load:
  requests: web
  phases: [{rate: 120, duration: 10s}]
faults:
  - {type: latency, target: api, delay: 300ms, duration: 1500ms}
`)
	o := limitsOf(t, e, "errors < 10%")
	o.Steady.WarmUp, o.Steady.Duration, o.Trigger = 2*time.Second, 10*time.Second, e.Faults
	l, err := o.Find(e, newTestPlayer(t.Context()).play)
	if err != nil {
		t.Fatal(err)
	}
	holdsAround(t, "without the trigger", l.Answer, 200)
	holdsAround(t, "after the trigger", l.Trigger.Answer, 50)
	if l.First == nil || l.First.What != search.Workers || l.First.Service != "api" {
		t.Errorf("first is %+v", l.First)
	}
}

// holdsAround checks that a bracket lies within a twentieth of a value.
func holdsAround(t *testing.T, when string, a search.Answer, want float64) {
	t.Helper()
	if a.Holds == nil || a.Breaks == nil {
		t.Errorf("%s: no bracket: %+v", when, a)
		return
	}
	if *a.Holds < want*0.95 || *a.Breaks > want*1.05 || *a.Breaks-*a.Holds > want*0.03 {
		t.Errorf("%s: [%v, %v], want about %v", when, *a.Holds, *a.Breaks, want)
	}
}

// An interrupt ends the search with what is known.
func TestLimitKeepsWhatIsKnown(t *testing.T) {
	e := readExperiment(t, mm1)
	o := limitsOf(t, e, "p99 < 300ms")
	o.Steady.Duration = 20 * time.Second
	why := errors.New("interrupted by a test")
	ctx, stop := context.WithCancelCause(t.Context())
	tried := 0
	o.Tried = func(bool, *search.Point) {
		if tried++; tried == 3 {
			stop(why)
		}
	}
	l, err := o.Find(e, newTestPlayer(ctx).play)
	if !errors.Is(err, why) || !l.Incomplete || len(l.Points) != 3 || l.Why != why.Error() {
		t.Errorf("got %+v, %v", l, err)
	}
}

// Two runs differ in their load alone: seeds and phases are the same.
func TestSteadyRunsHaveTheSameForm(t *testing.T) {
	e := readExperiment(t, mm1)
	s := limitsOf(t, e, "p99 < 1s").Steady
	a, b := s.Experiment(e, 10, nil), s.Experiment(e, 20, nil)
	if err := a.Validate().Err(); err != nil {
		t.Fatal(err)
	}
	if a.Seed != b.Seed || len(a.Load.Phases) != 2 || a.Load.Phases[1].Arrivals != load.Poisson || a.Load.Phases[1].Rate != 10 || b.Load.Phases[0].Rate != 20 {
		t.Errorf("got %+v and %+v", a.Load, b.Load)
	}
}
