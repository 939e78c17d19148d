package experiment

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func TestParseCheckOfAlerts(t *testing.T) {
	for expr, want := range map[string]Condition{
		"alert HighErrors fires < 30s after slow-cart":  {Metric: AlertFires, Alert: "HighErrors", Op: "<", Bound: 30, Dimension: Seconds, Fault: "slow-cart"},
		"alert A resolves<=1min after x":                {Metric: AlertResolves, Alert: "A", Op: "<=", Bound: 60, Dimension: Seconds, Fault: "x"},
		"  Alert A_1  FIRES < 500ms  after  two words ": {Metric: AlertFires, Alert: "A_1", Op: "<", Bound: 0.5, Dimension: Seconds, Fault: "two words"},
		"no alert fires":        {Metric: AlertsFired, Op: "==", Dimension: Count},
		"No other  alert fires": {Metric: AlertsFired, Op: "==", Dimension: Count, Others: true},
	} {
		if got, err := ParseCheck(expr); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", expr, got, err, want)
		}
	}
	for expr, want := range map[string]string{
		"alert":                                 "compares nothing",
		"alert HighErrors fires":                "is not one of alerts",
		"alert HighErrors fires < 30s":          "is not one of alerts",
		"alert HighErrors fires after x < 30s":  "is not one of alerts",
		"alert HighErrors pends < 30s after x":  "is not one of alerts",
		"alert High-Errors fires < 3s after x":  `"High-Errors" cannot name an alert`,
		"alert HighErrors fires > 30s after x":  "write <",
		"alert HighErrors fires == 3s after x":  "write <",
		"alert HighErrors fires < 0s after x":   "no time",
		"alert HighErrors fires < -1s after x":  "no time",
		"alert HighErrors fires < soon after x": "soon",
		"no alerts":                             "is not one of alerts",
		"no alert resolves":                     "is not one of alerts",
	} {
		if c, err := ParseCheck(expr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", expr, c, err, want)
		}
	}
}

// watched is an experiment with an alert and a fault that has a name.
func watched() Experiment {
	return Experiment{
		Name: "watched", System: topology.System{Name: "shop", Services: []topology.Service{topology.NewService("web")}},
		Load:   load.Profile{Phases: []load.Phase{{Rate: 1, Duration: unit.Duration(60e9)}}}.WithDefaults(),
		Faults: []fault.Fault{{Name: "broken", Type: fault.Error, Target: fault.Target{Service: "web"}, Probability: 1, Args: fault.Args{Status: 500}, Duration: unit.Duration(5e9)}},
		Alerts: []Alert{{Name: "HighErrors", Expr: "up == 0"}},
		Checks: []Check{{Expr: "alert HighErrors fires < 30s after broken"}, {Expr: "no other alert fires"}},
	}
}

func TestValidateAlerts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Experiment)
		want   string
	}{
		{"as it is", func(*Experiment) {}, ""},
		{"of a service", func(e *Experiment) { e.Checks[0].Service = "web" }, ""},
		{"of an edge", func(e *Experiment) { e.Checks[0].Service, e.Checks[0].From = "web", "web" }, "leave from out"},
		{"of a phase", func(e *Experiment) { e.Checks[0].Phase = During }, "leave phase out"},
		{"another fault", func(e *Experiment) { e.Checks[0].Expr = "alert HighErrors fires < 30s after brken" }, `no fault with the name "brken" (did you mean "broken"`},
		{"a fault without a name", func(e *Experiment) { e.Faults[0].Name = "" }, "give the fault this name"},
		{"to abort", func(e *Experiment) { e.AbortOn = []Check{{Expr: "no alert fires"}} }, "known at the end of the run only"},
		{"a bad name", func(e *Experiment) { e.Alerts[0].Name = "high errors" }, "cannot name an alert"},
		{"no expression", func(e *Experiment) { e.Alerts[0].Expr = " " }, "has no expression"},
		{"twice", func(e *Experiment) { e.Alerts = append(e.Alerts, e.Alerts[0]) }, "already described at alerts[0]"},
		{"less than no time", func(e *Experiment) { e.Alerts[0].For = -1 }, "is not possible"},
		{"a variant's", func(e *Experiment) { e.Variants = []Variant{{Name: "v", Alerts: []Alert{{Name: "A"}}}} }, "variants[0].alerts[0].expr"},
		{"a variant without faults", func(e *Experiment) { e.Variants = []Variant{{Name: "v", Faults: []string{}}} }, ""},
	} {
		e := watched()
		tt.change(&e)
		err := e.Validate().Err()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestNeedsPrometheus(t *testing.T) {
	e := watched()
	if e.NeedsPrometheus() == "" {
		t.Error("checks of alerts need none")
	}
	e.Checks = nil
	if e.NeedsPrometheus() == "" {
		t.Error("alerts need none")
	}
	e.Variants, e.Alerts = []Variant{{Name: "v", Alerts: e.Alerts}}, nil
	if e.NeedsPrometheus() == "" {
		t.Error("alerts of a variant need none")
	}
	e.Variants = []Variant{{Name: "v", Checks: []Check{{Expr: "no alert fires"}}}}
	if e.NeedsPrometheus() == "" {
		t.Error("checks of a variant need none")
	}
	e.Variants = nil
	if what := e.NeedsPrometheus(); what != "" {
		t.Errorf("an experiment without alerts needs one: %s", what)
	}
}

// A faster experiment asks its alerts to be faster, too.
func TestScaleAlerts(t *testing.T) {
	e := watched()
	e.Alerts[0].For = unit.Duration(10e9)
	scaled := Scale(e, 0.1)
	if scaled.Checks[0].Expr != "alert HighErrors fires < 3s after broken" || scaled.Checks[1].Expr != "no other alert fires" || scaled.Alerts[0].For != unit.Duration(1e9) {
		t.Errorf("%+v, %+v", scaled.Checks, scaled.Alerts)
	}
	if e.Alerts[0].For != unit.Duration(10e9) {
		t.Error("the original has changed")
	}
}
