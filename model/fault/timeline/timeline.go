// Package timeline plans when the faults of a run begin and end. It reads no
// clock: the player of the plan has one.
package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// A Change is one step of a timeline: at its time a fault begins or ends.
type Change struct {
	At time.Duration
	// Fault is the index into the list the timeline was made from.
	Fault int
	// Round counts the rounds of a repeated fault from 0.
	Round int
	// Victim is the service that a round hits; Nobody for none. Empty where the
	// fault has no rounds.
	Victim string
	Clear  bool
}

// Plan returns the changes that the faults make during a run of the given
// length, in order: by time, clears before applies, then by the list. Faults
// that have no end are cleared at the end; those that would start later are
// absent. The victims of rounds are decided by the key.
func Plan(faults []fault.Fault, length time.Duration, key dist.Key) []Change {
	var changes []Change
	for i := range faults {
		f := &faults[i]
		if f.Rounds == nil {
			changes = appendWindow(changes, Change{At: f.Start.Std(), Fault: i}, f.Duration.Std(), length)
			continue
		}
		draw := key.With("rounds").With(f.Label())
		for round := range f.Rounds.Count {
			victim := f.Rounds.Victims[draw.WithInt(round).IntN(len(f.Rounds.Victims))]
			at := f.Start.Std() + time.Duration(round)*f.Rounds.Interval.Std()
			changes = appendWindow(changes, Change{At: at, Fault: i, Round: round, Victim: victim}, f.Duration.Std(), length)
		}
	}
	sortChanges(changes)
	return changes
}

func appendWindow(changes []Change, apply Change, duration, length time.Duration) []Change {
	if apply.At >= length {
		return changes
	}
	changes = append(changes, apply)
	clearing := apply
	clearing.Clear = true
	clearing.At = length
	if duration > 0 {
		clearing.At = min(apply.At+duration, length)
	}
	return append(changes, clearing)
}

// sortChanges orders a timeline by time, clears before applies, then by the
// list and the round.
func sortChanges(changes []Change) {
	slices.SortStableFunc(changes, func(a, b Change) int {
		clears := 0
		if a.Clear != b.Clear {
			clears = 1
			if a.Clear {
				clears = -1
			}
		}
		return cmp.Or(cmp.Compare(a.At, b.At), clears, cmp.Compare(a.Fault, b.Fault), cmp.Compare(a.Round, b.Round))
	})
}
