package runner

import (
	"math"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/account"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// An agenda lists what an executor in virtual time does, and when. An entry may add
// others.
type agenda []agendum

type agendum struct {
	at   time.Duration
	tell func()
}

func (a *agenda) add(at time.Duration, tell func()) { *a = append(*a, agendum{at, tell}) }

func (a *agenda) play() {
	for len(*a) > 0 {
		next := 0
		for i, entry := range *a {
			if entry.at < (*a)[next].at {
				next = i
			}
		}
		entry := (*a)[next]
		*a = slices.Delete(*a, next, next+1)
		entry.tell()
	}
}

// tellShop tells an account, without a clock or a goroutine, what the fakes do in
// a run of shopRun that starts at a moment. It returns the result.
func tellShop(t *testing.T, e experiment.Experiment, started time.Time) *result.Result {
	t.Helper()
	a, err := account.New(e, account.Origin{Target: "local", Environment: result.ThisEnvironment()})
	if err != nil {
		t.Fatal(err)
	}
	a.Start(started)
	looking := 700 * time.Millisecond // before the load begins
	zero := started.Add(looking)
	at := func(d time.Duration) time.Time { return zero.Add(d) }
	a.Replicas(started, []account.Replica{{Service: "web", Index: 1, Ready: true, Since: started}})
	a.Begin(zero)
	a.NextPhase(zero)

	var plan agenda
	acting, log := false, a.Faults()
	for _, step := range log.Plan().Steps {
		plan.add(step.At, func() {
			active := []Injection{{ID: log.Plan().Windows[step.Window].ID, Replicas: []string{"cart/1"}, Hits: 3}}
			acting = !step.Clear
			if step.Clear {
				log.Acting(step.Window, active)
				log.ClearAsked(step.Window, at(step.At))
				log.Cleared(step.Window, at(step.At))
				return
			}
			log.Asked(step.Window, at(step.At))
			log.Applied(step.Window, at(step.At))
			log.Acting(step.Window, active)
		})
	}
	const late = 5 * time.Millisecond // of the fakes' load
	var intended, loaded time.Duration
	for i, phase := range e.Load.Phases {
		for end := intended + phase.Duration.Std(); intended < end; intended += time.Duration(float64(time.Second) / phase.Rate) {
			o := measure.Outcome{Phase: i, Intended: intended, Latency: 10 * time.Millisecond, Class: outcome.OK, Status: 200}
			loaded = intended + late + o.Latency
			plan.add(intended+late, func() { // which decides whether a fault is met
				if acting {
					o.Latency, o.Class, o.Status = 300*time.Millisecond, outcome.Timeout, 0
				}
				plan.add(o.Intended+late+o.Latency, func() { a.Outcome(o) })
			})
		}
	}
	last := time.Duration(0)
	for second := time.Second; second < loaded; second += time.Second {
		plan.add(second, func() {
			a.Second(at(second))
			a.NextPhase(at(second))
			a.Sample(shopSample(at(second), second-last))
			last = second
		})
	}
	plan.play()
	a.Second(at(loaded))
	a.EndLoad(&result.LoadReport{Started: at(late), Elapsed: loaded - late})
	a.Sample(shopSample(at(loaded), loaded-last))
	return a.Finish(at(loaded), nil)
}

// shopSample is what fakeCollector sees.
func shopSample(at time.Time, elapsed time.Duration) *measure.Sample {
	s := &measure.Sample{
		At: at, Elapsed: elapsed, Counted: elapsed, Service: "cart", Requests: 20, Rate: 20 / elapsed.Seconds(), Errors: 2, Codes: map[string]int64{"200": 18, "500": 2},
		Up: 2, Replicas: 2, InFlight: 3, CPUSeconds: measure.Amount{Value: 0.5, Known: true},
		Calls: []measure.CallSample{{Callee: "db", Calls: map[outcome.Class]int64{outcome.OK: 19, outcome.Timeout: 1}}},
	}
	s.Latency.Add(10*time.Millisecond, 18)
	s.Latency.Add(50*time.Millisecond, 2)
	// The callee is timed in wide buckets only.
	s.Calls[0].Latency.AddRange(time.Second+1, math.MaxInt64, 20)
	return s
}

// A run in real time and an account that is told the same without a clock have
// the same Result, to the last bit.
func TestToldTimesMakeTheSameResult(t *testing.T) {
	e := shopRun()
	e.Window = 2 * aSecond
	real, _, err := play(t, e, &fakeWorld{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	told := tellShop(t, e, real.Started)
	if diff := gocmp.Diff(real, told); diff != "" {
		t.Errorf("the run in real time (-) and what was told (+) differ:\n%s", diff)
	}
}
