package run

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A regime says which bounds the figures of an agreement have.
type regime string

const (
	steady   regime = "steady"
	overload regime = "overload"
)

// An agreeing is an experiment that is played both ways. No service of these is one
// that a calibration measures.
type agreeing struct {
	name string
	experiment.Experiment
	regime regime
	// small says that it is also played without MICROSIM_AGREEMENT.
	small bool
	// sure says that every request is served, whatever the machine does meanwhile,
	// so that the decisions of all requests can be compared.
	sure bool
}

func sleepFor(d time.Duration) topology.Step {
	return topology.Step{Work: &topology.Work{Sleep: dist.Fixed(d)}}
}

func systemOf(services ...topology.Service) topology.System {
	return topology.System{Services: services}
}

func agreeings(t *testing.T, length time.Duration) []agreeing {
	t.Helper()
	at := func(rate float64) load.Profile {
		return load.Profile{Phases: []load.Phase{{Rate: rate, Arrivals: load.Poisson, Duration: unit.Duration(length)}}}
	}
	play := func(s topology.System, p load.Profile) experiment.Experiment {
		return experiment.Experiment{System: s, Load: p}
	}
	processors := float64(runtime.NumCPU())
	list := []agreeing{
		{"leaf", play(systemOf(leafService()), at(100)), steady, true, true},
		{"chain of 5", play(systemOf(chainOf5()...), at(40)), steady, false, true},
		{"fan-out of 10", play(systemOf(append([]topology.Service{frontOf10()}, parts10()...)...), at(40)), steady, true, true},
		{"fallbacks", play(fallbacks(), at(60)), steady, true, true},
		{"shapes of load, chains", play(systemOf(append([]topology.Service{leafService()}, parts10()...)...), shapes()), steady, true, true},
		{"shop", readExample(t, "shop"), steady, false, false},
		{"social", play(*readSystem(t, "social"), at(30)), steady, false, false},
		{"queue at 80 %", play(systemOf(queueOf4(nil)), at(160)), steady, false, false},
		{"processors at 80 %", play(systemOf(computing()), at(0.8*processors/computingTime.Seconds())), steady, false, false},
		{"queue at 130 %, shedding", play(systemOf(queueOf4(&topology.Shed{Queue: 8})), at(260)), overload, false, false},
		{"queue at 130 %", play(systemOf(queueOf4(nil)), at(260)), overload, false, false},
		{"processors at 130 %, shedding", play(systemOf(computingWithShed()), at(1.3*processors/computingTime.Seconds())), overload, false, false},
		{"retry storm", retryStorm(t, 40, 6*time.Second), overload, false, false},
		{"metastable", retryStorm(t, 120, 4*time.Second), overload, false, false},
	}
	list = append(list, outages(t)...)
	for i := range list {
		e := &list[i].Experiment
		e.Name, e.Seed, e.Checks, e.Variants = "agreement", 11, nil, nil
		if e.System.Name == "" {
			e.System.Name = "agreement"
		}
	}
	return list
}

func leafService() topology.Service {
	leaf := topology.NewService("leaf", sleepFor(5*time.Millisecond))
	leaf.Endpoints[0].ErrorRate = 0.05
	return leaf
}

func chainOf5() (chain []topology.Service) {
	for i := range 5 {
		s := topology.NewService(fmt.Sprint("s", i), sleepFor(4*time.Millisecond))
		if i < 4 {
			s.Endpoints[0].Steps = append(s.Endpoints[0].Steps, topology.CallTo(fmt.Sprint("s", i+1)))
		}
		chain = append(chain, s)
	}
	return chain
}

// parts10 are ten services, each of which frontOf10 calls mostly.
func parts10() (parts []topology.Service) {
	spread := topology.Step{Work: &topology.Work{Sleep: dist.Delay{LogNormal: &dist.LogNormal{P50: unit.Duration(5 * time.Millisecond), P99: unit.Duration(20 * time.Millisecond)}}}}
	for i := range 10 {
		parts = append(parts, topology.NewService(fmt.Sprint("b", i), spread))
	}
	return parts
}

func frontOf10() topology.Service {
	parallel := topology.Step{}
	for i := range 10 {
		call := topology.CallTo(fmt.Sprint("b", i))
		call.Call.Probability = 0.9
		parallel.Parallel = append(parallel.Parallel, call)
	}
	return topology.NewService("front", parallel)
}

func fallbacks() topology.System {
	flaky := topology.NewService("flaky", sleepFor(time.Millisecond))
	flaky.Endpoints[0].ErrorRate = 0.3
	instead, without := topology.CallTo("flaky"), topology.CallTo("flaky")
	instead.Call.Fallback = &policy.Fallback{Kind: policy.FixedFallback, Value: `{"items": []}`}
	without.Call.OnError = topology.Ignore
	return systemOf(topology.NewService("page", topology.CallTo("list"), without), topology.NewService("list", instead), flaky)
}

// shapes are requests of a mix, one of them a chain, in phases of all kinds.
func shapes() load.Profile {
	top := 80.0
	return load.Profile{
		Requests: []load.Request{
			{Name: "leaf", Service: "leaf", Weight: 2},
			{Name: "chain", Weight: 1, Chain: `{"designation": "b0", "probability": 100, "faults": {"before": [{"type": "error", "args": {"rate": 20, "status": 503}}], "after": []},
				"routes": [{"designation": "b1", "probability": 50, "faults": {"before": [{"type": "latency", "args": {"delay": 5}}], "after": []}, "routes": []}]}`},
		},
		Phases: []load.Phase{
			{Name: "ramp", Rate: 10, RateTo: &top, Arrivals: load.Poisson, Duration: unit.Duration(time.Second)},
			{Name: "bursts", Rate: 20, Burst: 3, Count: 15},
			{Name: "all", Rate: 20, Each: true, Duration: unit.Duration(500 * time.Millisecond)},
		},
	}
}

// queueOf4 serves 200 requests a second.
func queueOf4(shed *topology.Shed) topology.Service {
	queue := topology.NewService("queue", sleepFor(20*time.Millisecond))
	queue.Workers, queue.Backlog = 4, 64
	if queue.Shed = shed; shed != nil {
		queue.Backlog = 0
	}
	return queue
}

// computingTime is how long a request to the computing service keeps a processor
// busy.
const computingTime = 5 * time.Millisecond

func computing() topology.Service {
	return topology.NewService("computing", topology.Step{Work: &topology.Work{CPU: dist.Fixed(computingTime)}})
}

// computingWithShed has so many workers that the processors are what is short.
func computingWithShed() topology.Service {
	s := computing()
	s.Workers, s.Shed = 2*runtime.NumCPU(), &topology.Shed{Queue: 8}
	return s
}

// retryStorm is lesson 13 at a rate, watched for so long after its trigger. Below 48
// requests a second it comes back by itself, beyond that it does not.
func retryStorm(t *testing.T, rate float64, later time.Duration) experiment.Experiment {
	t.Helper()
	e := readExample(t, "lesson-13-metastable")
	v, _ := e.Variant("retries")
	e, _ = e.Apply(v)
	e.AppliedVariant = ""
	for i := range e.Load.Phases {
		e.Load.Phases[i].Rate = rate
	}
	e.Load.Phases[len(e.Load.Phases)-1].Duration = unit.Duration(later)
	return e
}

// outages are four of the published ones, ten times as fast.
func outages(t *testing.T) (list []agreeing) {
	t.Helper()
	lab := readExample(t, outageLab)
	for _, name := range []string{"3-slow", "5-timeouts", "8-timeouts-retries", "9-timeouts-breakers"} {
		v, _ := lab.Variant(name)
		e, _ := lab.Apply(v)
		e.AppliedVariant = ""
		list = append(list, agreeing{"outage " + name + ", x 1/10", experiment.Scale(e, 0.1), overload, false, false})
	}
	return list
}

func readExample(t *testing.T, name string) experiment.Experiment {
	t.Helper()
	e, err := readLab(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func readSystem(t *testing.T, name string) *topology.System {
	t.Helper()
	text, err := examples.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := spec.Read("example "+name, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return docs.Systems()[0]
}
