package runner

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const aSecond = unit.Duration(time.Second)

// shopRun is a valid experiment: web calls cart, cart calls db; 10 s of load, cart
// is slow from 3 s to 6 s.
func shopRun() experiment.Experiment {
	web := topology.NewService("web", topology.CallTo("cart"))
	cart := topology.NewService("cart", topology.CallTo("db"))
	cart.Replicas = 2
	return experiment.Experiment{
		Name: "shop", Seed: 7,
		System: topology.System{Name: "shop", Services: []topology.Service{web, cart, topology.NewService("db")}},
		Load: load.Profile{
			Requests: []load.Request{{Name: "home", Service: "web", Weight: 1}},
			Phases: []load.Phase{
				{Name: "warm", Duration: 2 * aSecond, Rate: 10, Arrivals: load.Constant, Burst: 1},
				{Name: "steady", Duration: 8 * aSecond, Rate: 20, Arrivals: load.Constant, Burst: 1},
			},
			Timeout: load.DefaultTimeout, MaxInFlight: load.DefaultMaxInFlight,
		},
		Faults: []fault.Fault{{
			Type: fault.Latency, Target: fault.Target{Service: "cart"}, Start: 3 * aSecond, Duration: 3 * aSecond,
			Probability: 1, Args: fault.Args{Delay: dist.Fixed(100 * time.Millisecond)},
		}},
		Checks: []experiment.Check{
			{Expr: "p99 < 300ms"},
			{Expr: "errors < 1%", Phase: "before"},
			{Expr: "rate >= 5", Service: "cart", Phase: "steady"},
			{Expr: "timeouts == 0", From: "web", Service: "cart"},
		},
	}
}

// shopVariants is shopRun with three variants, the first of which changes
// nothing.
func shopVariants() experiment.Experiment {
	e := shopRun()
	e.Faults[0].Name = "slow"
	four := 4
	e.Variants = []experiment.Variant{
		{Name: "slow", Doc: "as it is"},
		{Name: "sound", Faults: []string{}},
		{Name: "wide", Set: []experiment.Patch{{Service: "cart", Replicas: &four}}, Checks: []experiment.Check{{Expr: "errors < 1%"}}},
	}
	return e
}
