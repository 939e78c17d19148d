// Package measure turns what is seen during a run into figures. Its aggregators
// read no clock: they are told when each thing happened.
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

// Clients aggregates the outcomes of the load: by the intended start of each
// request, and by its end. Observe is called by many goroutines, tens of
// thousands of times a second, and takes no lock once a second has its cells.
type Clients struct {
	clock *Schedule
	total cell
	// cells are of requests by phase and part of their start, ends of requests by
	// slot and part of their end.
	cells []cell
	ends  []ends
	// seconds are by intended start, endSeconds by end.
	seconds    series[cell]
	endSeconds series[ends]
	// lastEnd is when the last request ended, in nanoseconds.
	lastEnd atomic.Int64
}

// A cell counts requests by outcome. Those of degraded are among the good ones.
type cell struct {
	outcomes [outcome.Count]atomic.Int64
	degraded atomic.Int64
	latency  stats.Recorder
}

// Ends count requests that ended: all of them, and those that ended well at
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

// raise sets v to a higher value; a lower one changes nothing.
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

// A series has a value for each stretch of time of one length, from the start of
// the load on.
type series[T any] struct {
	made atomic.Pointer[[]*T]
	grow sync.Mutex
}

// list is what there is so far.
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

// classIndex is the place of a class in Classes; an unknown one counts as
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

// Sum is the tally of all outcomes so far.
func (c *Clients) Sum() Tally {
	var t Tally
	t.add(&c.total)
	return t
}

// Since returns what was counted after an earlier tally of the same cells.
func (t *Tally) Since(earlier *Tally) Tally {
	delta := Tally{outcomes: t.outcomes, degraded: t.degraded - earlier.degraded, latency: t.latency.since(&earlier.latency)}
	for i := range delta.outcomes {
		delta.outcomes[i] -= earlier.outcomes[i]
	}
	return delta
}

// Summary is the latencies' summary; nil where nothing was counted.
func (t *Tally) Summary() *result.Latency { return t.latency.latency() }

// Second is what was seen in a stretch whose requests were told of as they
// ended.
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

// ended counts the requests that ended, and those that ended well at every hop.
func (t *Tally) ended() (all, good int64) {
	outcomes := t.ByClass()
	return result.CountEnded(outcomes), outcomes[outcome.OK] - t.degraded
}

// stats are the figures of requests that were to start in a stretch in which the
// load was sent for some seconds, and of which others ended in its whole length.
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

// Timeline returns a row for each second, up to the end of the load and of its
// last request: with the requests that were to start in it, and with those that
// ended in it. Less than half a second at the end belongs to the row before: a
// request that ends in the first millisecond of a second makes no rate.
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

// row sums the seconds from one to before another.
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

// Until is the end of the load or of its last request, whichever is later.
func (c *Clients) Until(end time.Duration) time.Duration {
	return max(end, time.Duration(c.lastEnd.Load()))
}
