package runner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// segmentOf returns a part of a result.
func segmentOf(t *testing.T, r *result.Result, name string) result.Segment {
	t.Helper()
	for _, s := range r.Segments {
		if s.Kind == result.FaultPart && s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no part %q", name)
	return result.Segment{}
}

// A fault that is asked for at 3 s acts from 5.2 s; it is asked to end at 6 s,
// ends at once, and is known to be gone 1.5 s later.
func TestLateFaultMovesItsWindow(t *testing.T) {
	world := &fakeWorld{injectTime: 2200 * time.Millisecond, clearTime: 1500 * time.Millisecond}
	r, _, err := play(t, shopRun(), world, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := r.Faults[0]
	got := []float64{rec.PlannedFrom, rec.AskedFrom, rec.From, rec.PlannedTo, rec.AskedTo, rec.To}
	if want := []float64{3, 3, 5.2, 6, 6, 7.5}; !slices.Equal(got, want) {
		t.Errorf("planned, asked, effective begin and end are %v, want %v", got, want)
	}
	if from, to := rec.AppliedAt.Sub(rec.OrderedAt), rec.ClearedAt.Sub(rec.ClearOrderedAt); from != 2200*time.Millisecond || to != 1500*time.Millisecond {
		t.Errorf("it took %v to act and %v to end", from, to)
	}
	// Requests go out every 50 ms from 5 ms on, and 100 ms apart in the first 2 s.
	for _, want := range []struct {
		name             string
		from, to         float64
		requests, errors int64
	}{
		{experiment.Before, 0, 3, 40, 0},
		{experiment.During, 5.2, 6, 16, 16},
		{experiment.After, 7.5, 10, 50, 0},
	} {
		s := segmentOf(t, r, want.name)
		if s.From != want.from || s.To != want.to || s.Clients.Requests != want.requests || s.Clients.Errors != want.errors {
			t.Errorf("%s: from %v to %v, %d requests, %d errors; want %+v", want.name, s.From, s.To, s.Clients.Requests, s.Clients.Errors, want)
		}
	}
	if whole := r.Segments[0].Clients; whole.Requests != 180 || whole.Errors != 16 {
		t.Errorf("the whole run has %d requests, %d errors", whole.Requests, whole.Errors)
	}
	// A sample a second: those of the middle of 3.2 to 5.2 s and of 6 to 7.5 s
	// belong to no part.
	if n := segmentOf(t, r, experiment.During).Services[0].Seconds; n != 1 {
		t.Errorf("%v s of the service are during the fault, want 1", n)
	}
}

// A fault that never came into effect has nothing during it.
func TestFaultThatNeverActedHasNoDuring(t *testing.T) {
	r, _, err := play(t, shopRun(), &fakeWorld{injectErr: func(string) error { return errors.New("boom") }}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, s := range r.Segments {
		if s.Name == experiment.During || s.Name == experiment.After {
			t.Errorf("there is a part %q from %v to %v", s.Name, s.From, s.To)
		}
	}
}

// A kill has done its harm when it is known to have acted.
func TestKillCountsFromItsOrder(t *testing.T) {
	e := shopRun()
	e.Faults[0] = fault.Fault{Type: fault.Kill, Target: fault.Target{Service: "cart"}, Start: 3 * aSecond, Probability: 1}
	r, _, err := play(t, e, &fakeWorld{injectTime: time.Second, downFor: time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := segmentOf(t, r, experiment.During); s.From != 3 || s.To != 10 || r.Faults[0].From != 4 {
		t.Errorf("during a kill: %v to %v, its record %+v", s.From, s.To, r.Faults[0])
	}
}

func TestFaultsArePreparedBeforeTheLoad(t *testing.T) {
	prepared := func(world *fakeWorld) func(context.Context, *Deps, *fakeLoader, *fakeCollector) context.Context {
		return func(ctx context.Context, d *Deps, _ *fakeLoader, _ *fakeCollector) context.Context {
			d.Deployer = preparedWorld{world}
			return ctx
		}
	}
	e := shopRun()
	// Only what is drawn and comes before the end is prepared.
	e.Faults = append(e.Faults, fault.Fault{
		Name: "chaos", Type: fault.Pause, Start: aSecond, Duration: aSecond / 2, Probability: 1,
		Rounds: &fault.Rounds{Count: 2, Interval: aSecond, Victims: []string{fault.Nobody}},
	})
	world := &fakeWorld{}
	_, events, err := play(t, e, world, prepared(world))
	if err != nil || !slices.Equal(world.log[:2], []string{"prepare latency cart", "inject latency-1"}) {
		t.Errorf("%v; the world saw %q", err, world.log)
	}
	if slices.Index(events, "Deployed") > slices.Index(events, "LoadBegun") {
		t.Errorf("events %q", events)
	}

	world = &fakeWorld{prepareErr: errors.New("no helper starts: quota")}
	r, events, err := play(t, shopRun(), world, prepared(world))
	if err == nil || !strings.Contains(err.Error(), `preparing the faults on system "shop": no helper starts: quota`) {
		t.Errorf("error %v", err)
	}
	if slices.Contains(events, "LoadBegun") || r == nil || !r.Incomplete || !r.LoadStarted.IsZero() {
		t.Errorf("events %q, result %+v", events, r)
	}
	if !slices.Equal(world.log, []string{"prepare latency cart", "close"}) {
		t.Errorf("the world saw %q", world.log)
	}

	e.Faults = e.Faults[1:]
	world = &fakeWorld{}
	if _, _, err := play(t, e, world, prepared(world)); err != nil || !slices.Equal(world.log, []string{"close"}) {
		t.Errorf("without a fault that acts: %v, the world saw %q", err, world.log)
	}
}
