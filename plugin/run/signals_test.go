package run

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// troubled is an experiment with retries, hedges, fallbacks, a breaker, chains and
// a fault, all of whose requests end before it does.
func troubled() experiment.Experiment {
	sleep := func(d time.Duration) topology.Step { return topology.Step{Work: &topology.Work{Sleep: dist.Fixed(d)}} }
	call := func(to string, p policy.Call) topology.Step {
		c := topology.CallTo(to)
		c.Call.Call = p
		return c
	}
	ms := func(n int) unit.Duration { return unit.Duration(n) * unit.Duration(time.Millisecond) }
	flaky := topology.NewService("flaky", sleep(time.Millisecond))
	flaky.Endpoints[0].ErrorRate = 0.3
	mixed := topology.NewService("mixed", topology.Step{Work: &topology.Work{Sleep: dist.Delay{Uniform: &dist.Uniform{Max: ms(60)}}}})
	down := topology.NewService("down")
	down.Endpoints[0].ErrorRate = 1
	ignored := call("down", policy.Call{Breaker: &policy.Breaker{Failures: 3, Reset: unit.Duration(time.Hour)}})
	ignored.Call.OnError = topology.Ignore
	front := topology.NewService("front",
		call("flaky", policy.Call{Retry: &policy.Retry{Attempts: 3, Backoff: ms(2), Jitter: policy.NoJitter}}),
		topology.Step{Parallel: []topology.Step{
			call("mixed", policy.Call{Hedge: &policy.Hedge{After: ms(30), Max: 1}}),
			call("flaky", policy.Call{Fallback: &policy.Fallback{Kind: policy.EmptyFallback}}),
		}},
		ignored)
	return experiment.Experiment{
		Name: "troubled", Seed: 3,
		System: topology.System{Name: "troubled", Services: []topology.Service{front, flaky, mixed, down}},
		Load: load.Profile{
			Requests: []load.Request{
				{Name: "page", Service: "front", Weight: 2},
				{Name: "chain", Weight: 1, Chain: `{"designation":"mixed","probability":100,"routes":[{"designation":"flaky","probability":50,"routes":[]}]}`},
			},
			// In the second phase, what callers have broken off comes to its end.
			Phases: []load.Phase{{Rate: 60, Arrivals: load.Poisson, Duration: unit.Duration(2 * time.Second)}, {Rate: 1, Duration: unit.Duration(time.Second)}},
		},
		Faults: []fault.Fault{{
			Name: "slow", Type: fault.Latency, Target: fault.Target{Service: "mixed"}, Probability: 0.5, Start: unit.Duration(500 * time.Millisecond), Duration: unit.Duration(time.Second),
			Args: fault.Args{Delay: dist.Fixed(5 * time.Millisecond)},
		}},
	}
}

// counts are what a run and its spans both tell, by name.
type counts map[string]int64

func countsOf(r *result.Result) counts {
	c := counts{}
	add := func(n int64, format string, args ...any) {
		if n > 0 {
			c[fmt.Sprintf(format, args...)] += n
		}
	}
	for _, f := range r.Faults {
		add(f.Hits, "fault %s", f.ID)
	}
	for i := range r.Segments {
		if r.Segments[i].Kind != result.WholeRun {
			continue
		}
		for class, n := range r.Segments[i].Clients.Outcomes {
			add(n, "clients %s", class)
		}
		for _, s := range r.Segments[i].Services {
			for code, n := range s.Codes {
				add(n, "%s answers %s", s.Service, code)
			}
		}
		for _, e := range r.Segments[i].Edges {
			for class, n := range e.Attempts {
				add(n, "%s -> %s %s", e.Caller, e.Callee, class)
			}
			add(e.Fallbacks, "%s falls back for %s", e.Caller, e.Callee)
			add(e.Outcomes["breaker_open"], "%s -> %s breaker_open", e.Caller, e.Callee)
		}
	}
	return c
}

func countsOfSpans(traces []trace.Trace) counts {
	c := counts{}
	for _, t := range traces {
		for i := range t.Spans {
			s := &t.Spans[i]
			switch s.Kind {
			case span.Root:
				c[fmt.Sprintf("clients %s", s.Class)]++
			case span.Server:
				c[fmt.Sprintf("%s answers %d", s.Service, s.Status)]++
			case span.Client:
				c[fmt.Sprintf("%s -> %s %s", s.Service, s.Callee, s.Class)]++
			}
			for _, e := range s.Events {
				switch e.Name {
				case span.FaultActed:
					c["fault "+e.Subject]++
				case span.FellBack:
					c[fmt.Sprintf("%s falls back for %s", s.Service, e.Subject)]++
				case span.Opened:
					c[fmt.Sprintf("%s -> %s breaker_open", s.Service, e.Subject)]++
				case span.NotSent:
					c[fmt.Sprintf("%s -> %s %s", s.Service, e.Subject, e.Detail)]++
				}
			}
		}
	}
	return c
}

// With all traces kept, the spans add up to the counts of the result, for real
// and in virtual time.
func TestSpansAddUpToTheCounts(t *testing.T) {
	for name, play := range map[string]func(*trace.Store) (*result.Result, error){
		"virtual": func(store *trace.Store) (*result.Result, error) {
			return virtual.Run(t.Context(), troubled(), virtual.Options{Spans: store.Add, TraceSample: 1})
		},
		"local": func(store *trace.Store) (*result.Result, error) {
			l := local.Flags{Isolation: string(localsim.InProcess), TraceSample: 1}
			deployer, err := l.DeployerIn("", io.Discard)
			if err != nil {
				return nil, err
			}
			buffer := span.NewBuffer(1)
			return runner.Run(context.Background(), troubled(), runner.Deps{
				Deployer: deployer, Loader: &loadgen.Generator{Spans: buffer, TraceSample: 1}, Collector: collect.New(collect.Options{}),
				Tracer: trace.New(trace.Options{Load: buffer, Into: func() *trace.Store { return store }}),
			}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := trace.NewStore(nil)
			r, err := play(store)
			if err != nil {
				t.Fatal(err)
			}
			want, got := countsOf(r), countsOfSpans(store.Traces())
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the result (-) and the spans (+) differ:\n%s", diff)
			}
			for _, needed := range []string{"clients ok", "front -> flaky http_error", "front -> mixed cancelled", "front falls back for flaky", "front -> down breaker_open", "fault latency-1", "mixed -> flaky ok"} {
				if got[needed] == 0 {
					t.Errorf("nothing of %q: this test shows less than it means to", needed)
				}
			}
			if store.Lost() > 0 {
				t.Errorf("%d spans were lost", store.Lost())
			}
			for _, tr := range store.Traces() {
				if root := tr.Root(); root.Kind != span.Root {
					t.Errorf("trace %s has the root %+v", tr.ID, root)
				}
			}
		})
	}
}

// Runs of a series are played beside each other, and the spans of each come with
// its own events.
func TestSpansOfASeriesBelongToTheirRuns(t *testing.T) {
	var stores []*trace.Store
	options := virtual.Options{TraceSample: 1, Spans: func(spans []span.Span) { stores[len(stores)-1].Add(spans) }}
	options.Observer = func(event runner.Event) {
		switch e := event.(type) {
		case runner.Deploying:
			stores = append(stores, trace.NewStore(nil))
		case runner.RunEnded:
			if diff := cmp.Diff(countsOf(e.Result), countsOfSpans(stores[len(stores)-1].Traces())); diff != "" {
				t.Errorf("run %d: the result (-) and the spans (+) differ:\n%s", e.Index, diff)
			}
		}
	}
	if _, err := virtual.RunAll(t.Context(), troubled(), nil, []uint64{1, 2, 3, 4, 5}, options); err != nil {
		t.Fatal(err)
	}
	if len(stores) != 5 {
		t.Errorf("%d runs were told", len(stores))
	}
}
