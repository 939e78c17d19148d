// Package timeline plans when the faults of a list come and go: which windows
// there are, with ids, victims and deadlines, and in which order they begin and
// end. It reads no clock: all times are counted from the zero of the timeline.
package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// Grace is how long after its planned end a fault may still act if the program
// that is to clear it is gone.
const Grace = 5 * time.Second

// Options say how a timeline is planned.
type Options struct {
	// Length is when the timeline ends: windows that are open then are cut, and
	// those that would begin then or later are missed.
	Length time.Duration
	// Seed decides the victims of rounds.
	Seed uint64
	// Name makes the id of a window, whose other fields are set. Nil leaves the
	// ids empty, for plans that are only shown.
	Name func(w *Window) string
	// Remember, if positive, leaves out the clearing of faults that act once,
	// which are forgotten so long after they began instead.
	Remember time.Duration
}

// A Window is one fault that acts from one moment to another.
type Window struct {
	ID string
	// Fault is what acts. For a round it aims at the victim, and has no rounds.
	Fault fault.Fault
	// Index is that of the fault in the list the timeline was made from.
	Index int
	// Round counts the rounds of a repeated fault from 0.
	Round int
	// Victim is the service that a round hits; fault.Nobody for none. It is empty
	// if the fault has no rounds.
	Victim   string
	From, To time.Duration
	// Deadline is when the fault ends by itself if nobody clears it.
	Deadline time.Duration
	// Forgotten windows are not cleared; see Options.Remember.
	Forgotten bool
}

// Acts reports whether the window hits anything.
func (w *Window) Acts() bool { return w.Victim != fault.Nobody }

// A Step is one change: at its time a window begins or ends.
type Step struct {
	At time.Duration
	// Window is an index into the windows of the plan.
	Window int
	Clear  bool
}

// A Plan is the timeline of a list of faults.
type Plan struct {
	// Windows are in the order in which they begin.
	Windows []Window
	// Steps apply and clear each window once, ordered by time, then clears before
	// applies, then by the list and the round.
	Steps []Step
	// Missed are the windows that would begin after the end.
	Missed []Window
}

// New plans the faults, which are valid. It fails if two windows that act have the
// same id.
func New(faults []fault.Fault, o Options) (*Plan, error) {
	p := &Plan{}
	for i := range faults {
		for _, w := range windowsOf(faults, i, o) {
			if w.From >= o.Length {
				p.Missed = append(p.Missed, w)
				continue
			}
			p.Windows = append(p.Windows, w)
		}
	}
	slices.SortStableFunc(p.Windows, byBegin)
	slices.SortStableFunc(p.Missed, byBegin)
	if err := checkIDs(slices.Concat(p.Windows, p.Missed)); err != nil {
		return nil, err
	}
	for i := range p.Windows {
		p.Steps = append(p.Steps, Step{At: p.Windows[i].From, Window: i}, Step{At: p.Windows[i].To, Window: i, Clear: true})
	}
	slices.SortFunc(p.Steps, p.compare)
	return p, nil
}

// windowsOf lists the windows of one fault of the list.
func windowsOf(faults []fault.Fault, index int, o Options) []Window {
	f := faults[index]
	if f.Rounds == nil {
		return []Window{newWindow(Window{Fault: f, Index: index, From: f.Start.Std()}, o)}
	}
	rounds := f.Rounds
	f.Rounds = nil
	draw := dist.Seed(o.Seed).With("rounds").With(faults[index].Label())
	windows := make([]Window, 0, rounds.Count)
	for round := range rounds.Count {
		f.Target.Service = rounds.Victims[draw.WithInt(round).IntN(len(rounds.Victims))]
		at := f.Start.Std() + time.Duration(round)*rounds.Interval.Std()
		windows = append(windows, newWindow(Window{Fault: f, Index: index, Round: round, Victim: f.Target.Service, From: at}, o))
	}
	return windows
}

// newWindow completes a window of which the fault and the beginning are known.
func newWindow(w Window, o Options) Window {
	w.To = o.Length
	if d := w.Fault.Duration.Std(); d > 0 {
		w.To = min(w.From+d, o.Length)
	}
	w.Deadline = w.To + Grace
	if o.Remember > 0 && ActsOnce(&w.Fault) {
		w.Forgotten, w.Deadline = true, w.From+o.Remember
	}
	if o.Name != nil {
		w.ID = o.Name(&w)
	}
	return w
}

func byBegin(a, b Window) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Round, b.Round))
}

// compare orders steps by time, then clears before applies, then by the list and
// the round.
func (p *Plan) compare(a, b Step) int {
	clears := 0
	if a.Clear != b.Clear {
		clears = 1
		if a.Clear {
			clears = -1
		}
	}
	v, w := &p.Windows[a.Window], &p.Windows[b.Window]
	return cmp.Or(cmp.Compare(a.At, b.At), clears, cmp.Compare(v.Index, w.Index), cmp.Compare(v.Round, w.Round))
}

func checkIDs(windows []Window) error {
	seen := map[string]bool{}
	for i := range windows {
		w := &windows[i]
		if w.ID == "" || !w.Acts() {
			continue
		}
		if seen[w.ID] {
			return fmt.Errorf("two faults are called %q: give each a name of its own", w.ID)
		}
		seen[w.ID] = true
	}
	return nil
}

// ActsOnce reports whether a fault needs no end.
func ActsOnce(f *fault.Fault) bool { return f.Type == fault.Kill || f.Type == fault.Restart }

// Length returns the shortest timeline that holds all windows of the faults
// whole. A fault without a duration counts from its beginning alone.
func Length(faults []fault.Fault) time.Duration {
	var length time.Duration
	for i := range faults {
		length = max(length, faults[i].End()+1)
	}
	return length
}
