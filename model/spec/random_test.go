package spec

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// TestRandomExperimentsAreReadBack prints valid experiments of every kind of
// part and reads them again.
func TestRandomExperimentsAreReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	valid := 0
	for range 300 {
		e := randomExperiment(r)
		if len(e.Validate()) > 0 {
			continue
		}
		valid++
		same(t, &document.Document{Experiment: e})
		same(t, &document.Document{System: &e.System})
		if t.Failed() {
			return
		}
	}
	if valid < 100 {
		t.Errorf("only %d of 300 random experiments are valid", valid)
	}
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func randomSize(r *rand.Rand) unit.Size {
	return unit.Size(pick(r, 0, 0, 1, 15, 512, 1000, 2<<10, 1<<20, 3<<20+1))
}

func randomDuration(r *rand.Rand) unit.Duration {
	return unit.Duration(pick(r, 1, 1500, time.Millisecond, 1500*time.Microsecond, time.Second, 90*time.Second, 2*time.Hour))
}

func randomDelay(r *rand.Rand) dist.Delay {
	d := randomDuration(r)
	return pick(r, dist.Delay{}, dist.Delay{Fixed: d}, dist.Delay{Fixed: d},
		dist.Delay{Uniform: &dist.Uniform{Min: -d, Max: d}}, dist.Delay{Normal: &dist.Normal{Mean: d}},
		dist.Delay{LogNormal: &dist.LogNormal{P50: d, P99: 3 * d}}, dist.Delay{Exponential: &dist.Exponential{Mean: d}},
		dist.Delay{Pareto: &dist.Pareto{Min: d, Alpha: 1.5}}, dist.Delay{Empirical: []unit.Duration{0, d, d + 1}})
}

func randomExperiment(r *rand.Rand) *experiment.Experiment {
	e := &experiment.Experiment{Name: "random", Seed: pick(r, 0, 1, r.Uint64())}
	e.System = topology.System{Name: pick(r, "random", "other", "12")}
	n := 1 + r.IntN(5)
	for i := range n {
		e.System.Services = append(e.System.Services, randomService(r, i, n))
	}
	e.Load = load.Profile{
		Timeout: pick(r, 0, randomDuration(r)), MaxInFlight: pick(r, 0, 7), NoKeepAlive: r.IntN(2) == 0,
		Phases: []load.Phase{{Duration: randomDuration(r)}},
	}
	p := &e.Load.Phases[0]
	p.Name = pick(r, "", "steady")
	if r.IntN(2) == 0 {
		p.Rate, p.Arrivals, p.Burst = pick(r, 0.1, 50, 1e6), pick(r, load.Constant, load.Poisson), r.IntN(3)
	} else {
		p.Users, p.Think = 1+r.IntN(9), randomDelay(r)
	}
	for range r.IntN(3) {
		e.Load.Requests = append(e.Load.Requests, pick(r,
			load.Request{Service: "s0"}, load.Request{Service: "s0", Endpoint: "/", Weight: 2, Headers: map[string]string{"B": "1", "A": "true"}},
			load.Request{Chain: `{"designation": "s0"}`, Name: "chain"}, load.Request{URL: "http://127.0.0.1:1/x", Body: "a: b\n"}))
	}
	if r.IntN(4) == 0 {
		e.Load.Requests = append(e.Load.Requests, load.Request{URL: "https://127.0.0.1:1/"})
		e.Load.TLS = &load.TLS{Insecure: true}
	}
	e.Load = e.Load.WithDefaults()
	for range r.IntN(3) {
		f := pick(r,
			fault.Fault{Type: fault.Latency, Args: fault.Args{Delay: dist.Fixed(time.Second), Jitter: pick(r, 0, unit.Duration(1e6))}},
			fault.Fault{Type: fault.Error, Args: fault.Args{Status: pick(r, 0, 503)}},
			fault.Fault{Type: fault.NetLoss, Args: fault.Args{Percent: 25}},
			fault.Fault{Type: fault.Substitute, Args: fault.Args{Pattern: `a: "(b)"`, With: pick(r, "", "$1")}},
			fault.Fault{Type: fault.CPU, Args: fault.Args{Hold: randomDuration(r), Cores: pick(r, unit.Cores(0), 0.5, 2)}})
		f.Target = pick(r, fault.Target{Service: "s0"}, fault.Target{Service: "s0", Endpoint: "/"}, fault.Target{Service: "s0", Direction: fault.Both})
		f.Probability = pick[unit.Share](r, 1, 0, 0.3)
		e.Faults = append(e.Faults, f.WithDefaults())
	}
	randomComparison(r, e)
	return e
}

// randomComparison adds variants and what goes with them.
func randomComparison(r *rand.Rand, e *experiment.Experiment) {
	e.Tail, e.Window = pick(r, 0, unit.Duration(time.Minute)), pick(r, 0, unit.Duration(10*time.Second))
	e.Rank = pick(r, experiment.Rank{}, experiment.Rank{Metric: experiment.P99}, experiment.Rank{Metric: experiment.Rate, Service: "s0"})
	e.AbortOn = pick(r, nil, []experiment.Check{{Expr: "errors > 50%"}, {Expr: "rate < 1", Service: "s0"}})
	three, second := 3, unit.Duration(time.Second)
	for i := range r.IntN(3) {
		v := experiment.Variant{Name: fmt.Sprint("v", i), Doc: pick(r, "", "with: a colon"), Checks: pick(r, nil, []experiment.Check{{Expr: "p99 < 1s"}})}
		v.Faults = pick(r, nil, []string{})
		if r.IntN(2) == 0 {
			v.Set = append(v.Set, experiment.Patch{Service: "s0", Workers: &three, Shed: pick(r, nil, &topology.Shed{LIFO: true})})
		}
		if len(e.System.Service("s0").Calls()) > 0 && r.IntN(2) == 0 {
			v.Set = append(v.Set, experiment.Patch{
				Service: pick(r, "", "s0"), Call: experiment.Everything, Timeout: pick(r, nil, &second), Retry: randomPolicies(r).Retry, Without: []string{"breaker"},
			})
		}
		if r.IntN(3) == 0 {
			profile := load.Profile{Phases: []load.Phase{{Users: 2, Duration: second}}, Requests: []load.Request{{Service: "s0"}}}.WithDefaults()
			v.Load = &profile
		}
		e.Variants = append(e.Variants, v)
	}
}

func randomService(r *rand.Rand, i, n int) topology.Service {
	s := topology.NewService(fmt.Sprint("s", i))
	s.Replicas, s.Workers, s.Backlog, s.Memory = r.IntN(3), r.IntN(3), r.IntN(3), randomSize(r)
	s.OnCancel = pick(r, "", topology.Finish, topology.Stop)
	if s.Workers > 0 {
		s.Shed = pick(r, nil, &topology.Shed{Queue: 3}, &topology.Shed{LIFO: true, Deadline: true})
	}
	if r.IntN(4) == 0 {
		s.Resources = &topology.Resources{CPULimit: pick(r, unit.Cores(0), 0.25, 3), MemoryRequest: randomSize(r)}
	}
	if i > 0 && r.IntN(4) == 0 { // the first takes the requests
		return randomStore(r, s)
	}
	s.Endpoints[0].Path = pick(r, "/", "/", "/items")
	if r.IntN(4) == 0 {
		s.Endpoints = append(s.Endpoints, topology.NewEndpoint("/more"))
	}
	for j := range s.Endpoints {
		e := &s.Endpoints[j]
		e.Method, e.ErrorRate, e.ErrorStatus = pick(r, "", "", "GET"), pick[unit.Share](r, 0, 0.01, 1), pick(r, 500, 503)
		e.Response = topology.Response{Status: pick(r, 200, 201), Size: randomSize(r)}
		e.Timeout = pick(r, topology.DefaultTimeout, unit.Duration(time.Second)+randomDuration(r))
		e.Require = pick(r, nil, &topology.Require{Header: "Authorization"}, &topology.Require{Header: "X-Tenant", Status: 403})
		if r.IntN(4) == 0 {
			e.Response = topology.Response{Status: 200, Body: `{"id": {id}}`}
		}
		for range r.IntN(4) {
			e.Steps = append(e.Steps, randomStep(r, i, n, true))
		}
	}
	return s
}

// randomStore makes a data store of a service.
func randomStore(r *rand.Rand, s topology.Service) topology.Service {
	s = topology.NewService(s.Name)
	s.Kind = pick(r, topology.Redis, topology.MySQL, topology.MongoDB)
	s.Workers = r.IntN(3)
	s.Store = &topology.Store{
		Reads: r.IntN(3), Writes: r.IntN(3), Items: r.IntN(3), Latency: pick(r, dist.Delay{}, dist.Fixed(time.Millisecond)),
		MaxConnections: r.IntN(3), Space: randomSize(r), Pool: topology.Pool{Size: r.IntN(3), Wait: randomDuration(r)}, Timeout: randomDuration(r), Retries: r.IntN(3),
	}
	if r.IntN(3) == 0 {
		s.Store = &topology.Store{Engine: topology.Real, Address: "127.0.0.1:6379"}
	}
	return s
}

// randomPolicies fit any request of at least a second.
func randomPolicies(r *rand.Rand) (c policy.Call) {
	c.Timeout = pick(r, 0, unit.Duration(time.Second))
	c.Retry = pick(r, nil, &policy.Retry{Attempts: 3}, &policy.Retry{
		Attempts: 2, Backoff: unit.Duration(time.Millisecond), Factor: 3, Cap: unit.Duration(time.Second), Jitter: policy.Decorrelated,
		On: []policy.Trigger{"timeout", "503", "4xx"}, RetryAfter: true, Budget: &policy.Budget{Ratio: 0.1, Burst: 5},
	})
	c.Breaker = pick(r, nil, &policy.Breaker{Failures: 5, Reset: unit.Duration(time.Second), Scope: policy.PerWorker},
		&policy.Breaker{FailureRate: 0.5, Window: 10, Reset: unit.Duration(time.Second), Trials: 2, PerAttempt: true},
		&policy.Breaker{FailureRate: 0.5, Window: 10, MinCalls: 4, SlowAfter: unit.Duration(time.Millisecond), SlowRate: 0.25, Reset: unit.Duration(time.Second)})
	c.Bulkhead = pick(r, nil, &policy.Bulkhead{MaxConcurrent: 2})
	c.RateLimit = pick(r, nil, &policy.RateLimit{Rate: 10, Burst: 3})
	c.Hedge = pick(r, nil, &policy.Hedge{After: unit.Duration(50 * time.Millisecond), Max: 2})
	c.Fallback = pick(r, nil, &policy.Fallback{Kind: policy.EmptyFallback}, &policy.Fallback{Kind: policy.FixedFallback, Value: "[1, 2]"},
		&policy.Fallback{Kind: policy.LastGood, MaxAge: unit.Duration(time.Minute)})
	return c
}

func randomStep(r *rand.Rand, i, n int, outermost bool) topology.Step {
	switch kind := r.IntN(4); {
	case kind == 0 && outermost:
		var steps []topology.Step
		for range 1 + r.IntN(3) {
			steps = append(steps, randomStep(r, i, n, false))
		}
		return topology.Step{Parallel: steps}
	case kind <= 1 || i == n-1:
		return topology.Step{Work: &topology.Work{Sleep: randomDelay(r), CPU: randomDelay(r), CPUUnits: pick(r, 0, 1.5), IO: randomSize(r), Memory: randomSize(r)}}
	}
	c := topology.NewCall(fmt.Sprint("s", i+1+r.IntN(n-1-i)))
	if r.IntN(2) == 0 {
		c.Probability, c.Count, c.RequestSize = pick[unit.Share](r, 0, 0.5), 1+r.IntN(3), randomSize(r)
		c.OnError = pick(r, topology.Propagate, topology.Ignore)
		c.Call = randomPolicies(r)
		c.Answers = pick(r, nil, map[string]topology.Answer{"404": {Status: 404, Body: `{"error": "none"}`}, "other": {Status: 503}})
	}
	return topology.Step{Call: &c}
}
