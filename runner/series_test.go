package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// roundCollector samples every service of shopRun() once a second. They are busy
// until a moment, counted from the start of the watching.
type roundCollector struct {
	busyFor time.Duration
	stop    chan struct{}
	done    sync.WaitGroup
}

func (c *roundCollector) Start(_ context.Context, _ func(context.Context) ([]Replica, error), observe func(measure.Sample)) error {
	c.stop = make(chan struct{})
	began := time.Now()
	c.done.Go(func() {
		for ended := false; !ended; {
			select {
			case <-time.After(time.Second):
			case <-c.stop:
				ended = true
			}
			now := time.Now()
			for _, name := range []string{"web", "cart", "db"} {
				s := measure.Sample{At: now, Elapsed: time.Second, Service: name, Up: 1, Replicas: 1}
				if now.Sub(began) < c.busyFor {
					s.Requests, s.InFlight = 5, 1
					s.Calls = []measure.CallSample{{Callee: "x", Calls: map[outcome.Class]int64{outcome.Timeout: 2}}}
				}
				observe(s)
			}
		}
	})
	return nil
}

func (c *roundCollector) Stop() error {
	close(c.stop)
	c.done.Wait()
	return nil
}

// playAll is RunAll in a world of fakes.
func playAll(t *testing.T, e experiment.Experiment, names []string, seeds []uint64, change func(context.Context, *Deps, *fakeWorld) context.Context) (c *result.Comparison, events []string, err error) {
	t.Helper()
	world := &fakeWorld{}
	synctest.Test(t, func(t *testing.T) {
		deps := Deps{Deployer: world, Loader: &fakeLoader{world: world}, Collector: &roundCollector{}, Target: "local"}
		ctx := context.Background()
		if change != nil {
			ctx = change(ctx, &deps, world)
		}
		c, err = RunAll(ctx, e, names, seeds, deps, func(event Event) {
			switch ev := event.(type) {
			case RunBegun:
				events = append(events, fmt.Sprintf("%d of %d: %s seed %d, %s left", ev.Index+1, ev.Of, ev.Variant, ev.Seed, ev.AtMost))
			case RunEnded:
				events = append(events, fmt.Sprintf("ended, complete %v", ev.Result != nil && !ev.Result.Incomplete))
			}
		})
	})
	if world.closed != world.deployed {
		t.Errorf("%d deployments, of which %d were closed", world.deployed, world.closed)
	}
	return c, events, err
}

// Later runs are expected to start and end as fast as earlier ones did.
func TestRunAllExpectsStartsAndEnds(t *testing.T) {
	var around []time.Duration
	synctest.Test(t, func(t *testing.T) {
		world := &fakeWorld{deployTime: 3 * time.Second}
		deps := Deps{Deployer: world, Loader: &fakeLoader{world: world}, Collector: &roundCollector{}, Target: "local"}
		_, err := RunAll(t.Context(), shopVariants(), []string{"sound"}, []uint64{1, 2, 3}, deps, func(event Event) {
			if e, ok := event.(RunBegun); ok {
				around = append(around, e.Around)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	// A load ends with its last request, a little before its time is over.
	const slack = 200 * time.Millisecond
	for i, want := range []time.Duration{0, 6 * time.Second, 3 * time.Second} {
		if around[i] > want || around[i] < want-slack {
			t.Errorf("around the loads of run %d and later, %v are expected, want %v", i+1, around[i], want)
		}
	}
}

func TestRunAll(t *testing.T) {
	c, events, err := playAll(t, shopVariants(), []string{"so", "slow"}, []uint64{1, 2, 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 12 || events[0] != "1 of 6: sound seed 1, 1m0s left" || events[10] != "6 of 6: slow seed 3, 10s left" {
		t.Errorf("events %q", events)
	}
	if c.Incomplete || c.Passed || len(c.Results) != 6 || c.Results[5].Variant != "slow" || c.Results[5].Seed != 3 {
		t.Errorf("comparison %+v", c)
	}
	if r := c.Ranking; r[0].Variant != "sound" || r[0].Value.Mean != 18 || r[1].Variant != "slow" || r[1].Place != 2 {
		t.Errorf("ranking %+v of %+v", r, r[0].Value)
	}
	sound := c.Variants[0]
	if sound.Finished != 3 || !closeTo(*sound.Goodput.Low, 18) || sound.Outcomes[outcome.Timeout] != nil || sound.Tail != nil {
		t.Errorf("sound: %+v", sound)
	}
	if slow := c.Variants[1]; !closeTo(slow.Outcomes[outcome.Timeout].Mean, 1.0/3) || slow.Passed || slow.Checks[0].Why == "" {
		t.Errorf("slow: %+v", slow)
	}
	var one, two bytes.Buffer
	if err := errors.Join(c.Encode(&one), c.Encode(&two)); err != nil || one.String() != two.String() || !strings.Contains(one.String(), `"kind": "Comparison"`) {
		t.Errorf("JSON %v\n%s", err, one.String())
	}
}

func closeTo(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

func TestRunAllWithoutVariantsRepeats(t *testing.T) {
	c, _, err := playAll(t, shopRun(), nil, []uint64{1, 2}, nil)
	if err != nil || len(c.Results) != 2 || len(c.Variants) != 1 || c.Variants[0].Name != "" || c.Variants[0].Finished != 2 {
		t.Errorf("%v: %+v", err, c)
	}
}

func TestRunAllKeepsWhatIsFinished(t *testing.T) {
	c, events, err := playAll(t, shopVariants(), nil, nil, func(ctx context.Context, _ *Deps, _ *fakeWorld) context.Context {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(14*time.Second, func() { cancel(errors.New("enough")) })
		return ctx
	})
	if err == nil || !strings.Contains(err.Error(), `running variant "sound" with seed 7`) || !strings.Contains(err.Error(), "enough") {
		t.Errorf("error %v", err)
	}
	if !c.Incomplete || c.Passed || len(c.Results) != 2 || c.Variants[0].Finished != 1 || c.Variants[1].Finished != 0 || c.Variants[2].Planned != 1 {
		t.Errorf("comparison %+v", c)
	}
	if r := c.Ranking; r[0].Variant != "slow" || r[1].Value != nil || r[2].Value != nil {
		t.Errorf("ranking %+v", r)
	}
	if events[len(events)-1] != "ended, complete false" {
		t.Errorf("events %q", events)
	}
}

// TestRunAllRefusesBeforeItsFirstRun has a fault in the second variant alone that is
// not possible: nothing of the first is played.
func TestRunAllRefusesBeforeItsFirstRun(t *testing.T) {
	e := shopVariants()
	e.Variants[0], e.Variants[1] = e.Variants[1], e.Variants[0] // that without faults first
	var world *fakeWorld
	c, events, err := playAll(t, e, nil, []uint64{1, 2}, func(ctx context.Context, d *Deps, w *fakeWorld) context.Context {
		world = w
		world.refuse = fault.Latency
		d.Deployer = refusingWorld{w}
		return ctx
	})
	const want = `running variant "slow" with seed 1: fault`
	if c != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "is not possible on target") != 1 {
		t.Errorf("%v; want %s, once", err, want)
	}
	if len(events) > 0 || len(world.log) > 0 {
		t.Errorf("something was done: %q, %q", events, world.log)
	}
}

func TestRunAllRefuses(t *testing.T) {
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{"slwo"}, `no variant "slwo" (did you mean "slow"?)`},
		{[]string{"slow", "slow"}, "named twice"},
		{[]string{"slow", "sl"}, "named twice"},
		{[]string{"s"}, "known are slow, sound, wide"},
	} {
		if c, _, err := playAll(t, shopVariants(), test.names, nil, nil); c != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.names, err, test.want)
		}
	}
	c, _, err := playAll(t, shopVariants(), nil, nil, func(ctx context.Context, _ *Deps, w *fakeWorld) context.Context {
		w.deployErr = errors.New("no room")
		return ctx
	})
	if err == nil || !strings.Contains(err.Error(), "no room") || c == nil || c.Variants[0].Finished != 0 {
		t.Errorf("a deployment that fails: %v, %+v", err, c)
	}
}

func TestAbortOn(t *testing.T) {
	e := shopRun()
	e.AbortOn = []experiment.Check{{Expr: "errors > 50%"}}
	e.AbortWindow = 2 * aSecond
	result, events, err := play(t, e, &fakeWorld{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The errors begin at 3 s; 300 ms later they are seen.
	if a := result.Aborted; a == nil || a.At < 4 || a.At > 5.1 || a.Value <= 0.5 || !strings.Contains(a.Why, "errors of clients was ") {
		t.Fatalf("aborted %+v", result.Aborted)
	}
	if !result.Incomplete || result.Passed || !slices.Contains(events, "cleared latency-1") || result.Load == nil {
		t.Errorf("incomplete %v, passed %v, events %q", result.Incomplete, result.Passed, events)
	}
	e.AbortOn = []experiment.Check{{Expr: "timeouts > 0", Service: "db", From: "cart"}}
	if result, _, err = play(t, e, &fakeWorld{}, nil); err != nil || result.Aborted == nil || result.Aborted.At > 2.2 {
		t.Errorf("by an edge: %v, %+v", err, result.Aborted)
	}
	e.AbortOn = []experiment.Check{{Expr: "errors > 99.9%", Service: "cart"}}
	if result, _, err = play(t, e, &fakeWorld{}, nil); err != nil || result.Aborted != nil {
		t.Errorf("what does not hold: %v, %+v", err, result.Aborted)
	}
}

func TestTail(t *testing.T) {
	for _, test := range []struct {
		busy time.Duration
		want result.Tail
	}{
		{0, result.Tail{Length: 1, Idle: true}},
		{25 * time.Second, result.Tail{Length: 15, Idle: true}},
		{time.Hour, result.Tail{Length: 60}},
	} {
		e := shopRun()
		e.Tail, e.Window = 60*aSecond, 10*aSecond
		e.Faults[0].Duration = 0
		e.Checks = []experiment.Check{{Expr: "tail <= 15s"}, {Expr: "requests == 70", Service: "cart", Phase: experiment.AfterLoad}}
		r, events, err := play(t, e, &fakeWorld{}, func(ctx context.Context, d *Deps, _ *fakeLoader, _ *fakeCollector) context.Context {
			d.Collector = &roundCollector{busyFor: test.busy}
			return ctx
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Tail; got == nil || got.Idle != test.want.Idle || got.Length < test.want.Length-0.1 || got.Length > test.want.Length+0.6 {
			t.Errorf("busy for %s: tail %+v, want %+v", test.busy, got, test.want)
		}
		if i := slices.Index(events, "TailBegun"); i < 0 || i > slices.Index(events, "cleared latency-1") {
			t.Errorf("the fault did not act in the tail: %q", events)
		}
		if test.busy != 25*time.Second {
			continue
		}
		if !r.Passed {
			t.Errorf("checks %+v", r.Checks)
		}
		whole, tail := r.Segments[0], r.Segments[len(r.Segments)-1]
		if whole.Services[1].Requests != 50 || tail.Kind != result.TailPart || tail.From != 10 || tail.Clients.Requests != 0 {
			t.Errorf("whole %+v, tail %+v", whole.Services, tail)
		}
		if n := len(r.Windows); n != 3 || r.Windows[0].Clients.Requests < 150 || r.Windows[1].Services[1].Requests != 50 || r.Windows[1].Edges[0].Outcomes[outcome.Timeout] != 20 {
			t.Errorf("windows %+v", r.Windows)
		}
	}
}
