package measure

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
)

// A Schedule knows which phase and which part of the run a moment belongs to,
// in nanoseconds since the load started. It may be asked by many at once.
type Schedule struct {
	phases []phaseWindow
	// firstFault is when the first fault is to act, math.MaxInt64 where there is
	// none. It is the plan's time, which is never later than the truth.
	firstFault time.Duration
	// lastClear is when the last fault was gone; math.MaxInt64 until then.
	lastClear atomic.Int64
	// tail is when the load ended, where the system is watched longer.
	Tail atomic.Int64
}

// A phaseWindow is one phase. Where one before it ends by count, its start is
// that of its first arrival.
type phaseWindow struct {
	name    string
	planned time.Duration
	counted bool
	seen    atomic.Int64
}

// SetFirstFault says when the first fault is to act.
func (c *Schedule) SetFirstFault(at time.Duration) { c.firstFault = at }

// SetLastClear says when the last fault was gone.
func (c *Schedule) SetLastClear(at time.Duration) { c.lastClear.Store(int64(at)) }

// SetLoadEnd says when the load ended, where the system is watched longer.
func (c *Schedule) SetLoadEnd(at time.Duration) { c.Tail.Store(int64(at)) }

// see notes an arrival of a phase.
func (c *Schedule) see(phase int, at time.Duration) {
	if phase < 0 || phase >= len(c.phases) {
		return
	}
	seen := &c.phases[phase].seen
	for old := seen.Load(); int64(at) < old && !seen.CompareAndSwap(old, int64(at)); old = seen.Load() {
	}
}

// start is when a phase begins, as far as is known.
func (c *Schedule) start(phase int) time.Duration {
	if p := &c.phases[phase]; p.counted {
		return time.Duration(p.seen.Load())
	}
	return c.phases[phase].planned
}

// Phase is the index of the phase that a moment belongs to.
func (c *Schedule) Phase(at time.Duration) int {
	for i := len(c.phases) - 1; i > 0; i-- {
		if c.start(i) <= at {
			return i
		}
	}
	return 0
}

// slot is the phase of what a service did at a moment, or one more than there
// are phases in the tail.
func (c *Schedule) slot(at time.Duration) int {
	if int64(at) >= c.Tail.Load() {
		return len(c.phases)
	}
	return c.Phase(at)
}

// part is 0 before the faults, 1 during and 2 after them.
func (c *Schedule) part(at time.Duration) int { return c.partOf(at, at) }

// partOf is the part that a request belongs to: by its beginning, except that
// one which the first fault found under way is no request before the faults.
func (c *Schedule) partOf(from, to time.Duration) int {
	switch {
	case from < c.firstFault && to <= c.firstFault:
		return 0
	case int64(from) < c.lastClear.Load():
		return 1
	}
	return 2
}

func NewSchedule(profile load.Profile) *Schedule {
	c := &Schedule{phases: make([]phaseWindow, len(profile.Phases))}
	var at time.Duration
	counted := false
	for i, p := range profile.Phases {
		c.phases[i].name, c.phases[i].planned, c.phases[i].counted = p.Name, at, counted
		c.phases[i].seen.Store(math.MaxInt64)
		at += p.Duration.Std()
		counted = counted || p.Count > 0
	}
	c.Tail.Store(math.MaxInt64)
	c.firstFault = math.MaxInt64
	c.lastClear.Store(math.MaxInt64)
	return c
}
