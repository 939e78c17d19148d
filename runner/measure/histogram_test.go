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
)

func TestHistogramQuantilesAreNear(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var values []float64
	for range 20000 {
		d := time.Duration(math.Exp(random.Float64()*18)) * time.Microsecond / 10
		d = max(d, 1)
		h.record(d)
		values = append(values, d.Seconds())
	}
	slices.Sort(values)
	var d distribution
	d.add(&h)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
		if got := d.quantile(q); math.Abs(got-want) > 0.008*want+0.6e-6 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if l := d.latency(); l.Min != values[0] || l.Max != values[len(values)-1] {
		t.Errorf("min %v, max %v; want %v, %v", l.Min, l.Max, values[0], values[len(values)-1])
	}
}

func TestHistogramTakesExtremes(t *testing.T) {
	var h histogram
	for _, v := range []time.Duration{-1, 0, 1, math.MaxInt64} {
		h.record(v)
	}
	var d distribution
	d.add(&h)
	if d.count != 4 || d.min != 1 || d.max != math.MaxInt64 {
		t.Errorf("%d values from %v to %v", d.count, d.min, d.max)
	}
}

func TestDistributionSince(t *testing.T) {
	var h histogram
	h.record(time.Millisecond)
	var first, second distribution
	first.add(&h)
	for range 10 {
		h.record(time.Second)
	}
	second.add(&h)
	delta := second.Since(&first)
	if l := delta.latency(); delta.count != 10 || math.Abs(l.P50-1) > 0.008 || math.Abs(l.Min-1) > 0.016 || math.Abs(l.Mean-1) > 1e-9 {
		t.Errorf("%d values, %+v", delta.count, l)
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
	if cells.outcomes != total.outcomes || seconds != 8000 || cells.latency.count != total.latency.count {
		t.Errorf("by cell %v, in total %v, by second %d", cells.outcomes, total.outcomes, seconds)
	}
}

func TestBucketsOfOtherBounds(t *testing.T) {
	var b buckets
	b.add([]float64{0.1, 0.2}, []int64{1, 2, 3}, 1)
	b.add([]float64{0.05, 0.15, 0.9}, []int64{1, 1, 1, 1}, 1)
	if !slices.Equal(b.counts, []int64{2, 3, 5}) || b.Sum != 2 {
		t.Errorf("counts %v, sum %v", b.counts, b.Sum)
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
