package experiment

import (
	"slices"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func withVariants() Experiment {
	e := shop()
	e.Faults[0].Name = "slow"
	four := 4
	e.Variants = []Variant{
		{Name: "slow", Doc: "as it is"},
		{Name: "sound", Faults: []string{}},
		{Name: "wide", Set: []Patch{{Service: "cart", Replicas: &four}}, Checks: []Check{{Expr: "errors < 1%"}}},
	}
	return e
}

func TestApplyKeepsTheOriginal(t *testing.T) {
	e := withVariants()
	e.Rank = Rank{Metric: P99, Phase: During}
	short, workers := load.Profile{Phases: []load.Phase{{Users: 1, Duration: second}}}, 8
	timeout, long := second/2, 2*second
	v := Variant{Name: "x", Load: &short, Set: []Patch{
		{Service: "web", Call: "cart", Timeout: &timeout},
		{Call: Everything, Timeout: &long},
		{Service: Everything, Workers: &workers},
	}}
	applied, problems := e.Apply(v)
	if len(problems) > 0 {
		t.Fatal(problems.Err())
	}
	timeouts := map[string]string{}
	for i := range applied.System.Services {
		s := &applied.System.Services[i]
		if s.Workers != 8 {
			t.Errorf("%s has %d workers", s.Name, s.Workers)
		}
		eachCall(s, func(c *topology.Call) { timeouts[s.Name+"->"+c.To] = c.Timeout.String() })
	}
	if timeouts["web->cart"] != "500ms" || timeouts["cart->db"] != "2s" {
		t.Errorf("timeouts %v: what names more wins", timeouts)
	}
	if e.System.Services[0].Workers != 0 || e.System.Services[0].Endpoints[0].Steps[0].Call.Timeout != 0 || applied.Load.Phases[0].Users != 1 {
		t.Error("the original was changed, or the load was not")
	}
	if sound, _ := e.Apply(e.Variants[1]); len(sound.Faults) != 0 || sound.Rank.Phase != "" || slices.ContainsFunc(sound.Checks, func(c Check) bool { return c.Phase == Before }) {
		t.Errorf("without faults: %+v", sound.Checks)
	}
}

func TestScale(t *testing.T) {
	e := Scale(shop(), 0.1)
	if e.Load.Phases[1].Duration != second*8/10 || e.Load.Phases[1].Rate != 200 || e.Faults[0].Start != second*3/10 ||
		e.Faults[0].Args.Delay.Fixed != second/100 || e.Checks[0].Expr != "p99 < 0.03s" || e.Checks[2].Expr != "rate >= 50" {
		t.Errorf("scaled %+v", e)
	}
	if again := shop(); Scale(e, 10).Load.Phases[0].Duration != again.Load.Phases[0].Duration {
		t.Error("scaling there and back changes the load")
	}
}
