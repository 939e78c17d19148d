package measure

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
)

// A Schedule knows to which phase and which part of the run a moment belongs.
// Moments are nanoseconds since the load started. Many goroutines may use it at
// once.
type Schedule struct {
	phases []phaseWindow
	// faults are the moments of a FaultSpan.
	faults struct{ asked, from, clearAsked, to atomic.Int64 }
	// loadEnd is when the load ended, or will end; Never if that is not known.
	// lastAnswer is when its last request ended; Never until then.
	loadEnd, lastAnswer atomic.Int64
}

// A phaseWindow is one phase. If an earlier phase ends by a count, its start is not
// planned: then it is its first arrival.
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
	// Asked is when the first fault was asked for, From when the first was known to
	// act.
	Asked, From time.Duration
	// ClearAsked is when the last fault was asked to end, To when the last was
	// known to be gone.
	ClearAsked, To time.Duration
}

// SetFaults sets when faults act, as far as it is known.
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

// SetLoadEnd sets when the load ended.
func (c *Schedule) SetLoadEnd(at time.Duration) { c.loadEnd.Store(int64(at)) }

// SetLastAnswer sets when the last request of the load ended. It is needed only if
// the system is watched longer.
func (c *Schedule) SetLastAnswer(at time.Duration) { c.lastAnswer.Store(int64(at)) }

// see notes an arrival of a phase, to know when the phase began.
func (c *Schedule) see(phase int, at time.Duration) {
	if phase < 0 || phase >= len(c.phases) {
		return
	}
	seen := &c.phases[phase].seen
	for old := seen.Load(); int64(at) < old && !seen.CompareAndSwap(old, int64(at)); old = seen.Load() {
	}
}

// start returns when a phase begins, as far as it is known.
func (c *Schedule) start(phase int) time.Duration {
	if p := &c.phases[phase]; p.counted {
		return time.Duration(p.seen.Load())
	}
	return c.phases[phase].planned
}

// Phase returns the index of the phase to which a moment belongs.
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

// endSlot returns the slot of something that ended at a moment: the index of its
// phase or, after the load, the number of phases.
func (c *Schedule) endSlot(at time.Duration) int {
	if int64(at) >= c.loadEnd.Load() {
		return len(c.phases)
	}
	return c.Phase(at)
}

// slot returns the slot of what a service did at a moment: as endSlot does or,
// after the last answer of the load, the number of phases plus 1.
func (c *Schedule) slot(at time.Duration) int {
	slot := c.endSlot(at)
	if slot == len(c.phases) && int64(at) >= c.lastAnswer.Load() {
		slot++
	}
	return slot
}

// The parts of a run. A request that starts while the first fault is being applied,
// or the last is being cleared, belongs to betweenParts, because it is not known
// whether a fault acted on it.
const (
	beforeFaults = iota
	duringFaults
	afterFaults
	betweenParts
	parts // their number
)

// part returns the part of the run to which a moment belongs.
func (c *Schedule) part(at time.Duration) int { return c.partOf(at, at) }

// partOf returns the part to which a request belongs. Its start decides, with one
// exception: a request that is under way when the first fault is known to act
// belongs to duringFaults.
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
