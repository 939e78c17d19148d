package fault

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// MaxEnd bounds when a fault ends, counted from the beginning of the load. It is
// far below the largest duration there is, so sums of times never overflow.
const MaxEnd = 10 * 365 * 24 * time.Hour

// End is when the last round of the fault ends, counted from the beginning of
// the load; a fault without a duration ends when it begins. An end after MaxEnd,
// which Validate refuses, is MaxEnd and 1 ns.
func (f *Fault) End() time.Duration {
	if begin := f.lastBegin(); f.Duration.Std() <= MaxEnd-begin {
		return begin + f.Duration.Std()
	}
	return MaxEnd + 1
}

// lastBegin is when the last round begins; MaxEnd and 1 ns if that is after
// MaxEnd.
func (f *Fault) lastBegin() time.Duration {
	start, more, interval := f.Start.Std(), time.Duration(0), time.Duration(0)
	if f.Rounds != nil {
		more, interval = time.Duration(max(0, f.Rounds.Count-1)), max(0, f.Rounds.Interval.Std())
	}
	// Compared by division, since the product may overflow.
	if start > MaxEnd || more > 0 && interval > (MaxEnd-start)/more {
		return MaxEnd + 1
	}
	return start + more*interval
}

// checkSpan names the field by which a fault would begin or end too late.
func (f *Fault) checkSpan(problems *problem.List) {
	most := unit.Duration(MaxEnd)
	switch {
	case f.Start < 0 || f.Duration < 0:
	case f.Start > most:
		problems.AddHint("start", "begin earlier", "the fault would begin at %s, and %s is the latest that is possible", f.Start, most)
	case f.lastBegin() > MaxEnd:
		problems.AddHint("rounds.interval", "take fewer rounds, or shorten the interval", "the last round would begin after %s, the latest that is possible", most)
	case f.End() > MaxEnd:
		problems.AddHint("duration", "shorten it, or leave it out to let the fault act until the end", "the fault would end after %s, the latest that is possible", most)
	}
}
