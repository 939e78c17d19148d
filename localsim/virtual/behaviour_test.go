package virtual

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const (
	ms     = time.Millisecond
	second = unit.Duration(time.Second)
)

func sleeps(d time.Duration) topology.Step {
	return topology.Step{Work: &topology.Work{Sleep: dist.Fixed(d)}}
}

// pair is web, which calls back, which sleeps for 10 ms, under 50 requests a
// second for 10 s. Faults act from second 2 to second 6.
func pair(faults ...fault.Fault) experiment.Experiment {
	call := topology.NewCall("back")
	call.Timeout = unit.Duration(time.Second)
	for i := range faults {
		faults[i].Start, faults[i].Duration = 2*second, 4*second
		if faults[i].Probability == 0 {
			faults[i].Probability = 1
		}
		if faults[i].Target.Service == "" {
			faults[i].Target.Service = "back"
		}
	}
	return experiment.Experiment{
		Name: "pair", Seed: 3,
		System: topology.System{Name: "pair", Services: []topology.Service{topology.NewService("web", topology.Step{Call: &call}), topology.NewService("back", sleeps(10*ms))}},
		Load:   load.Profile{Phases: []load.Phase{{Rate: 50, Duration: 10 * second}}},
		Faults: faults,
	}
}

func run(t *testing.T, e experiment.Experiment) *result.Result {
	t.Helper()
	r, err := Run(context.Background(), e, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// part is what the clients saw before, during or after the faults.
func part(r *result.Result, name string) *result.ClientStats {
	for i := range r.Segments {
		if r.Segments[i].Kind == result.FaultPart && r.Segments[i].Name == name {
			return &r.Segments[i].Clients
		}
	}
	return &result.ClientStats{}
}

// edge is what web saw of back during the faults.
func edge(r *result.Result, name string) result.EdgeStats {
	for i := range r.Segments {
		if r.Segments[i].Kind == result.FaultPart && r.Segments[i].Name == name && len(r.Segments[i].Edges) > 0 {
			return r.Segments[i].Edges[0]
		}
	}
	return result.EdgeStats{}
}

// TestFaultsActAsDocumented plays each type of fault: its part of the run shows
// it, and the parts before and after do not.
func TestFaultsActAsDocumented(t *testing.T) {
	errors := func(class outcome.Class) func(*result.Result) string {
		return func(r *result.Result) string {
			if e := edge(r, experiment.During); e.Outcomes[class] < e.Calls*9/10 {
				return fmt.Sprintf("outcomes of calls %v", e.Outcomes)
			}
			return ""
		}
	}
	median := func(low, high time.Duration) func(*result.Result) string {
		return func(r *result.Result) string {
			if p50 := part(r, experiment.During).Latency.P50; p50 < low.Seconds() || p50 > high.Seconds() {
				return fmt.Sprintf("p50 of clients %v s", p50)
			}
			return ""
		}
	}
	for _, tt := range []struct {
		fault fault.Fault
		check func(*result.Result) string
	}{
		{fault.Fault{Type: fault.Latency, Args: fault.Args{Delay: dist.Fixed(100 * ms)}}, median(110*ms, 112*ms)},
		{fault.Fault{Type: fault.Error}, errors(outcome.HTTPError)},
		{fault.Fault{Type: fault.Abort}, errors(outcome.ConnectionError)},
		{fault.Fault{Type: fault.Panic}, errors(outcome.ConnectionError)},
		{fault.Fault{Type: fault.Hang}, errors(outcome.Timeout)},
		{fault.Fault{Type: fault.Corrupt}, errors(outcome.Malformed)},
		{fault.Fault{Type: fault.Unreachable}, errors(outcome.ConnectionError)},
		{fault.Fault{Type: fault.CPU, Args: fault.Args{Hold: unit.Duration(20 * ms)}}, median(30*ms, 32*ms)},
		{fault.Fault{Type: fault.CPU, Args: fault.Args{Hold: unit.Duration(20 * ms), Cores: 2}}, median(30*ms, 32*ms)},
		{fault.Fault{Type: fault.IO, Args: fault.Args{Size: 1 << 20}}, median(18*ms, 25*ms)},
		{fault.Fault{Type: fault.MemoryLeak, Args: fault.Args{Size: 1 << 20, Hold: second}}, func(r *result.Result) string {
			if held := r.Segments[0].Services[1].MemoryBytes; held < 40<<20 || held > 52<<20 {
				return fmt.Sprintf("memory %d", held)
			}
			return ""
		}},
		{fault.Fault{Type: fault.Pause}, errors(outcome.Timeout)},
		{fault.Fault{Type: fault.NetDelay, Args: fault.Args{Delay: dist.Fixed(50 * ms)}}, median(60*ms, 62*ms)},
		{fault.Fault{Type: fault.NetDelay, Target: fault.Target{Direction: fault.Both}, Args: fault.Args{Delay: dist.Fixed(50 * ms)}}, median(110*ms, 112*ms)},
		{fault.Fault{Type: fault.NetLoss, Args: fault.Args{Percent: 60}}, median(200*ms, 220*ms)},
		{fault.Fault{Type: fault.NetCorrupt, Args: fault.Args{Percent: 60}}, median(200*ms, 220*ms)},
		{fault.Fault{Type: fault.NetReorder, Args: fault.Args{Percent: 10, Delay: dist.Fixed(30 * ms)}}, median(40*ms, 42*ms)},
		{fault.Fault{Type: fault.NetRate, Args: fault.Args{Rate: 20_000}}, median(25*ms, 30*ms)},
		{fault.Fault{Type: fault.NetPartition}, errors(outcome.Timeout)},
		{fault.Fault{Type: fault.Refuse}, errors(outcome.ConnectionError)},
		{fault.Fault{Type: fault.StopReading}, errors(outcome.Timeout)},
		{fault.Fault{Type: fault.StopAnswering}, errors(outcome.Timeout)},
		{fault.Fault{Type: fault.Close}, errors(outcome.ConnectionError)},
		{fault.Fault{Type: fault.CloseOnData}, errors(outcome.ConnectionError)},
		{fault.Fault{Type: fault.Reset}, errors(outcome.ConnectionError)},
		{fault.Fault{Type: fault.Reset, Args: fault.Args{Delay: dist.Fixed(5 * ms)}}, errors(outcome.ConnectionError)},
		{fault.Fault{Type: fault.CorruptData}, errors(outcome.Malformed)},
	} {
		r := run(t, pair(tt.fault))
		name := fmt.Sprintf("%s %+v", tt.fault.Type, tt.fault.Args)
		if text := tt.check(r); text != "" {
			t.Errorf("%s: %s", name, text)
		}
		for _, sound := range []string{experiment.Before, experiment.After} {
			if s := part(r, sound); s.Requests < 90 || s.Errors > s.Requests/20 {
				t.Errorf("%s: %s: %d errors of %d", name, sound, s.Errors, s.Requests)
			} else if s.Latency.P50 > 0.012 {
				t.Errorf("%s: %s: p50 %v", name, sound, s.Latency.P50)
			}
		}
		if f := r.Faults[0]; f.From != 2 || f.To != 6 || f.Hits == 0 {
			t.Errorf("%s: record %+v", name, f)
		}
	}
}

func TestKillAndRestart(t *testing.T) {
	for _, typ := range []fault.Type{fault.Kill, fault.Restart} {
		r := run(t, pair(fault.Fault{Type: typ}))
		if len(r.Recoveries) != 1 {
			t.Fatalf("%s: %d recoveries", typ, len(r.Recoveries))
		}
		got := r.Recoveries[0]
		most := 0.2 // back-off and start
		if typ == fault.Restart {
			most = 0.1
		}
		if got.Fault == "" || got.Took <= 0.05 || got.Took > most || got.Detection > 0.1 {
			t.Errorf("%s: %+v", typ, got)
		}
		during := edge(r, experiment.During)
		if n := during.Outcomes[outcome.ConnectionError]; n == 0 || n > 15 {
			t.Errorf("%s: %v", typ, during.Outcomes)
		}
	}
}

func TestMemoryLimitKills(t *testing.T) {
	e := pair(fault.Fault{Type: fault.MemoryStress, Args: fault.Args{Size: 200 << 20}})
	e.System.Services[1].Resources = &topology.Resources{MemoryLimit: 100 << 20}
	r := run(t, e)
	if len(r.Recoveries) != 1 || r.Recoveries[0].Service != "back" {
		t.Errorf("recoveries %+v", r.Recoveries)
	}
}

func TestCPUStressTakesCapacityAway(t *testing.T) {
	e := pair(fault.Fault{Type: fault.CPUStress, Args: fault.Args{Cores: 1}})
	e.System.Services[1] = topology.NewService("back", topology.Step{Work: &topology.Work{CPU: dist.Fixed(10 * ms)}})
	e.System.Services[1].Resources = &topology.Resources{CPULimit: 1}
	r := run(t, e)
	// 50 requests of 10 ms need half of the one processor, and beside the other job that
	// is what each gets.
	if p50 := part(r, experiment.During).Latency.P50; p50 < 0.0199 || p50 > 0.0208 {
		t.Errorf("p50 %v", p50)
	}
}

// TestQueueTheory holds a service with workers, executed by the machines of
// requests, to Erlang's formula for M/M/c.
func TestQueueTheory(t *testing.T) {
	const workers, rate, mean = 4, 280.0, 10 * ms
	a := rate * mean.Seconds()
	b := 1.0
	for i := 1; i <= workers; i++ {
		b = a * b / (float64(i) + a*b)
	}
	rho := a / workers
	want := mean.Seconds() + b/(1-rho+rho*b)/(workers/mean.Seconds()-rate)
	var sum, squares float64
	const seeds = 20
	for seed := range uint64(seeds) {
		s := topology.NewService("s", topology.Step{Work: &topology.Work{Sleep: dist.Delay{Exponential: &dist.Exponential{Mean: unit.Duration(mean)}}}})
		s.Workers, s.Shed = workers, &topology.Shed{Queue: 100000}
		e := experiment.Experiment{Name: "queue", Seed: seed, System: topology.System{Name: "queue", Services: []topology.Service{s}},
			Load: load.Profile{Phases: []load.Phase{{Rate: rate, Arrivals: load.Poisson, Duration: 60 * second}}}}
		r, err := Run(context.Background(), e, Options{Machine: Machine{Latency: 1, RequestCPU: 1, ConnectionCPU: 1, SleepLate: 1}})
		if err != nil {
			t.Fatal(err)
		}
		got := r.Segments[0].Clients.Latency.Mean
		sum, squares = sum+got, squares+got*got
	}
	average := sum / seeds
	half := 2.093 * math.Sqrt((squares/seeds-average*average)/(seeds-1))
	if math.Abs(average-want) > half+0.00005 {
		t.Errorf("mean response %.5f ± %.5f s, want %.5f", average, half, want)
	}
}

func TestFaultsWithoutMeaningAreRefused(t *testing.T) {
	for _, f := range []fault.Fault{
		{Type: fault.NetDuplicate, Args: fault.Args{Percent: 10}},
		{Type: fault.TimeLimit, Args: fault.Args{Delay: dist.Fixed(ms)}},
		{Type: fault.ByteLimit, Args: fault.Args{Size: 100}},
		{Type: fault.Slice, Args: fault.Args{Size: 100}},
		{Type: fault.Concatenate, Args: fault.Args{Size: 100}},
		{Type: fault.Substitute, Args: fault.Args{Pattern: "a"}},
		{Type: fault.MemoryStress, Args: fault.Args{Size: 100}},
		{Type: fault.NetLoss, Args: fault.Args{Percent: 10, Correlation: 0.5}},
	} {
		r, err := Run(context.Background(), pair(f), Options{})
		if err == nil || r != nil || !strings.Contains(err.Error(), string(f.Type)) {
			t.Errorf("%s: %v", f.Type, err)
		}
	}
}

func TestLimitsNameServiceAndEvent(t *testing.T) {
	e := pair()
	_, err := Run(context.Background(), e, Options{Limits: Limits{Events: 1000}})
	if err == nil || !strings.Contains(err.Error(), "1000 events") || !strings.Contains(err.Error(), "service") {
		t.Errorf("events: %v", err)
	}
	e.System.Services[1].Endpoints[0].Steps = []topology.Step{sleeps(time.Hour)}
	e.System.Services[0].Endpoints[0].Timeout = 0
	call := *e.System.Services[0].Endpoints[0].Steps[0].Call
	call.Timeout = 0
	e.System.Services[0].Endpoints[0].Steps[0].Call = &call
	if _, err = Run(context.Background(), e, Options{Limits: Limits{Requests: 200}}); err == nil || !strings.Contains(err.Error(), "200 requests") || !strings.Contains(err.Error(), `service "`) {
		t.Errorf("requests: %v", err)
	}
	// A user who asks again at once, and gets an answer in no time.
	e = pair()
	e.System.Services = e.System.Services[:1]
	e.System.Services[0].Endpoints[0].Steps = nil
	e.Load = load.Profile{Phases: []load.Phase{{Users: 1, Duration: second}}}
	_, err = Run(context.Background(), e, Options{Machine: Machine{Latency: -1, RequestCPU: -1, ConnectionCPU: -1}, Limits: Limits{Instant: 10000}})
	if err == nil || !strings.Contains(err.Error(), "without any time passing") {
		t.Errorf("zero time: %v", err)
	}
}

func TestInterruptGivesTheResultSoFar(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	e := pair()
	e.Load.Phases[0].Duration = 100000 * second
	why := errors.New("enough")
	r, err := Run(ctx, e, Options{Progress: func(Progress) { cancel(why) }})
	if !errors.Is(err, why) || r == nil || !r.Incomplete || r.Passed {
		t.Fatalf("result %+v, error %v", r, err)
	}
	if s := r.Segments[0].Clients; s.Requests == 0 || s.Errors > 0 {
		t.Errorf("clients %+v", s)
	}
}

func TestAbortOnEndsTheRun(t *testing.T) {
	e := pair(fault.Fault{Type: fault.Error})
	e.AbortOn, e.AbortWindow, e.Tail = []experiment.Check{{Expr: "errors > 50%"}}, second, 100*second
	r := run(t, e)
	if r.Aborted == nil || r.Aborted.At < 3 || r.Aborted.At > 4 || r.Passed || r.Tail != nil || r.Load.Elapsed.Seconds() > 4.1 {
		t.Errorf("aborted %+v, tail %v, load %v", r.Aborted, r.Tail, r.Load.Elapsed)
	}
}

// TestKilledWhilePaused ends a process that nothing could reach: what waited for
// it sees the connection end, and its next start serves again.
func TestKilledWhilePaused(t *testing.T) {
	for _, workers := range []int{0, 2} {
		e := pair(fault.Fault{Type: fault.Pause}, fault.Fault{Type: fault.Kill})
		e.System.Services[1].Workers = workers
		e.Faults[0].Duration = second
		e.Faults[1].Start, e.Faults[1].Duration = 2*second+unit.Duration(500*ms), second
		r := run(t, e)
		all := r.Segments[0].Edges[0]
		if n := all.Outcomes[outcome.ConnectionError]; n < 20 || all.Outcomes[outcome.Timeout] > 60 {
			t.Errorf("%d workers: %v", workers, all.Outcomes)
		}
		if after := part(r, experiment.After); after.Errors > 0 || after.Requests < 300 {
			t.Errorf("%d workers: %+v after", workers, after)
		}
	}
}

// TestClosedLoops counts what users send: on a beat, with time to think, in
// growing numbers, and up to a count.
func TestClosedLoops(t *testing.T) {
	three := 3
	for _, tt := range []struct {
		name  string
		phase load.Phase
		low   int64
		high  int64
	}{
		{"a beat", load.Phase{Users: 2, Every: unit.Duration(100 * ms), Duration: 2 * second}, 40, 40},
		{"a beat shorter than the answer", load.Phase{Users: 1, Every: unit.Duration(8 * ms), Duration: 2 * second}, 124, 125},
		{"thinking", load.Phase{Users: 2, Think: dist.Fixed(90 * ms), Duration: 2 * second}, 38, 40},
		{"no pause", load.Phase{Users: 1, Duration: 2 * second}, 180, 200},
		{"growing", load.Phase{Users: 1, UsersTo: &three, Every: unit.Duration(100 * ms), Duration: 2 * second}, 38, 42},
		{"a count", load.Phase{Users: 3, Count: 50}, 50, 50},
		{"dealt requests", load.Phase{Users: 4, Each: true, Count: 40}, 40, 40},
	} {
		e := pair()
		e.System.Services[0] = topology.NewService("web", sleeps(10*ms))
		e.System.Services[0].Endpoints = append(e.System.Services[0].Endpoints, topology.NewEndpoint("/other", sleeps(10*ms)))
		e.Load = load.Profile{Requests: []load.Request{{Service: "web", Weight: 1}, {Service: "web", Endpoint: "/other", Weight: 1}}, Phases: []load.Phase{tt.phase}}
		r := run(t, e)
		if n := r.Load.Total.Arrivals; n < tt.low || n > tt.high || r.Load.Total.Outcomes[outcome.OK] != n {
			t.Errorf("%s: %d requests, want %d to %d: %v", tt.name, n, tt.low, tt.high, r.Load.Total.Outcomes)
		}
		if a, b := r.Load.Requests[0].Stats.Arrivals, r.Load.Requests[1].Stats.Arrivals; tt.phase.Each && (a < 18 || b < 18) {
			t.Errorf("%s: %d and %d", tt.name, a, b)
		}
	}
}

func TestDroppedAndRefusedLoads(t *testing.T) {
	e := pair()
	e.System.Services[1] = topology.NewService("back", sleeps(500*ms))
	e.Load.MaxInFlight = 10
	r := run(t, e)
	// 10 at once of half a second each are 20 a second; 30 of 50 are dropped.
	if s := r.Load.Total; s.Dropped < 290 || s.Dropped > 310 || s.Dropped+s.Sent != s.Arrivals {
		t.Errorf("load %+v", s)
	}
	for text, profile := range map[string]load.Profile{
		"outside the system":  {Requests: []load.Request{{URL: "http://example.com/", Weight: 1}}, Phases: e.Load.Phases},
		"not a ready service": {Requests: []load.Request{{Chain: `{"designation": "nobody", "probability": 100, "routes": []}`, Weight: 1}}, Phases: e.Load.Phases},
	} {
		e := pair()
		e.Load = profile
		if r, err := Run(context.Background(), e, Options{}); r != nil || err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestFailuresAreExplained wants each kind of failure with its reason, and the hop
// of a chain that did not end well.
func TestFailuresAreExplained(t *testing.T) {
	reasons := func(e experiment.Experiment) string {
		var list []string
		for _, f := range run(t, e).Load.Failures {
			if f.Example.ID == "" || f.Example.Request == "" {
				t.Errorf("no example of %+v", f)
			}
			list = append(list, fmt.Sprintf("%s %s %s %d", f.Class, f.Reason, f.Hop, f.Count))
		}
		return strings.Join(list, ", ")
	}
	e := pair(fault.Fault{Type: fault.Refuse})
	if got := reasons(e); got != "http_error status_502  200" {
		t.Errorf("got %q", got)
	}
	e = pair(fault.Fault{Type: fault.Error, Args: fault.Args{Status: 503}})
	e.Load.Requests = []load.Request{{Chain: `{"designation": "web", "probability": 100, "routes": [{"designation": "web", "probability": 100, "routes": [{"designation": "back", "probability": 100, "routes": []}]}]}`, Weight: 1}}
	if got := reasons(e); got != "failed_hop failed_hop web -> web -> back 200" {
		t.Errorf("got %q", got)
	}
	e = pair(fault.Fault{Type: fault.Hang, Target: fault.Target{Service: "web"}})
	e.Load.Timeout = second
	if got := reasons(e); !strings.HasPrefix(got, "timeout answer_timeout  15") {
		t.Errorf("got %q", got)
	}
}

// TestPolicies lets hedges, retries and fallbacks do what the file says.
func TestPolicies(t *testing.T) {
	e := pair(fault.Fault{Type: fault.Latency, Probability: 0.3, Args: fault.Args{Delay: dist.Fixed(300 * ms)}})
	call := *e.System.Services[0].Endpoints[0].Steps[0].Call
	call.Hedge = &policy.Hedge{After: unit.Duration(50 * ms), Max: 2}
	e.System.Services[0].Endpoints[0].Steps[0].Call = &call
	r := run(t, e)
	during := edge(r, experiment.During)
	if p := part(r, experiment.During).Latency.P90; p > 0.12 {
		t.Errorf("hedged p90 %v", p)
	}
	if n := during.Attempts[outcome.OK]; n != during.Calls || during.Attempts[outcome.Cancelled] == 0 {
		t.Errorf("attempts %v of %d calls", during.Attempts, during.Calls)
	}
	call.Hedge, call.Timeout, call.Retry = nil, unit.Duration(100*ms), &policy.Retry{Attempts: 3, Backoff: unit.Duration(10 * ms)}
	call.Fallback = &policy.Fallback{Kind: policy.LastGood}
	r = run(t, e)
	if part(r, experiment.During).Errors > 0 || edge(r, experiment.During).Fallbacks == 0 {
		t.Errorf("with retries and a fallback: %+v", edge(r, experiment.During))
	}
}

// TestBusyServicesAskToWait sheds requests of a service that can do one at a time. Its
// answers ask to come again after a second: a call that is then good took as long.
func TestBusyServicesAskToWait(t *testing.T) {
	for _, heed := range []bool{false, true} {
		e := pair(fault.Fault{Type: fault.Latency, Args: fault.Args{Delay: dist.Fixed(ms)}})
		e.Load.Phases[0].Rate = 4
		e.System.Services[1] = topology.NewService("back", sleeps(300*ms))
		e.System.Services[1].Workers, e.System.Services[1].Shed = 1, &topology.Shed{Queue: 1}
		e.System.Services[0].Endpoints[0].Steps[0].Call.Retry = &policy.Retry{Attempts: 3, Backoff: unit.Duration(10 * ms), On: []policy.Trigger{"503"}, RetryAfter: heed}
		r := run(t, e)
		if n := edge(r, experiment.During).Attempts[outcome.HTTPError]; n == 0 {
			t.Error("nothing was shed")
		}
		if p := part(r, experiment.During).Latency.P99; heed != (p >= 1) {
			t.Errorf("Retry-After is heeded: %v, and p99 is %v", heed, p)
		}
	}
}

// TestSlowCallsOpenBreakers has a callee that answers well and late.
func TestSlowCallsOpenBreakers(t *testing.T) {
	e := pair(fault.Fault{Type: fault.Latency, Args: fault.Args{Delay: dist.Fixed(300 * ms)}})
	e.System.Services[0].Endpoints[0].Steps[0].Call.Breaker = &policy.Breaker{FailureRate: 0.5, Window: 100, MinCalls: 10, SlowAfter: unit.Duration(200 * ms), Reset: 100 * second}
	r := run(t, e)
	if before := edge(r, experiment.Before); before.Outcomes[outcome.BreakerOpen] > 0 {
		t.Errorf("before the fault: %v", before.Outcomes)
	}
	// 100 calls of the two seconds before were fast, so every second one since was slow.
	if during := edge(r, experiment.During); during.Outcomes[outcome.OK] == 0 || during.Outcomes[outcome.BreakerOpen] == 0 {
		t.Errorf("during the fault: %v", during.Outcomes)
	}
}

// TestStoppingServiceBreaksOff has a service stop the work of clients that left.
func TestStoppingServiceBreaksOff(t *testing.T) {
	for _, stop := range []bool{false, true} {
		e := pair()
		e.System.Services[1] = topology.NewService("back", sleeps(2*time.Second))
		e.System.Services[1].Workers = 20
		e.System.Services[1].Shed = &topology.Shed{Queue: 1000}
		if stop {
			e.System.Services[1].OnCancel = topology.Stop
		}
		call := *e.System.Services[0].Endpoints[0].Steps[0].Call
		call.Timeout = unit.Duration(100 * ms)
		e.System.Services[0].Endpoints[0].Steps[0].Call = &call
		e.Tail = 200 * second
		r := run(t, e)
		if tail := r.Tail; !tail.Idle || stop != (tail.Length < 5) {
			t.Errorf("stop %v: tail %+v", stop, tail)
		}
	}
}
