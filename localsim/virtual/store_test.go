package virtual

import (
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

// withStore is web, which reads twice and writes once from a data store that takes
// 1 ms for each, under 50 requests a second for 10 s. Faults act from second 2 to
// second 6.
func withStore(kind topology.Kind, settings topology.Store, faults ...fault.Fault) experiment.Experiment {
	e := pair(faults...)
	call := topology.NewCall("back")
	call.Timeout, call.Reads, call.Writes = unit.Duration(time.Second), 2, 1
	settings.Latency = dist.Fixed(ms)
	back := topology.NewService("back")
	back.Kind, back.Store = kind, &settings
	e.System.Services = []topology.Service{topology.NewService("web", topology.Step{Call: &call}), back}
	return e
}

// TestStoreFaultsActAsDocumented plays each type of fault in a data store: its part
// of the run shows it, and the parts before and after do not.
func TestStoreFaultsActAsDocumented(t *testing.T) {
	ends := func(class outcome.Class, share float64) func(*result.Result) string {
		return func(r *result.Result) string {
			if e := edge(r, experiment.During); math.Abs(float64(e.Outcomes[class])/float64(e.Calls)-share) > 0.07 {
				return fmt.Sprintf("outcomes of %d calls %v, want %v of %s", e.Calls, e.Outcomes, share, class)
			}
			return ""
		}
	}
	for _, tt := range []struct {
		kind  topology.Kind
		fault fault.Fault
		check func(*result.Result) string
	}{
		{topology.Redis, fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(100 * ms), Operation: "write"}}, func(r *result.Result) string {
			if p50 := part(r, experiment.During).Latency.P50; p50 < 0.103 || p50 > 0.105 {
				return fmt.Sprintf("p50 %v s", p50)
			}
			return ""
		}},
		{topology.Redis, fault.Fault{Type: fault.SlowQuery, Probability: 0.2, Args: fault.Args{Delay: dist.Fixed(2 * time.Second), Operation: "write"}}, ends(outcome.Timeout, 0.2)},
		{topology.Redis, fault.Fault{Type: fault.ConnectionsExhausted}, ends(outcome.StoreError, 1)},
		{topology.MongoDB, fault.Fault{Type: fault.ConnectionsExhausted}, ends(outcome.Timeout, 1)},
		{topology.MySQL, fault.Fault{Type: fault.LockWait}, ends(outcome.Timeout, 1)},
		{topology.Postgres, fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: second}}, ends(outcome.ConnectionError, 0.25)},
		{topology.Postgres, fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: second}}, ends(outcome.StoreError, 0.75)},
		{topology.MongoDB, fault.Fault{Type: fault.ReplicaLag, Args: fault.Args{Delay: dist.Fixed(time.Second)}}, ends(outcome.OK, 1)},
		{topology.Redis, fault.Fault{Type: fault.CacheFlush}, ends(outcome.OK, 1)},
		{topology.Redis, fault.Fault{Type: fault.AuthRevoked}, ends(outcome.StoreError, 1)},
		{topology.MongoDB, fault.Fault{Type: fault.DiskFull}, ends(outcome.StoreError, 1)},
		{topology.Redis, fault.Fault{Type: fault.NetDelay, Args: fault.Args{Delay: dist.Fixed(10 * ms)}}, func(r *result.Result) string {
			if p50 := part(r, experiment.During).Latency.P50; p50 < 0.033 || p50 > 0.035 { // each answer is late
				return fmt.Sprintf("p50 %v s", p50)
			}
			return ""
		}},
		{topology.Redis, fault.Fault{Type: fault.Refuse}, ends(outcome.ConnectionError, 1)},
		{topology.Redis, fault.Fault{Type: fault.CorruptData}, ends(outcome.Malformed, 1)},
		{topology.Redis, fault.Fault{Type: fault.Pause}, ends(outcome.Timeout, 1)},
		{topology.Redis, fault.Fault{Type: fault.Unreachable}, ends(outcome.ConnectionError, 1)},
	} {
		t.Run(string(tt.kind)+" "+string(tt.fault.Type), func(t *testing.T) {
			r := run(t, withStore(tt.kind, topology.Store{}, tt.fault))
			if wrong := tt.check(r); wrong != "" {
				t.Error(wrong)
			}
			for _, name := range []string{experiment.Before, experiment.After} {
				e := edge(r, name)
				share := 0.99
				if name == experiment.After {
					share = 0.94 // calls that began during the fault end after it
				}
				if name == experiment.After && tt.fault.Type == fault.Pause {
					continue // what waited for the process ends then
				}
				if e.Calls < 99 || float64(e.Outcomes[outcome.OK]) < share*float64(e.Calls) || e.Latency.P50 > 0.004 {
					t.Errorf("%s: %d calls, %v, p50 %v s", name, e.Calls, e.Outcomes, e.Latency.P50)
				}
			}
			if got := r.Faults[0].Hits; got == 0 {
				t.Error("the fault hit nothing")
			}
		})
	}
}

// TestPoolBoundsOperations holds a pool of one connection against its arithmetic: an
// operation takes 1 ms and two ways of the network, so no more than one passes in
// that time, and others wait until their patience is over.
func TestPoolBoundsOperations(t *testing.T) {
	e := withStore(topology.Redis, topology.Store{Pool: topology.Pool{Size: 1, Wait: unit.Duration(20 * ms)}})
	e.System.Services[0].Endpoints[0].Steps[0].Call.Reads = 9
	e.Load.Phases[0].Rate = 200
	o := Options{Machine: Machine{Latency: -1, RequestCPU: -1, ConnectionCPU: -1}}
	r, err := Run(t.Context(), e, o)
	if err != nil {
		t.Fatal(err)
	}
	var db result.ServiceStats
	whole := r.Segments[0]
	for _, s := range whole.Services {
		if s.Service == "back" {
			db = s
		}
	}
	// 1000 operations a second are the most; 2000 are asked for.
	if rate := db.Rate; rate < 980 || rate > 1001 {
		t.Errorf("the store answers %v operations a second", rate)
	}
	calls := whole.Edges[0]
	if calls.Outcomes[outcome.Rejected] < calls.Calls/3 || calls.Outcomes[outcome.OK] == 0 {
		t.Errorf("outcomes %v", calls.Outcomes)
	}
}

// TestStaleReadsAndMissesAreCounted looks into the store after a run.
func TestStaleReadsAndMissesAreCounted(t *testing.T) {
	for _, tt := range []struct {
		fault fault.Fault
		count func(r *running) int64
	}{
		{fault.Fault{Type: fault.ReplicaLag, Args: fault.Args{Delay: dist.Fixed(3 * time.Second)}}, func(r *running) int64 { return r.replicas[1].store.Counts().Stale }},
		{fault.Fault{Type: fault.CacheFlush}, func(r *running) int64 { return r.replicas[1].store.Counts().Missed }},
	} {
		e := withStore(topology.Redis, topology.Store{Items: 50}, tt.fault)
		e.Load = e.Load.WithDefaults()
		r, err := newRun(e, &Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.play(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := tt.count(r); n < 10 || n > 400 {
			t.Errorf("%s: %d of 400 reads", tt.fault.Type, n)
		}
	}
}

// TestStoresThatAreNotModelled are refused before anything starts.
func TestStoresThatAreNotModelled(t *testing.T) {
	for want, settings := range map[string]topology.Store{
		"use --on local": {Engine: topology.Real, Address: "127.0.0.1:6379"}, "leave retries out": {Retries: 2},
	} {
		e := withStore(topology.Redis, settings)
		e.System.Services[1].Store.Latency = dist.Delay{}
		if err := Check(e, Machine{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", settings, err)
		}
	}
}

// TestStoreSurvivesItsProcess kills a store: its clients connect again, and the
// conditions that act go on.
func TestStoreSurvivesItsProcess(t *testing.T) {
	e := withStore(topology.Redis, topology.Store{}, fault.Fault{Type: fault.DiskFull}, fault.Fault{Type: fault.Kill})
	e.Faults[1].Start, e.Faults[1].Duration = 3*second, 0
	r := run(t, e)
	// The disk is full for 4 s of the 8, and the process away for a moment of them.
	during := edge(r, experiment.During)
	if failed := during.Outcomes[outcome.StoreError]; failed < 185 || failed > 200 || during.Outcomes[outcome.ConnectionError] == 0 || during.Outcomes[outcome.OK] < 195 {
		t.Errorf("during: %v of %d", during.Outcomes, during.Calls)
	}
}

// Retries, hedges and parallel calls leave nothing of a pool behind.
func TestPoolsAreGivenBack(t *testing.T) {
	e := withStore(topology.Redis, topology.Store{Pool: topology.Pool{Size: 3, Wait: unit.Duration(5 * ms)}},
		fault.Fault{Type: fault.SlowQuery, Probability: 0.5, Args: fault.Args{Delay: dist.Delay{Exponential: &dist.Exponential{Mean: unit.Duration(50 * ms)}}}},
		fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: second}})
	call := e.System.Services[0].Endpoints[0].Steps[0].Call
	call.Timeout = unit.Duration(30 * ms)
	retry, hedge := policy.Retry{Attempts: 3, Backoff: unit.Duration(ms), Factor: 1}, policy.Hedge{After: unit.Duration(10 * ms), Max: 1}
	call.Retry, call.Hedge = &retry, &hedge
	e.System.Services[0].OnCancel = topology.Stop
	e.Load = load.Profile{Timeout: unit.Duration(60 * ms), Phases: []load.Phase{{Rate: 300, Arrivals: load.Poisson, Duration: 8 * second}}}.WithDefaults()
	r, err := newRun(e, &Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.play(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key, p := range r.pools {
		under := 0
		for i, att := range r.attempts.list {
			if r.attempts.live(int32(i)) && att.storing.holds {
				under++
			}
		}
		if p.used != under || p.used > 3 || len(p.idle) > 3 || r.replicas[key.to].store.Connections() > 3 {
			t.Errorf("pool %v: %d used by %d, %d idle, %d connected", key, p.used, under, len(p.idle), r.replicas[key.to].store.Connections())
		}
	}
}

// TestDriversLoseOperations cuts the clients of a store that is there again at once.
// Drivers that look at a connection before they use it see nothing of that.
func TestDriversLoseOperations(t *testing.T) {
	for kind, loses := range map[topology.Kind]bool{topology.Redis: false, topology.Postgres: false, topology.MongoDB: true} {
		e := withStore(kind, topology.Store{}, fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: unit.Duration(time.Microsecond)}})
		e.System.Services[0].Endpoints[0].Steps[0].Call.Writes = 0
		got := edge(run(t, e), experiment.During).Outcomes[outcome.ConnectionError]
		if (got > 0) != loses || got > 20 {
			t.Errorf("with the driver of %s, %d operations are lost", kind, got)
		}
	}
}
