// Package measure turns the requests, samples and faults of a run into figures. Its
// aggregators read no clock: callers tell them when each thing happened.
package measure

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// Clients aggregates the outcomes of the load, by the intended start of each
// request and by its end. Many goroutines call Observe, tens of thousands of times
// a second, so it locks only to make the cells of a new second.
type Clients struct {
	clock *Schedule
	total cell
	// cells count requests by the phase and part of their start, ends by the slot
	// and part of their end.
	cells []cell
	ends  []ends
	// seconds count requests by intended start, endSeconds by end.
	seconds    series[cell]
	endSeconds series[ends]
	// lastEnd is when the last request ended, in nanoseconds since the zero.
	lastEnd atomic.Int64
}

// A cell counts requests by outcome. Degraded requests count as ok, too.
type cell struct {
	outcomes [outcome.Count]atomic.Int64
	degraded atomic.Int64
	latency  stats.Recorder
}

// ends counts the requests that ended, and of those the ones that ended well at
// every hop.
type ends struct{ all, good atomic.Int64 }

func NewClients(clock *Schedule) *Clients {
	return &Clients{clock: clock, cells: make([]cell, parts*len(clock.phases)), ends: make([]ends, parts*(len(clock.phases)+1))}
}

func (c *Clients) Observe(o Outcome) {
	c.clock.see(o.Phase, o.Intended)
	class := classIndex(o.Class)
	c.total.count(class, o)
	if o.Phase >= 0 && o.Phase < len(c.clock.phases) {
		c.cells[parts*o.Phase+c.clock.partOf(o.Intended, o.End())].count(class, o)
	}
	c.seconds.at(int(max(0, o.Intended)/time.Second)).count(class, o)
	if !o.Ended() {
		return
	}
	end := max(0, o.End())
	raise(&c.lastEnd, int64(end))
	c.ends[parts*c.clock.endSlot(end)+c.clock.part(end)].count(o)
	c.endSeconds.at(int(end / time.Second)).count(o)
}

// raise sets v to a value if that is higher.
func raise(v *atomic.Int64, to int64) {
	for old := v.Load(); old < to && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

func (c *cell) count(class int, o Outcome) {
	c.outcomes[class].Add(1)
	if o.Class == outcome.OK && o.Degraded {
		c.degraded.Add(1)
	}
	if o.Class != outcome.Dropped && o.Class != outcome.Cancelled {
		c.latency.Record(o.Latency)
	}
}

func (e *ends) count(o Outcome) {
	e.all.Add(1)
	if o.Good() {
		e.good.Add(1)
	}
}

// A series has a value for each second from the start of the load.
type series[T any] struct {
	made atomic.Pointer[[]*T]
	grow sync.Mutex
}

// list returns the values made so far.
func (s *series[T]) list() []*T {
	if made := s.made.Load(); made != nil {
		return *made
	}
	return nil
}

func (s *series[T]) at(i int) *T {
	i = min(i, int(experiment.MaxLength/time.Second))
	if made := s.list(); i < len(made) {
		return made[i]
	}
	s.grow.Lock()
	defer s.grow.Unlock()
	made := s.list()
	for len(made) <= i {
		made = append(made, new(T))
	}
	s.made.Store(&made)
	return made[i]
}

// classIndex is the index of a class in outcome.Classes. An unknown class counts as
// malformed, so that no outcome is lost.
func classIndex(class outcome.Class) int {
	if i := outcome.Index(class); i >= 0 {
		return i
	}
	return outcome.Index(outcome.Malformed)
}

// A Tally is the sum of cells at one moment.
type Tally struct {
	outcomes [outcome.Count]int64
	degraded int64
	latency  distribution
}

func (t *Tally) add(c *cell) {
	for i := range c.outcomes {
		t.outcomes[i] += c.outcomes[i].Load()
	}
	t.degraded += c.degraded.Load()
	t.latency.add(&c.latency)
}

// Sum returns the tally of all outcomes so far.
func (c *Clients) Sum() Tally {
	var t Tally
	t.add(&c.total)
	return t
}

// Since returns what was counted since an earlier tally of the same cells.
func (t *Tally) Since(earlier *Tally) Tally {
	delta := Tally{outcomes: t.outcomes, degraded: t.degraded - earlier.degraded, latency: t.latency.since(&earlier.latency)}
	for i := range delta.outcomes {
		delta.outcomes[i] -= earlier.outcomes[i]
	}
	return delta
}

// Summary returns the summary of the latencies, or nil if none was counted.
func (t *Tally) Summary() *result.Latency { return t.latency.latency() }

// Second returns the figures of a second in which the tally counted requests as
// they ended. at is the end of the second, since the zero of elapsed times.
func (t *Tally) Second(at time.Duration, seconds float64, phase int) result.ClientSecond {
	s := result.ClientSecond{At: at, Seconds: seconds, Phase: phase, Outcomes: t.ByClass(), Degraded: t.degraded, Latency: t.Summary()}
	s.Ended, s.Good = t.ended()
	return s
}

func (t *Tally) ByClass() map[outcome.Class]int64 {
	outcomes := map[outcome.Class]int64{}
	for i, class := range outcome.Classes() {
		if t.outcomes[i] != 0 {
			outcomes[class] = t.outcomes[i]
		}
	}
	return outcomes
}

// ended returns how many requests ended, and how many ended well at every hop.
func (t *Tally) ended() (all, good int64) {
	outcomes := t.ByClass()
	return result.CountEnded(outcomes), outcomes[outcome.OK] - t.degraded
}

// stats returns the figures of a segment. The tally has the requests that were to
// start in it; ended and good count those that ended in it. The load was sent for
// some of its length; both are in seconds.
func (t *Tally) stats(sending, length float64, ended, good int64) result.ClientStats {
	s := result.ClientStats{Outcomes: t.ByClass(), Degraded: t.degraded, Latency: t.latency.latency(), Ended: ended}
	s.Requests = result.CountRequests(s.Outcomes)
	s.Errors = s.Requests - s.Outcomes[outcome.OK]
	if sending > 0 {
		s.OfferedRate = float64(s.Requests+s.Outcomes[outcome.Cancelled]) / sending
	}
	if length > 0 {
		s.Rate, s.Goodput = float64(ended)/length, float64(good)/length
	}
	return s
}

// Timeline returns a row for each second, until the load and its last request have
// ended. A row has the requests that were to start in its second, and those that
// ended in it. A last second that is less than half full is joined to the row
// before, because a rate over some milliseconds means nothing.
func (c *Clients) Timeline(end time.Duration) []result.ClientSecond {
	n := max(len(c.seconds.list()), len(c.endSeconds.list()))
	end = c.Until(end)
	rows := make([]result.ClientSecond, 0, n)
	for i := 0; i < n; {
		next := i + 1
		if next == n-1 && end < time.Duration(next)*time.Second+time.Second/2 {
			next = n
		}
		rows = append(rows, c.row(i, next, end))
		i = next
	}
	return rows
}

// row sums the seconds of the range [from, to).
func (c *Clients) row(from, to int, end time.Duration) result.ClientSecond {
	starts, ended := c.seconds.list(), c.endSeconds.list()
	begin := time.Duration(from) * time.Second
	row := result.ClientSecond{
		At: min(time.Duration(to)*time.Second, max(end, begin+time.Millisecond)), Phase: c.clock.Phase(begin + time.Second/2),
	}
	row.Seconds = (row.At - begin).Seconds()
	var t Tally
	for i := from; i < to; i++ {
		if i < len(starts) {
			t.add(starts[i])
		}
		if i < len(ended) {
			row.Ended, row.Good = row.Ended+ended[i].all.Load(), row.Good+ended[i].good.Load()
		}
	}
	row.Outcomes, row.Degraded, row.Latency = t.ByClass(), t.degraded, t.latency.latency()
	return row
}

// Until returns the end of the load or of its last request, whichever is later.
func (c *Clients) Until(end time.Duration) time.Duration {
	return max(end, time.Duration(c.lastEnd.Load()))
}
