package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

const (
	// playGrace is how long after its planned end a fault acts at most, where
	// this program cannot take it back.
	playGrace = 5 * time.Second
	// playTimeout bounds one change of a fault.
	playTimeout = 30 * time.Second
	// momentaryFor is how long a kill or restart is remembered at most.
	momentaryFor = 5 * time.Minute
)

// A faultEvent tells what became of a fault while a time line is played.
type faultEvent struct {
	Time time.Time `json:"time"`
	// Elapsed is counted in seconds from the beginning of the time line.
	Elapsed float64 `json:"elapsed"`
	// Event is added, cleared, failed or never-started.
	Event  string     `json:"event"`
	Name   string     `json:"name"`
	Type   fault.Type `json:"type"`
	Target string     `json:"target"`
	Error  string     `json:"error,omitempty"`
}

// A step is one change of the time line: a fault that is to be added, or one
// that is to be cleared.
type step struct {
	at    time.Duration
	id    string
	fault fault.Fault
	clear bool
	// until is when the fault is cleared, for those that are added.
	until time.Duration
}

// planSteps makes the steps of the faults in order. Those that would start at
// the limit or later are missed; a limit of 0 is none.
func planSteps(faults []fault.Fault, limit time.Duration, seed uint64) (steps []step, missed []string, err error) {
	whole := wholeLength(faults)
	until, seen := map[string]time.Duration{}, map[string]bool{}
	for _, c := range timeline.Plan(faults, max(whole, limit), dist.Seed(seed)) {
		s := stepOf(&faults[c.Fault], c)
		switch {
		case s.fault.Target.Service == fault.Nobody:
			continue
		case c.Clear:
			until[s.id] = s.at
			if limit > 0 {
				s.at = min(s.at, limit)
			}
		case seen[s.id]:
			return nil, nil, fmt.Errorf("two faults are called %q: give each a name of its own", s.id)
		}
		seen[s.id] = true
		if !c.Clear && limit > 0 && c.At >= limit {
			missed = append(missed, s.id)
			continue
		}
		if !slices.Contains(missed, s.id) {
			steps = append(steps, s)
		}
	}
	for i := range steps {
		if s := &steps[i]; !s.clear {
			s.until = until[s.id]
			if limit > 0 {
				s.until = min(s.until, limit)
			}
		}
	}
	return steps, missed, nil
}

func stepOf(f *fault.Fault, c timeline.Change) step {
	s := step{at: c.At, fault: *f, clear: c.Clear, id: f.Name}
	if f.Rounds != nil {
		s.fault.Target.Service, s.fault.Rounds = c.Victim, nil
	}
	if s.id == "" {
		s.id = faultID(s.fault)
	}
	if f.Rounds != nil {
		s.id += fmt.Sprintf("-r%d", c.Round+1)
	}
	return s
}

// wholeLength is when the last fault ends, or has begun where it acts once.
func wholeLength(faults []fault.Fault) time.Duration {
	var length time.Duration
	for i := range faults {
		f := &faults[i]
		end := f.Start.Std() + f.Duration.Std()
		if r := f.Rounds; r != nil {
			end += time.Duration(r.Count-1) * r.Interval.Std()
		}
		length = max(length, end+1)
	}
	return length
}

// actsOnce tells of faults that need no end.
func actsOnce(f *fault.Fault) bool { return f.Type == fault.Kill || f.Type == fault.Restart }

// A player lets faults come and go on a running system.
type player struct {
	injector injector
	tell     func(faultEvent)
	// remedy is the command that clears a fault by hand.
	remedy func(id string) string

	began  time.Time
	active []step
}

// play makes each step at its time, and returns when the last is made, when ctx
// ends or when a fault cannot be added. Whatever acts then is taken back. What
// was never begun is told, the missed ones included.
func (p *player) play(ctx context.Context, steps []step, missed []string) error {
	p.began = time.Now()
	next, err := p.makeSteps(ctx, steps)
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearTimeout)
	defer cancel()
	err = errors.Join(err, p.clearAll(cleaning))
	for _, s := range steps[next:] {
		if !s.clear {
			p.report("never-started", s, nil)
		}
	}
	for _, id := range missed {
		p.report("never-started", step{id: id}, nil)
	}
	return err
}

// makeSteps returns the index of the first step that was not tried.
func (p *player) makeSteps(ctx context.Context, steps []step) (int, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, s := range steps {
		timer.Reset(time.Until(p.began.Add(s.at)))
		select {
		case <-ctx.Done():
			return i, ctx.Err()
		case <-timer.C:
		}
		if s.clear {
			_ = p.clear(ctx, s.id) // told, and tried again at the end
			continue
		}
		if err := p.add(ctx, s); err != nil {
			return i + 1, err
		}
	}
	return len(steps), nil
}

func (p *player) add(ctx context.Context, s step) error {
	deadline := p.began.Add(s.until + playGrace)
	if actsOnce(&s.fault) {
		deadline = time.Now().Add(momentaryFor)
	}
	ctx, cancel := context.WithTimeout(ctx, playTimeout)
	defer cancel()
	// From here on it may act, even where Inject fails half-way.
	p.active = append(p.active, s)
	if err := p.injector.Inject(ctx, s.id, s.fault, deadline); err != nil {
		p.report("failed", s, err)
		return err
	}
	p.report("added", s, nil)
	return nil
}

// clear ends a fault that acts. One that acts once has nothing to be cleared,
// and is only forgotten.
func (p *player) clear(ctx context.Context, id string) error {
	i := slices.IndexFunc(p.active, func(s step) bool { return s.id == id })
	if i < 0 {
		return nil
	}
	s := p.active[i]
	if actsOnce(&s.fault) {
		p.active = slices.Delete(p.active, i, i+1)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, playTimeout)
	defer cancel()
	if err := p.injector.Clear(ctx, id); err != nil {
		p.report("failed", s, err)
		return err
	}
	p.active = slices.Delete(p.active, i, i+1)
	p.report("cleared", s, nil)
	return nil
}

// clearAll ends whatever acts still.
func (p *player) clearAll(ctx context.Context) error {
	var left, remedies []string
	var failed []error
	for _, s := range slices.Clone(p.active) {
		if err := p.clear(ctx, s.id); err != nil {
			left, failed, remedies = append(left, "fault/"+s.id), append(failed, err), append(remedies, p.remedy(s.id))
		}
	}
	if len(left) == 0 {
		return nil
	}
	return &runner.CleanupError{Left: left, Err: errors.Join(failed...), Remedy: "run " + strings.Join(remedies, "; ")}
}

func (p *player) report(event string, s step, err error) {
	now := time.Now()
	e := faultEvent{Time: now.UTC(), Elapsed: now.Sub(p.began).Seconds(), Event: event, Name: s.id, Type: s.fault.Type}
	if s.fault.Target.Service != "" {
		e.Target = s.fault.Target.String()
	}
	if err != nil {
		e.Error = err.Error()
	}
	p.tell(e)
}
