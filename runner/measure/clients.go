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
)

// Clients aggregates the outcomes of the load. observe is called by many
// goroutines, tens of thousands of times a second, and takes no lock once a
// second has its cell.
type Clients struct {
	clock *Schedule
	total cell
	// cells are by phase and part of the run.
	cells []cell
	// seconds are by intended start.
	seconds atomic.Pointer[[]*cell]
	grow    sync.Mutex
}

// A cell counts outcomes.
type cell struct {
	outcomes [outcome.Count]atomic.Int64
	latency  histogram
}

func NewClients(clock *Schedule) *Clients {
	c := &Clients{clock: clock, cells: make([]cell, parts*len(clock.phases))}
	c.seconds.Store(new([]*cell))
	return c
}

func (c *Clients) Observe(o Outcome) {
	c.clock.see(o.Phase, o.Intended)
	class := classIndex(o.Class)
	c.total.count(class, o)
	if o.Phase >= 0 && o.Phase < len(c.clock.phases) {
		c.cells[parts*o.Phase+c.clock.partOf(o.Intended, o.Intended+o.Latency)].count(class, o)
	}
	c.second(int(max(0, o.Intended)/time.Second)).count(class, o)
}

func (c *cell) count(class int, o Outcome) {
	c.outcomes[class].Add(1)
	if o.Class != outcome.Dropped && o.Class != outcome.Cancelled {
		c.latency.record(o.Latency)
	}
}

func (c *Clients) second(i int) *cell {
	i = min(i, int(experiment.MaxLength/time.Second))
	if seconds := *c.seconds.Load(); i < len(seconds) {
		return seconds[i]
	}
	c.grow.Lock()
	defer c.grow.Unlock()
	seconds := *c.seconds.Load()
	for len(seconds) <= i {
		seconds = append(seconds, new(cell))
	}
	c.seconds.Store(&seconds)
	return seconds[i]
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
	latency  distribution
}

func (t *Tally) add(c *cell) {
	for i := range c.outcomes {
		t.outcomes[i] += c.outcomes[i].Load()
	}
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
	delta := Tally{outcomes: t.outcomes, latency: t.latency.Since(&earlier.latency)}
	for i := range delta.outcomes {
		delta.outcomes[i] -= earlier.outcomes[i]
	}
	return delta
}

// Summary is the latencies' summary; nil where nothing was counted.
func (t *Tally) Summary() *result.Latency { return t.latency.latency() }

func (t *Tally) ByClass() map[outcome.Class]int64 {
	outcomes := map[outcome.Class]int64{}
	for i, class := range outcome.Classes() {
		if t.outcomes[i] != 0 {
			outcomes[class] = t.outcomes[i]
		}
	}
	return outcomes
}

func (t *Tally) stats(seconds float64) result.ClientStats {
	s := result.ClientStats{Outcomes: t.ByClass(), Latency: t.latency.latency()}
	s.Requests = result.CountRequests(s.Outcomes)
	s.Errors = s.Requests - s.Outcomes[outcome.OK]
	if seconds > 0 {
		s.Rate = float64(s.Requests-s.Outcomes[outcome.Dropped]) / seconds
	}
	return s
}

// Timeline returns a row for each second of intended starts, up to the end.
func (c *Clients) Timeline(end time.Duration) []result.ClientSecond {
	var rows []result.ClientSecond
	for i, cell := range *c.seconds.Load() {
		var t Tally
		t.add(cell)
		at := time.Duration(i+1) * time.Second
		length := min(time.Second, max(end-time.Duration(i)*time.Second, time.Millisecond))
		rows = append(rows, result.ClientSecond{
			At: at - time.Second + length, Seconds: length.Seconds(), Phase: c.clock.Phase(at - time.Second/2), Outcomes: t.ByClass(), Latency: t.latency.latency(),
		})
	}
	return rows
}
