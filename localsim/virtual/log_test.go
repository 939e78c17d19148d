package virtual

import (
	"fmt"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// withLog is web, which publishes, and worker, which consumes, each 50 times a second
// for 10 s. Faults act from second 2 to second 6.
func withLog(settings topology.Store, faults ...fault.Fault) experiment.Experiment {
	e := pair(faults...)
	service := func(name string, op topology.Operation) topology.Service {
		call := topology.NewCall("back")
		call.Timeout, call.Query = unit.Duration(time.Second), []topology.Operation{op}
		return topology.NewService(name, topology.Step{Call: &call})
	}
	back := topology.NewService("back")
	settings.Pool.Size = 100 // consumers that wait for a message have places
	back.Kind, back.Store = topology.Kafka, &settings
	e.System.Services = []topology.Service{service("web", topology.OpPublish), service("worker", topology.OpConsume), back}
	e.System.Entry = []string{"web", "worker"}
	e.Load = load.Profile{Requests: []load.Request{{Service: "web"}, {Service: "worker"}}, Phases: []load.Phase{{Rate: 100, Duration: 10 * second}}}
	return e
}

// playLog plays it, and returns the store as it is at the end.
func playLog(t *testing.T, e experiment.Experiment) (*result.Result, *store.Store) {
	t.Helper()
	e.Load = e.Load.WithDefaults()
	r, err := newRun(e, &Options{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return res, r.replicas[r.world.services[r.world.index("back")].replicas[0]].store.Store
}

// outcomes are those of the calls of a service during the faults.
func outcomes(r *result.Result, from string) (calls int64, by map[outcome.Class]int64) {
	for _, s := range r.Segments {
		if s.Kind != result.FaultPart || s.Name != experiment.During {
			continue
		}
		for _, e := range s.Edges {
			if e.Caller == from {
				return e.Calls, e.Outcomes
			}
		}
	}
	return 0, nil
}

// Consumers get each message once, and few messages wait.
func TestMessagesAreConsumed(t *testing.T) {
	r, s := playLog(t, withLog(topology.Store{Partitions: 3}))
	c := s.Counts()
	if c.Published < 450 || c.Consumed+s.Lag("worker", 0).Messages != c.Published || s.Lag("worker", 0).Messages > 50 {
		t.Errorf("%+v, and %d wait", c, s.Lag("worker", 0).Messages)
	}
	if r.Segments[0].Clients.Errors > 0 {
		t.Errorf("%d errors", r.Segments[0].Clients.Errors)
	}
}

// TestLogFaultsActAsDocumented plays each type of fault of a log.
func TestLogFaultsActAsDocumented(t *testing.T) {
	for _, tt := range []struct {
		fault    fault.Fault
		web      outcome.Class // of nearly all calls during the fault
		worker   outcome.Class
		consumes bool
	}{
		{fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(2 * time.Second), Operation: "publish"}}, outcome.Timeout, outcome.OK, false},
		{fault.Fault{Type: fault.ConnectionsExhausted}, outcome.ConnectionError, outcome.ConnectionError, false},
		{fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: unit.Duration(time.Microsecond)}}, outcome.StoreError, outcome.OK, false},
		{fault.Fault{Type: fault.AuthRevoked}, outcome.StoreError, outcome.StoreError, false},
		{fault.Fault{Type: fault.DiskFull}, outcome.StoreError, outcome.OK, false},
		{fault.Fault{Type: fault.ConsumerLag, Args: fault.Args{Delay: dist.Fixed(time.Minute)}}, outcome.OK, outcome.OK, false},
		{fault.Fault{Type: fault.PoisonMessage}, outcome.OK, outcome.StoreError, false},
	} {
		t.Run(string(tt.fault.Type), func(t *testing.T) {
			r, s := playLog(t, withLog(topology.Store{}, tt.fault))
			for from, want := range map[string]outcome.Class{"web": tt.web, "worker": tt.worker} {
				calls, by := outcomes(r, from)
				if calls < 140 || float64(by[want]) < 0.9*float64(calls) {
					t.Errorf("%s: %d calls, %v, want %s", from, calls, by, want)
				}
			}
			if got := r.Faults[0].Hits; got == 0 {
				t.Error("the fault hit nothing")
			}
			c := s.Counts()
			if c.Consumed+s.Lag("worker", 0).Messages != c.Published {
				t.Errorf("%+v, and %d wait", c, s.Lag("worker", 0).Messages)
			}
		})
	}
}

// A consumer that ends leaves its partitions to the others.
func TestConsumersThatEndAreReplaced(t *testing.T) {
	kill := fault.Fault{Type: fault.Kill, Target: fault.Target{Service: "worker", Replica: 1}}
	e := withLog(topology.Store{Partitions: 2}, kill)
	e.System.Services[1].Replicas = 2
	_, s := playLog(t, e)
	if c := s.Counts(); c.Published < 450 || s.Lag("worker", 0).Messages > c.Published/4 {
		t.Errorf("%+v, and %d wait", c, s.Lag("worker", 0).Messages)
	}
}

// All operations of a caller go over one connection.
func TestCallersOfLogsHaveOneConnection(t *testing.T) {
	_, s := playLog(t, withLog(topology.Store{WriteLatency: dist.Fixed(200 * ms)}))
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections of two callers", n)
	}
}

// The same seed gives the same run.
func TestLogsRepeat(t *testing.T) {
	var seen string
	for range 2 {
		r, s := playLog(t, withLog(topology.Store{Partitions: 4, Latency: dist.Delay{Exponential: &dist.Exponential{Mean: unit.Duration(ms)}}},
			fault.Fault{Type: fault.PoisonMessage, Probability: 0.1}))
		now := fmt.Sprintf("%+v %v %+v", s.Counts(), s.Lag("worker", 0).Messages, r.Segments[0].Clients.Latency)
		if seen != "" && now != seen {
			t.Errorf("%s\n%s", seen, now)
		}
		seen = now
	}
}

// The result tells how far consumers were behind, as checks ask it.
func TestLagIsInTheResult(t *testing.T) {
	e := withLog(topology.Store{}, fault.Fault{Type: fault.ConsumerLag, Args: fault.Args{Delay: dist.Fixed(time.Minute)}})
	e.Checks = []experiment.Check{
		{Expr: "lag > 150", Service: "back", Phase: experiment.During}, {Expr: "lag < 250", Service: "back", Phase: experiment.During},
		{Expr: "lag > 2s", Service: "back", Phase: experiment.During}, {Expr: "lag < 30", Service: "back", Phase: experiment.Before},
	}
	r, _ := playLog(t, e)
	for _, c := range r.Checks {
		if !c.Pass {
			t.Errorf("%s of %s: %s", c.Expr, c.Phase, c.Why)
		}
	}
	if len(r.Checks) != len(e.Checks) {
		t.Errorf("%d checks were judged", len(r.Checks))
	}
}
