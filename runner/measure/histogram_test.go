package measure

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func TestDistributionSince(t *testing.T) {
	var r stats.Recorder
	r.Record(time.Millisecond)
	var first, second distribution
	first.add(&r)
	for range 10 {
		r.Record(time.Second)
	}
	second.add(&r)
	delta := second.since(&first)
	if l := delta.latency(); delta.Count() != 10 || math.Abs(l.P50-1) > 0.008 || math.Abs(l.Min-1) > 0.016 || math.Abs(l.Mean-1) > 1e-9 {
		t.Errorf("%d values, %+v", delta.Count(), l)
	}
	if l := second.latency(); l.Min != 0.001 || l.Max != 1 || l.P999 != 1 {
		t.Errorf("extremes of all are %+v", l)
	}
}

// Quantiles of the whole run, a phase and a second are near the true order
// statistics of what was observed in them.
func TestClientQuantilesAreNear(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	schedule := NewSchedule(twoPhases())
	c := NewClients(schedule)
	var all, steady, second []float64
	for i := range 20000 {
		o := Outcome{Phase: i % 2, Intended: time.Duration(i%2)*2*time.Second + time.Duration(i/2%1000)*time.Millisecond, Class: outcome.OK}
		o.Latency = time.Duration(math.Exp(random.NormFloat64()) * 1e6)
		c.Observe(o)
		all = append(all, o.Latency.Seconds())
		if o.Phase == 1 {
			steady, second = append(steady, o.Latency.Seconds()), append(second, o.Latency.Seconds())
		}
	}
	system := &topology.System{Name: "none"}
	cut := &Segmenter{System: system, Schedule: schedule, Clients: c, Services: NewServices(schedule)}
	segments := cut.Segments(10 * time.Second)
	for name, pair := range map[string]struct {
		values []float64
		shown  *result.Latency
	}{"run": {all, segments[0].Clients.Latency}, "phase": {steady, segments[2].Clients.Latency}, "second": {second, c.Timeline(10 * time.Second)[2].Latency}} {
		slices.Sort(pair.values)
		for q, got := range map[float64]float64{0.5: pair.shown.P50, 0.9: pair.shown.P90, 0.99: pair.shown.P99, 0.999: pair.shown.P999} {
			want := pair.values[int(math.Ceil(q*float64(len(pair.values))-1e-9))-1]
			if math.Abs(got-want) > 0.008*want {
				t.Errorf("%s: quantile %v is %v, want %v", name, q, got, want)
			}
		}
	}
}

// A service that did not answer one look tells of both intervals at the next.
func TestRateAfterAMissedLook(t *testing.T) {
	s := NewServices(NewSchedule(twoPhases()))
	look := func(at int, counted time.Duration, requests int64, up int) {
		s.Observe(time.Duration(at)*time.Second, &Sample{Elapsed: time.Second, Counted: counted, Service: "a", Requests: requests, Errors: requests / 10, Degraded: requests / 5, Up: up, Replicas: 1,
			Calls: []CallSample{{Callee: "b", Calls: map[outcome.Class]int64{outcome.OK: requests}, Degraded: requests / 4}}})
	}
	look(3, time.Second, 20, 1)
	look(4, 0, 0, 0)
	look(5, 0, 0, 0)
	look(6, 3*time.Second, 60, 1)
	look(7, 0, 0, 0) // never heard of again
	stats, edges := s.stats([]string{"a"}, func(int, int) bool { return true })
	if a := stats[0]; a.Rate != 20 || a.Goodput != 14 || a.Degraded != 16 || a.Seconds != 5 || a.Up != 0.4 {
		t.Errorf("got %+v", a)
	}
	if ab := edges[0]; ab.Rate != 20 || ab.Goodput != 15 || ab.Degraded != 20 {
		t.Errorf("got %+v", ab)
	}
}

// twoPhases is a load of 2 s and 8 s.
func twoPhases() load.Profile {
	return load.Profile{Phases: []load.Phase{{Name: "warm", Duration: 2e9, Rate: 10}, {Name: "steady", Duration: 8e9, Rate: 20}}}
}

func TestPartOfARequest(t *testing.T) {
	c := NewSchedule(twoPhases())
	if got := c.partOf(0, time.Hour); got != 0 {
		t.Errorf("without faults all is before them, not %d", got)
	}
	c.SetFaults(FaultSpan{Asked: 3 * time.Second, From: 4 * time.Second, ClearAsked: 6 * time.Second, To: 7 * time.Second})
	for _, test := range []struct {
		from, to float64
		want     int
	}{
		{0, 1, beforeFaults},
		{2.9, 3, beforeFaults},
		{2.9, 3.1, betweenParts},
		{3, 3.1, betweenParts},
		{3.9, 4, betweenParts},
		{2.9, 4.1, duringFaults},
		{3.9, 4.1, duringFaults},
		{4, 4, duringFaults},
		{5.9, 7.5, duringFaults},
		{6, 6.1, betweenParts},
		{6.9, 7.1, betweenParts},
		{7, 7.1, afterFaults},
	} {
		if got := c.partOf(time.Duration(test.from*1e9), time.Duration(test.to*1e9)); got != test.want {
			t.Errorf("from %v to %v: %d, want %d", test.from, test.to, got, test.want)
		}
	}
}

func TestNoOutcomeIsLost(t *testing.T) {
	c := NewClients(NewSchedule(twoPhases()))
	var senders sync.WaitGroup
	for g := range 8 {
		senders.Go(func() {
			for i := range 1000 {
				c.Observe(Outcome{Phase: i % 2, Intended: time.Duration(i) * 10 * time.Millisecond, Latency: time.Duration(g+1) * time.Millisecond, Class: outcome.Classes()[i%9]})
			}
		})
	}
	senders.Wait()
	var cells, total Tally
	for i := range c.cells {
		cells.add(&c.cells[i])
	}
	total.add(&c.total)
	var seconds int64
	for _, s := range c.Timeline(10 * time.Second) {
		for _, n := range s.Outcomes {
			seconds += n
		}
	}
	if cells.outcomes != total.outcomes || seconds != 8000 || cells.latency.Count() != total.latency.Count() {
		t.Errorf("by cell %v, in total %v, by second %d", cells.outcomes, total.outcomes, seconds)
	}
}

func BenchmarkObserve(b *testing.B) {
	c := NewClients(NewSchedule(twoPhases()))
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			c.Observe(Outcome{Phase: 1, Intended: time.Duration(i%10000) * time.Millisecond, Latency: time.Duration(i%1000+500) * time.Microsecond, Class: outcome.OK})
		}
	})
}
