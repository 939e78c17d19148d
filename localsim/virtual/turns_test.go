package virtual

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// sharing are two services, web and back, that work for so long on the same processor.
// Faults act on back, from 2 to 6 s.
func sharing(web, back time.Duration, rate float64, faults ...fault.Fault) experiment.Experiment {
	e := pair(faults...)
	computing := func(name string, d time.Duration) topology.Service {
		return topology.NewService(name, topology.Step{Work: &topology.Work{CPU: dist.Fixed(d)}})
	}
	e.System.Services = []topology.Service{computing("web", web), computing("back", back)}
	e.Load = load.Profile{
		Requests: []load.Request{{Service: "web", Weight: 1}, {Service: "back", Weight: 1}}, Timeout: unit.Duration(100 * ms),
		Phases: []load.Phase{{Rate: rate, Duration: 10 * second, Arrivals: load.Poisson}},
	}
	return e
}

// goodOf plays an experiment on one processor, and returns how long the good requests to
// the first service took that were sent between two moments, in rising order.
func goodOf(t *testing.T, e experiment.Experiment, from, to time.Duration) (took []time.Duration) {
	t.Helper()
	note := func(o measure.Outcome) {
		if o.Request == 0 && o.Intended >= from && o.Intended < to && o.Class == outcome.OK {
			took = append(took, o.Latency)
		}
	}
	if _, err := Run(context.Background(), e, Options{Machine: Machine{Cores: 1, RequestCPU: -1, ConnectionCPU: -1, Latency: -1}, Outcome: note}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(took)
	return took
}

// TestTurnsSurviveFaults interrupts a service in its turns and in the line. It keeps no
// thread, so the other goes on. checkBooks counts the threads of each run.
func TestTurnsSurviveFaults(t *testing.T) {
	for _, kind := range []fault.Type{fault.Kill, fault.Restart, fault.Pause} {
		for _, abandoned := range []topology.OnCancel{topology.Finish, topology.Stop} {
			for _, rate := range []float64{60, 120} { // 60 % and 120 % of the processor
				e, sound := sharing(8*ms, 12*ms, rate, fault.Fault{Type: kind}), sharing(8*ms, 12*ms, rate)
				for i := range e.System.Services {
					e.System.Services[i].OnCancel, sound.System.Services[i].OnCancel = abandoned, abandoned
				}
				got, want := goodOf(t, e, 2*time.Second, 6*time.Second), goodOf(t, sound, 2*time.Second, 6*time.Second)
				if len(got) < len(want)*9/10 {
					t.Errorf("%s, %s, %v a second: the other service answered %d requests, and %d without the fault", kind, abandoned, rate, len(got), len(want))
				}
			}
		}
	}
}

// TestShortWorkWaitsForATurn plays short work beside long work, of which it awaits a turn,
// not the end.
func TestShortWorkWaitsForATurn(t *testing.T) {
	e := sharing(ms, 100*ms, 100)
	e.Load.Requests[0].Weight, e.Load.Requests[1].Weight = 99, 1
	e.Load.Timeout = unit.Duration(10 * time.Second)
	took := goodOf(t, e, 0, time.Minute)
	if least, most := took[0], took[len(took)*99/100]; least != ms || most < 3*ms || most > 12*ms {
		t.Errorf("short work took from %v to %v (p99)", least, most)
	}
}

// TestPausedWorkGoesOn pauses a service with work on the thread and in the line. None of it
// ends during the pause, and all of it afterwards.
func TestPausedWorkGoesOn(t *testing.T) {
	for seed := range uint64(20) {
		e := sharing(8*ms, 12*ms, 85, fault.Fault{Type: fault.Pause})
		e.Seed, e.Load.Timeout, e.Load.Phases[0].Count, e.Load.Phases[0].Duration = seed, unit.Duration(time.Minute), 500, 0
		ended := 0
		note := func(o measure.Outcome) {
			if ended++; o.Class != outcome.OK {
				t.Errorf("seed %d: a request of %v ended as %s", seed, o.Intended, o.Class)
			}
			if o.Request == 1 && o.End() > 2*time.Second && o.End() < 6*time.Second {
				t.Errorf("seed %d: work ended at %v, during the pause", seed, o.End())
			}
		}
		if _, err := Run(context.Background(), e, Options{Machine: Machine{Cores: 1, RequestCPU: -1, ConnectionCPU: -1, Latency: -1}, Outcome: note}); err != nil {
			t.Fatal(err)
		}
		if ended != 500 {
			t.Errorf("seed %d: %d of 500 requests ended", seed, ended)
		}
	}
}

// TestAPauseLosesNoWork pauses work in the middle of a turn: turns begin after 2 ms.
func TestAPauseLosesNoWork(t *testing.T) {
	e := sharing(ms, 3*time.Second, 1000.0/1003, fault.Fault{Type: fault.Pause})
	e.Load.Requests, e.Load.Timeout = []load.Request{{Service: "back"}}, unit.Duration(time.Minute)
	e.Load.Phases = []load.Phase{{Rate: 1000.0 / 1003, Count: 2}}
	var ends []time.Duration
	note := func(o measure.Outcome) { ends = append(ends, o.End().Round(time.Microsecond)) }
	if _, err := Run(context.Background(), e, Options{Machine: Machine{Cores: 1, RequestCPU: 2 * ms, ConnectionCPU: -1, Latency: -1}, Outcome: note}); err != nil {
		t.Fatal(err)
	}
	if want := 10*time.Second + 2*2*ms; len(ends) != 2 || ends[1] != want {
		t.Errorf("two requests of 3 s each, and a pause of 4 s, ended at %v, want the last at %v", ends, want)
	}
}
