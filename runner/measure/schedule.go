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
	// faults are the moments of a FaultSpan.
	faults struct{ asked, from, clearAsked, to atomic.Int64 }
	// loadEnd is when the load ended, or will end; Never where that is not known.
	// lastAnswer is when its last request ended; Never until then.
	loadEnd, lastAnswer atomic.Int64
}

// A phaseWindow is one phase. Where one before it ends by count, its start is
// that of its first arrival.
type phaseWindow struct {
	name    string
	planned time.Duration
	counted bool
	seen    atomic.Int64
}

// Never is a moment that has not come.
const Never = time.Duration(math.MaxInt64)

// A FaultSpan is the part of a run in which faults act. A moment that has not
// come yet is Never.
type FaultSpan struct {
	// Asked is when the first fault was asked for, From when it was known to act.
	Asked, From time.Duration
	// ClearAsked is when the last fault was asked to end, To when it was known to
	// be gone.
	ClearAsked, To time.Duration
}

// SetFaults says when faults act, as far as it is known.
func (c *Schedule) SetFaults(s FaultSpan) {
	c.faults.asked.Store(int64(s.Asked))
	c.faults.from.Store(int64(s.From))
	c.faults.clearAsked.Store(int64(s.ClearAsked))
	c.faults.to.Store(int64(s.To))
}

func (c *Schedule) faultSpan() FaultSpan {
	return FaultSpan{
		Asked: time.Duration(c.faults.asked.Load()), From: time.Duration(c.faults.from.Load()),
		ClearAsked: time.Duration(c.faults.clearAsked.Load()), To: time.Duration(c.faults.to.Load()),
	}
}

// SetLoadEnd says when the load ended.
func (c *Schedule) SetLoadEnd(at time.Duration) { c.loadEnd.Store(int64(at)) }

// SetLastAnswer says when the last request of the load ended, where the system
// is watched longer.
func (c *Schedule) SetLastAnswer(at time.Duration) { c.lastAnswer.Store(int64(at)) }

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

// SamplePhase is the phase of what a service did at a moment: as Phase, or their number
// after the load's last answer, where the system is watched longer.
func (c *Schedule) SamplePhase(at time.Duration) int {
	if int64(at) >= c.lastAnswer.Load() {
		return len(c.phases)
	}
	return c.Phase(at)
}

// endSlot is the phase in which something ended, or one more than there are
// phases after the load.
func (c *Schedule) endSlot(at time.Duration) int {
	if int64(at) >= c.loadEnd.Load() {
		return len(c.phases)
	}
	return c.Phase(at)
}

// slot is the slot of what a service did at a moment: as endSlot, or two more
// than there are phases after the load's last answer.
func (c *Schedule) slot(at time.Duration) int {
	slot := c.endSlot(at)
	if slot == len(c.phases) && int64(at) >= c.lastAnswer.Load() {
		slot++
	}
	return slot
}

// The parts of a run. What starts while the first fault is being applied or the
// last is being cleared is between them: nobody knows whether a fault met it.
const (
	beforeFaults = iota
	duringFaults
	afterFaults
	betweenParts
	parts // their number
)

// part is the part of the run that a moment belongs to.
func (c *Schedule) part(at time.Duration) int { return c.partOf(at, at) }

// partOf is the part that a request belongs to: by its beginning, except that one
// which is under way when the first fault is known to act is one of those during
// the faults.
func (c *Schedule) partOf(from, to time.Duration) int {
	s := c.faultSpan()
	switch {
	case from < s.Asked && to <= s.Asked:
		return beforeFaults
	case from < s.From && to <= s.From:
		return betweenParts
	case from < s.ClearAsked:
		return duringFaults
	case from < s.To:
		return betweenParts
	}
	return afterFaults
}

func NewSchedule(profile load.Profile) *Schedule {
	c := &Schedule{phases: make([]phaseWindow, len(profile.Phases))}
	var at time.Duration
	counted, endless := false, false
	for i, p := range profile.Phases {
		c.phases[i].name, c.phases[i].planned, c.phases[i].counted = p.Name, at, counted
		c.phases[i].seen.Store(math.MaxInt64)
		at += p.Duration.Std()
		counted, endless = counted || p.Count > 0, endless || p.Duration == 0
	}
	c.loadEnd.Store(math.MaxInt64)
	if !counted && !endless {
		c.loadEnd.Store(int64(at))
	}
	c.lastAnswer.Store(math.MaxInt64)
	c.SetFaults(FaultSpan{Never, Never, Never, Never})
	return c
}
