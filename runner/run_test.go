package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// play runs an experiment in a world of fakes, in fake time, and returns the
// events' names beside the result.
func play(t *testing.T, e experiment.Experiment, world *fakeWorld, change func(context.Context, *Deps, *fakeLoader, *fakeCollector) context.Context) (result *result.Result, events []string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		loader, collector := &fakeLoader{world: world}, &fakeCollector{}
		deps := Deps{Deployer: world, Loader: loader, Collector: collector, Target: "local"}
		ctx := context.Background()
		if change != nil {
			ctx = change(ctx, &deps, loader, collector)
		}
		result, err = Run(ctx, e, deps, func(event Event) {
			switch ev := event.(type) {
			case PhaseBegun:
				events = append(events, "phase "+ev.Name)
			case FaultApplied:
				events = append(events, "applied "+ev.Record.ID)
			case FaultCleared:
				events = append(events, "cleared "+ev.Record.ID)
			case ReplicaDown:
				events = append(events, "down "+ev.Recovery.Service)
			case ReplicaReady:
				events = append(events, "ready "+ev.Recovery.Service)
			case ClientSampled, ServiceSampled:
			default:
				events = append(events, strings.TrimPrefix(fmt.Sprintf("%T", ev), "runner."))
			}
		})
	})
	return result, events, err
}

func TestRun(t *testing.T) {
	world := &fakeWorld{}
	result, events, err := play(t, shopRun(), world, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Deploying", "Deployed", "LoadBegun", "phase warm", "phase steady", "applied latency-1", "cleared latency-1", "LoadEnded", "CleaningUp", "Done"}
	if !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
	if want := []string{"inject latency-1", "clear latency-1", "close"}; !slices.Equal(world.log, want) {
		t.Errorf("the world saw %q, want %q", world.log, want)
	}
	if result.Incomplete || result.Passed {
		t.Errorf("incomplete %v, passed %v", result.Incomplete, result.Passed)
	}
	rec := result.Faults[0]
	if rec.From != 3 || rec.To != 6 || rec.Hits != 3 || !slices.Equal(rec.Replicas, []string{"cart/1"}) {
		t.Errorf("ground truth %+v", rec)
	}
	// 20 in the first phase of 2 s at 10/s, 160 in the second of 8 s at 20/s; the
	// faults take 3 s of the second.
	counts := map[string][2]int64{"": {180, 60}, "warm": {20, 0}, "steady": {160, 60}, experiment.Before: {40, 0}, experiment.During: {60, 60}, experiment.After: {80, 0}}
	for _, s := range result.Segments {
		if got := [2]int64{s.Clients.Requests, s.Clients.Errors}; got != counts[s.Name] {
			t.Errorf("segment %q from %v to %v: requests and errors %v, want %v", s.Name, s.From, s.To, got, counts[s.Name])
		}
		delete(counts, s.Name)
	}
	if len(counts) > 0 {
		t.Errorf("segments missing: %v", counts)
	}
	during := result.Segments[4]
	// Those that began in the last 0.3 s of the fault ended after it.
	if during.Clients.OfferedRate != 20 || during.Clients.Rate != 18 || during.Clients.Goodput != 0 || during.Clients.Latency.P50 < 0.297 || during.Clients.Latency.P50 > 0.303 {
		t.Errorf("during the fault: %+v %+v", during.Clients, during.Clients.Latency)
	}
	cart := during.Services[0]
	if cart.Requests != 60 || cart.Errors != 6 || cart.Rate != 20 || cart.Codes["500"] != 6 || cart.Up != 2 || cart.CPUCores == nil || *cart.CPUCores != 0.5 || math.Abs(cart.Latency.P50-0.01) > 0.0001 {
		t.Errorf("cart during the fault: %+v %+v", cart, cart.Latency)
	}
	if e := during.Edges[0]; e.Caller != "cart" || e.Callee != "db" || e.Calls != 60 || e.Errors != 3 || e.Outcomes[outcome.Timeout] != 3 {
		t.Errorf("edge during the fault: %+v", e)
	}
	if n := len(result.Timeline); n != 10 {
		t.Errorf("%d seconds, want 10", n)
	}
	for i, s := range result.Timeline {
		if want := map[bool]int64{true: 10, false: 20}[i < 2]; s.Requests() != want || s.Errors() > 0 != (i >= 3 && i < 6) {
			t.Errorf("second %d: %+v", i, s)
		}
	}
}

func TestChecksAreJudged(t *testing.T) {
	e := shopRun()
	e.Checks = []experiment.Check{
		{Expr: "p99 < 50ms", Phase: "before"},
		{Expr: "p99 < 50ms", Phase: "during"},
		{Expr: "timeouts == 60"},
		{Expr: "availability > 99%"},
		{Expr: "rate >= 20", Phase: "steady"},
		{Expr: "errors < 11%", Service: "cart"},
		{Expr: "errors < 1%", Service: "db"},
		{Expr: "p99 < 20s", From: "cart", Service: "db"},
		{Expr: "timeouts < 6%", From: "cart", Service: "db", Phase: "after"},
		{Expr: "p99 < 1s", From: "web", Service: "cart"},
		{Expr: "availability >= 100%", Service: "cart"},
		{Expr: "recovery < 1s"},
	}
	result, _, err := play(t, e, &fakeWorld{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"pass p99 10ms",
		"FAIL p99 300ms",
		"pass timeouts 60",
		"FAIL availability 66.667%",
		"pass rate 20/s",
		"pass errors 10%",
		`FAIL no data: service "db" was not watched in the run`,
		"FAIL not known: p99 is at least 1s",
		`pass timeouts 5%`,
		`FAIL no data: "web" made no calls to "cart" in the run`,
		"pass availability 100%",
		"FAIL no data: no replica went down",
	}
	for i, c := range result.Checks {
		got := map[bool]string{true: "pass ", false: "FAIL "}[c.Pass] + c.Why
		if got != want[i] {
			t.Errorf("check %q of %s: %q, want %q", c.Expr, c.Subject(), got, want[i])
		}
	}
}

func TestRunInterruptedAtEveryStage(t *testing.T) {
	for _, after := range []time.Duration{0, 500 * time.Millisecond, 1200 * time.Millisecond, 3200 * time.Millisecond, 5200 * time.Millisecond, 9200 * time.Millisecond} {
		world := &fakeWorld{deployTime: time.Second}
		stop := errors.New("stopped by hand")
		result, _, err := play(t, shopRun(), world, func(ctx context.Context, _ *Deps, _ *fakeLoader, _ *fakeCollector) context.Context {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(after, func() { cancel(stop) })
			return ctx
		})
		if err == nil || result == nil || !result.Incomplete || result.Passed || result.Why == "" {
			t.Fatalf("after %v: %v, result %+v", after, err, result)
		}
		deployed := after > time.Second
		if deployed != (world.closed == 1) || world.closeCtx != nil {
			t.Errorf("after %v: closed %d times, its ctx %v", after, world.closed, world.closeCtx)
		}
		if len(world.active) > 0 {
			t.Errorf("after %v: faults still act: %v", after, world.active)
		}
		if deployed {
			if !errors.Is(err, stop) {
				t.Errorf("after %v: %v", after, err)
			}
			if loaded := after > 1700*time.Millisecond; loaded && result.Segments[0].Clients.Requests == 0 {
				t.Errorf("after %v: nothing was kept", after)
			}
		}
		if after == 5200*time.Millisecond {
			if rec := result.Faults[0]; rec.From != 3 || rec.To < 3.5 || rec.To > 3.8 || !rec.Applied() {
				t.Errorf("ground truth of a fault that was cut short: %+v", rec)
			}
		}
	}
}

func TestRunInTrouble(t *testing.T) {
	boom := errors.New("boom")
	for name, test := range map[string]struct {
		world   *fakeWorld
		change  func(*Deps, *fakeLoader, *fakeCollector)
		want    string
		closed  int
		partial bool
	}{
		"deploy":  {world: &fakeWorld{deployErr: boom}, want: `deploying system "shop": boom`},
		"refused": {world: &fakeWorld{refuse: fault.Latency}, change: foresee, want: "is not possible on target", closed: 0},
		"unknown": {world: &fakeWorld{unknown: "cart"}, change: foresee, want: `deploying system "shop": no such service here`, closed: 0},
		"inject":  {world: &fakeWorld{injectErr: func(string) error { return boom }}, want: `applying fault "latency-1" (latency cart): boom`, closed: 1, partial: true},
		"clear":   {world: &fakeWorld{clearErr: boom}, want: `clearing fault "latency-1" (latency cart): boom`, closed: 1, partial: true},
		"load":    {change: func(_ *Deps, l *fakeLoader, _ *fakeCollector) { l.err, l.after = boom, 4*time.Second }, want: `putting load on system "shop": boom`, closed: 1, partial: true},
		"collect": {change: func(_ *Deps, _ *fakeLoader, c *fakeCollector) { c.startErr = boom }, want: `watching system "shop": boom`, closed: 1},
		"stop":    {change: func(_ *Deps, _ *fakeLoader, c *fakeCollector) { c.stopErr = boom }, want: `ending the watch over system "shop": boom`, closed: 1, partial: true},
		"close":   {world: &fakeWorld{closeErr: boom}, want: `cleaning up: left behind system "shop": boom`, closed: 1, partial: true},
	} {
		t.Run(name, func(t *testing.T) {
			world := cmp.Or(test.world, &fakeWorld{})
			var collector *fakeCollector
			result, _, err := play(t, shopRun(), world, func(ctx context.Context, d *Deps, l *fakeLoader, c *fakeCollector) context.Context {
				collector = c
				if test.change != nil {
					test.change(d, l, c)
				}
				return ctx
			})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v, want %q in it", err, test.want)
			}
			if world.closed != test.closed {
				t.Errorf("closed %d times, want %d", world.closed, test.closed)
			}
			if collector.stop != nil && collector.stopped != 1 {
				t.Errorf("the collector was stopped %d times", collector.stopped)
			}
			if cleanup := (*CleanupError)(nil); errors.As(err, &cleanup) != (name == "close") {
				t.Errorf("%v: taken for a clean-up error: %v", err, name != "close")
			}
			if name == "refused" || name == "unknown" {
				if result != nil {
					t.Error("there is a result of nothing")
				}
				return
			}
			if result.Incomplete != (name != "close") {
				t.Errorf("incomplete is %v", result.Incomplete)
			}
			if test.partial && len(result.Segments) == 0 {
				t.Error("nothing was kept")
			}
		})
	}
}

// foresee lets the deployer know beforehand what is not possible.
func foresee(d *Deps, l *fakeLoader, _ *fakeCollector) { d.Deployer = refusingWorld{l.world} }

// TestRefusedByDeployment covers deployers that do not know beforehand.
func TestRefusedByDeployment(t *testing.T) {
	world := &fakeWorld{refuse: fault.Latency}
	_, _, err := play(t, shopRun(), world, func(ctx context.Context, d *Deps, _ *fakeLoader, _ *fakeCollector) context.Context {
		d.Deployer = struct{ Deployer }{world}
		return ctx
	})
	if err == nil || !strings.Contains(err.Error(), "is not possible on target") || !slices.Equal(world.log, []string{"close"}) {
		t.Errorf("%v; the world saw %q", err, world.log)
	}
}

func TestSecondFaultFailsHalfWay(t *testing.T) {
	e := shopRun()
	later := e.Faults[0]
	later.Start += later.Start / 3
	e.Faults = append(e.Faults, later)
	world := &fakeWorld{injectErr: func(id string) error {
		if id == "latency-2" {
			return errors.New("boom")
		}
		return nil
	}}
	result, _, err := play(t, e, world, nil)
	if err == nil || !strings.Contains(err.Error(), "latency-2") {
		t.Fatal(err)
	}
	want := []string{"inject latency-1", "inject latency-2", "clear latency-1", "clear latency-2", "close"}
	if len(world.log) == len(want) {
		slices.Sort(world.log[2:4]) // they are cleared at the same time
	}
	if !slices.Equal(world.log, want) {
		t.Errorf("the world saw %q, want %q", world.log, want)
	}
	if f := result.Faults; f[0].From != 3 || f[0].To < 4 || f[0].To > 4.3 || f[1].Applied() || f[1].Error != "boom" {
		t.Errorf("ground truth %+v", f)
	}
}

func TestRoundsAndRecoveries(t *testing.T) {
	e := shopRun()
	e.Faults = []fault.Fault{{
		Name: "chaos", Type: fault.Kill, Start: aSecond, Duration: aSecond / 2, Probability: 1,
		Rounds: &fault.Rounds{Count: 6, Interval: aSecond + aSecond/2, Victims: []string{"web", "cart", "db", fault.Nobody}},
	}}
	e.Checks = []experiment.Check{{Expr: "recovery < 1s"}, {Expr: "detection <= 100ms"}}
	world := &fakeWorld{downFor: 730 * time.Millisecond}
	result, _, err := play(t, e, world, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, _, _ := play(t, e, &fakeWorld{downFor: 730 * time.Millisecond}, nil)
	replicas, falls := map[string]int{"web": 1, "cart": 2, "db": 1, fault.Nobody: 0}, 0
	nobody := 0
	for i, rec := range result.Faults {
		falls += replicas[rec.Victim]
		if rec.Victim == fault.Nobody {
			nobody++
		}
		if rec.Victim != again.Faults[i].Victim || rec.Round != i+1 || !rec.Applied() || rec.ClearedAt.IsZero() || rec.From != 1+1.5*float64(i) {
			t.Errorf("round %d: %+v", i, rec)
		}
	}
	if nobody == 0 || nobody == len(result.Faults) {
		t.Fatalf("choose another seed: %d rounds without a victim", nobody)
	}
	if want := 2*(len(result.Faults)-nobody) + 1; len(world.log) != want {
		t.Errorf("the world saw %q, want %d entries", world.log, want)
	}
	if len(result.Recoveries) != falls {
		t.Errorf("%d falls, want %d", len(result.Recoveries), falls)
	}
	for _, r := range result.Recoveries {
		if r.Took < 0.729 || r.Took > 0.731 || r.Detection < 0 || r.Detection > 0.1 || r.Fault == "" {
			t.Errorf("recovery %+v", r)
		}
	}
	if !result.Passed {
		t.Errorf("checks %+v", result.Checks)
	}
}

func TestResultIsStableJSON(t *testing.T) {
	result, _, err := play(t, shopRun(), &fakeWorld{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"apiVersion", "kind", "name", "seed", "target", "environment", "started", "loadStarted", "ended", "incomplete", "passed", "checks", "faults", "recoveries", "segments", "load"} {
		if top[field] == nil || string(top[field]) == "null" {
			t.Errorf("field %q is %s", field, top[field])
		}
	}
}
