package experiment

import (
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const second = unit.Duration(time.Second)

// shop is a valid experiment: web calls cart, cart calls db; 10 s of load, cart
// is slow from 3 s to 6 s.
func shop() Experiment {
	web := topology.NewService("web", topology.CallTo("cart"))
	cart := topology.NewService("cart", topology.CallTo("db"))
	cart.Replicas = 2
	return Experiment{
		Name: "shop", Seed: 7,
		System: topology.System{Name: "shop", Services: []topology.Service{web, cart, topology.NewService("db")}},
		Load: load.Profile{
			Requests: []load.Request{{Name: "home", Service: "web", Weight: 1}},
			Phases: []load.Phase{
				{Name: "warm", Duration: 2 * second, Rate: 10, Arrivals: load.Constant, Burst: 1},
				{Name: "steady", Duration: 8 * second, Rate: 20, Arrivals: load.Constant, Burst: 1},
			},
			Timeout: load.DefaultTimeout, MaxInFlight: load.DefaultMaxInFlight,
		},
		Faults: []fault.Fault{{
			Type: fault.Latency, Target: fault.Target{Service: "cart"}, Start: 3 * second, Duration: 3 * second,
			Probability: 1, Args: fault.Args{Delay: dist.Fixed(100 * time.Millisecond)},
		}},
		Checks: []Check{
			{Expr: "p99 < 300ms"},
			{Expr: "errors < 1%", Phase: "before"},
			{Expr: "rate >= 5", Service: "cart", Phase: "steady"},
			{Expr: "timeouts == 0", From: "web", Service: "cart"},
		},
	}
}

func TestValidAsItIs(t *testing.T) {
	e := shop()
	if problems := e.Validate(); len(problems) > 0 {
		t.Fatal(problems.Err())
	}
}

func TestValidateNamesThePlace(t *testing.T) {
	faultAt := func(e *Experiment) *fault.Fault { return &e.Faults[0] }
	for name, test := range map[string]struct {
		change func(*Experiment)
		want   []string
	}{
		"system":           {func(e *Experiment) { e.System.Services[1].Workers = -1 }, []string{"system.services[1].workers"}},
		"request service":  {func(e *Experiment) { e.Load.Requests[0].Service = "wbe" }, []string{"load.requests[0].service"}},
		"request endpoint": {func(e *Experiment) { e.Load.Requests[0].Endpoint = "/x" }, []string{"load.requests[0].endpoint"}},
		"phase name":       {func(e *Experiment) { e.Load.Phases[0].Name = "during" }, []string{"load.phases[0].name"}},
		"endless":          {func(e *Experiment) { e.Load.Phases[1].Duration = 0 }, []string{"load.phases[1].duration"}},
		"fault type":       {func(e *Experiment) { faultAt(e).Type = "flood" }, []string{"faults[0].type"}},
		"fault target":     {func(e *Experiment) { faultAt(e).Target.Service = "crat" }, []string{"faults[0].target.service"}},
		"no target":        {func(e *Experiment) { faultAt(e).Target.Service = "" }, []string{"faults[0].target.service"}},
		"replica":          {func(e *Experiment) { faultAt(e).Target.Replica = 3 }, []string{"faults[0].target.replica"}},
		"endpoint":         {func(e *Experiment) { faultAt(e).Target.Endpoint = "/x" }, []string{"faults[0].target.endpoint"}},
		"caller":           {func(e *Experiment) { faultAt(e).Target.From = "x" }, []string{"faults[0].target.from"}},
		"edge":             {func(e *Experiment) { faultAt(e).Target.From = "db" }, []string{"faults[0].target.from"}},
		"late start":       {func(e *Experiment) { faultAt(e).Start = 10 * second }, []string{"faults[0].start"}},
		"late end":         {func(e *Experiment) { faultAt(e).Duration = 8 * second }, []string{"faults[0].duration"}},
		"victim": {func(e *Experiment) {
			*faultAt(e) = fault.Fault{Type: fault.Kill, Probability: 1, Rounds: &fault.Rounds{Count: 3, Interval: second, Victims: []string{"web", fault.Nobody, "x"}}}
		}, []string{"faults[0].rounds.victims[2]"}},
		"too many rounds": {func(e *Experiment) {
			*faultAt(e) = fault.Fault{Type: fault.Kill, Probability: 1, Rounds: &fault.Rounds{Count: 11, Interval: second, Victims: []string{"web"}}}
		}, []string{"faults[0].rounds.count"}},
		"last round too long": {func(e *Experiment) {
			*faultAt(e) = fault.Fault{Type: fault.Pause, Duration: 2 * second, Probability: 1, Rounds: &fault.Rounds{Count: 10, Interval: second, Victims: []string{"web"}}}
		}, []string{"faults[0].duration"}},
		"twice the name": {func(e *Experiment) {
			faultAt(e).Name = "slow"
			e.Faults = append(e.Faults, e.Faults[0])
		}, []string{"faults[1].name"}},
		"check":                {func(e *Experiment) { e.Checks[0].Expr = "p98 < 1ms" }, []string{"checks[0].check"}},
		"check service":        {func(e *Experiment) { e.Checks[2].Service = "x" }, []string{"checks[2].service"}},
		"check edge":           {func(e *Experiment) { e.Checks[3].From = "db" }, []string{"checks[3].from"}},
		"check half edge":      {func(e *Experiment) { e.Checks[3].Service = "" }, []string{"checks[3].service"}},
		"check phase":          {func(e *Experiment) { e.Checks[0].Phase = "x" }, []string{"checks[0].phase"}},
		"no faults":            {func(e *Experiment) { e.Faults = nil }, []string{"checks[1].phase"}},
		"max of a service":     {func(e *Experiment) { e.Checks[2].Expr = "max < 1s" }, []string{"checks[2].check"}},
		"class of service":     {func(e *Experiment) { e.Checks[2].Expr = "timeouts == 0" }, []string{"checks[2].check"}},
		"offered to a service": {func(e *Experiment) { e.Checks[2].Expr = "offered > 5" }, []string{"checks[2].check"}},
		"clients in the tail": {func(e *Experiment) {
			e.Tail = second
			e.Checks[0].Phase = AfterLoad
		}, []string{"checks[0].check"}},
		"abort by what was offered": {func(e *Experiment) { e.AbortOn = []Check{{Expr: "offered > 5"}} }, []string{"abortOn[0].check"}},
		"variants like files": {func(e *Experiment) {
			e.Variants = []Variant{{Name: "comparison.json"}, {Name: "Experiment.YAML"}, {Name: "v1.5"}}
		}, []string{"variants[0].name", "variants[1].name"}},
		"variants by case":  {func(e *Experiment) { e.Variants = []Variant{{Name: "slow"}, {Name: "Slow"}} }, []string{"variants[1].name"}},
		"recovery in phase": {func(e *Experiment) { e.Checks[2].Expr = "recovery < 1s" }, []string{"checks[2].check"}},
		"all at once": {func(e *Experiment) {
			e.System.Name = "Shop"
			e.Load.Timeout = -1
			faultAt(e).Target.Service, faultAt(e).Probability = "x", 1.3
			e.Checks[0].Expr = ""
		}, []string{"system.name", "load.timeout", "faults[0].probability", "faults[0].target.service", "checks[0].check"}},
	} {
		e := shop()
		test.change(&e)
		var got []string
		for _, p := range e.Validate() {
			got = append(got, p.Path)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: problems at %q, want %q\n%v", name, got, test.want, e.Validate().Err())
		}
	}
}

func TestChainsMayCallAnyService(t *testing.T) {
	e := shop()
	e.Load.Requests = []load.Request{{Chain: `{"designation":"db"}`, Weight: 1}}
	e.Faults[0].Target = fault.Target{From: "db", Service: "web"}
	e.Checks = []Check{{Expr: "errors == 0", From: "db", Service: "web"}}
	if problems := e.Validate(); len(problems) > 0 {
		t.Error(problems.Err())
	}
}
