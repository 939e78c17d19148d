package virtual

import (
	"context"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A program that is woken up after whole milliseconds, 0.1 ms late, sleeps longer than it
// wants: so much longer that the last of its waits, each of which begins when it is woken
// up too early, is over.
func TestSleepsEndAfterWholeTicks(t *testing.T) {
	for _, c := range []struct {
		tick, sleep, want time.Duration
	}{
		{0, 1500 * time.Microsecond, 1600 * time.Microsecond},
		{ms, 100 * time.Microsecond, 1100 * time.Microsecond},
		{ms, 900 * time.Microsecond, 1100 * time.Microsecond},
		{ms, ms, 1100 * time.Microsecond},
		{ms, 1200 * time.Microsecond, 2200 * time.Microsecond},
		{ms, 1500 * time.Microsecond, 2200 * time.Microsecond},
		{ms, 2 * ms, 2200 * time.Microsecond},
		{ms, 3500 * time.Microsecond, 4200 * time.Microsecond},
		{ms, 5 * ms, 5200 * time.Microsecond},
	} {
		if got := sleepsFor(t, c.tick, c.sleep, 10); got != c.want {
			t.Errorf("a sleep of %s takes %s, want %s", c.sleep, got, c.want)
		}
	}
}

// The more happens beside, the earlier it is noticed that a short sleep is over.
func TestSleepsAreNoticedByOthers(t *testing.T) {
	last := 2 * ms
	for _, rate := range []float64{20, 1000, 4000} {
		got := sleepsFor(t, ms, 100*time.Microsecond, rate)
		if got >= last || got < 100*time.Microsecond {
			t.Errorf("under %v requests a second, a sleep of 100 us takes %s; under less, %s", rate, got, last)
		}
		last = got
	}
}

// sleepsFor is how long a sleep takes at the median, to a tenth of a millisecond, under
// a load of which a tenth sleeps.
func sleepsFor(t *testing.T, tick, sleep time.Duration, rate float64) time.Duration {
	t.Helper()
	e := experiment.Experiment{Name: "sleeps", Seed: 1, System: topology.System{Name: "sleeps", Services: []topology.Service{
		topology.NewService("sleeper", topology.Step{Work: &topology.Work{Sleep: dist.Fixed(sleep)}}), topology.NewService("leaf"),
	}}, Load: load.Profile{
		Requests: []load.Request{{Service: "sleeper", Weight: 1}, {Service: "leaf", Weight: 9}},
		Phases:   []load.Phase{{Rate: rate, Arrivals: load.Poisson, Duration: unit.Duration(20 * time.Second)}},
	}}
	m := Machine{Latency: -1, RequestCPU: -1, ConnectionCPU: -1, SleepLate: 100 * time.Microsecond, SleepTick: tick}
	r, err := Run(context.Background(), e, Options{Machine: m})
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Load.Requests[0].Stats.Latency.P50 * 1e9).Round(ms / 10)
}
