package runner

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// aheadBy is a clock that is ahead of that of the machine.
type aheadBy time.Duration

func (c aheadBy) Now() time.Time { return time.Now().Add(time.Duration(c)) }

func (c aheadBy) WaitUntil(ctx context.Context, at time.Time) bool {
	return realClock{}.WaitUntil(ctx, at.Add(-time.Duration(c)))
}

// aheadCollector stamps samples by the clock of the run.
type aheadCollector struct {
	fakeCollector
	ahead time.Duration
}

func (c *aheadCollector) Start(ctx context.Context, replicas func(context.Context) ([]Replica, error), observe func(measure.Sample)) error {
	return c.fakeCollector.Start(ctx, replicas, func(s measure.Sample) {
		s.At = s.At.Add(c.ahead)
		observe(s)
	})
}

// Every moment of a result comes from the clock of the run, and no span does.
func TestTimesAreThoseOfTheClock(t *testing.T) {
	const ahead = 12 * time.Hour
	playAhead := func(by time.Duration) *result.Result {
		world := &fakeWorld{}
		r, _, err := play(t, shopRun(), world, func(ctx context.Context, d *Deps, _ *fakeLoader, _ *fakeCollector) context.Context {
			d.Clock, d.Collector = aheadBy(by), &aheadCollector{ahead: by}
			return ctx
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	here, there := playAhead(0), playAhead(ahead)
	moments := func(r *result.Result) map[string]time.Time {
		rec := r.Faults[0]
		return map[string]time.Time{
			"started": r.Started, "loadStarted": r.LoadStarted, "ended": r.Ended, "orderedAt": rec.OrderedAt, "appliedAt": rec.AppliedAt,
			"clearOrderedAt": rec.ClearOrderedAt, "clearedAt": rec.ClearedAt,
		}
	}
	later := moments(there)
	for name, at := range moments(here) {
		if got := later[name].Sub(at); got != ahead {
			t.Errorf("%s is %v later, want %v", name, got, ahead)
		}
	}
	for i, s := range here.Segments {
		o := there.Segments[i]
		if s.Name != o.Name || s.From != o.From || s.To != o.To || s.Clients.Requests != o.Clients.Requests || len(s.Services) != len(o.Services) {
			t.Errorf("segment %q differs: %+v and %+v", s.Name, s, o)
		}
	}
}

// stopped is a clock that wakes nobody for a time, as for a program that is stopped.
type stopped struct{ from, to time.Time }

func (stopped) Now() time.Time { return time.Now() }

func (c stopped) WaitUntil(ctx context.Context, at time.Time) bool {
	if at.After(c.from) && at.Before(c.to) {
		at = c.to
	}
	return realClock{}.WaitUntil(ctx, at)
}

// A time in which the program did not run is noted, a moment is not.
func TestStandstillsAreNoted(t *testing.T) {
	for length, want := range map[time.Duration]int{900 * time.Millisecond: 0, 3 * time.Second: 1} {
		r, _, err := play(t, shopRun(), &fakeWorld{}, func(ctx context.Context, d *Deps, _ *fakeLoader, _ *fakeCollector) context.Context {
			from := time.Now().Add(4100 * time.Millisecond)
			d.Clock = stopped{from, from.Add(length)}
			return ctx
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Standstills) != want || want == 1 && (r.Standstills[0].From != 3.25 || r.Standstills[0].To != 6.4) || (want == 0) != (r.StandstillText() == "") {
			t.Errorf("of %v, there are the standstills %+v: %s", length, r.Standstills, r.StandstillText())
		}
	}
}

func TestEveryLeavesOutTurnsItHasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var turns []time.Duration
		var ticking sync.WaitGroup
		ticking.Go(func() {
			every(ctx, realClock{}, time.Second, func() {
				turns = append(turns, time.Since(began))
				if len(turns) == 2 {
					time.Sleep(2500 * time.Millisecond) // past the turns at 3 and 4 s
				}
			})
		})
		time.Sleep(6500 * time.Millisecond)
		cancel()
		ticking.Wait()
		want := []time.Duration{1, 2, 5, 6}
		for i := range want {
			if len(turns) != len(want) || turns[i] != want[i]*time.Second {
				t.Fatalf("turns at %v, want %v s", turns, want)
			}
		}
	})
}
