package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// momentaryFor is how long a kill or restart stays in the list of faults at most.
const momentaryFor = 5 * time.Minute

// A faultEvent says what happened to a fault while a timeline is played.
type faultEvent struct {
	Time time.Time `json:"time"`
	// Elapsed is in seconds from the beginning of the timeline.
	Elapsed float64 `json:"elapsed"`
	// Event is added, cleared, failed or never-started.
	Event  string     `json:"event"`
	Name   string     `json:"name"`
	Type   fault.Type `json:"type"`
	Target string     `json:"target"`
	Error  string     `json:"error,omitempty"`
}

// planFaults plans when the faults come and go. Faults that would start at the
// limit or later are missed. If the limit is 0, the timeline lasts as long as the
// faults.
func planFaults(faults []fault.Fault, limit time.Duration, seed uint64) (*timeline.Plan, error) {
	if limit == 0 {
		limit = timeline.Length(faults)
	}
	return timeline.New(faults, timeline.Options{Length: limit, Seed: seed, Name: namedID, Remember: momentaryFor})
}

// namedID is the id of a fault: its name, or else its type and target, with its
// round.
func namedID(w *timeline.Window) string {
	id := w.Fault.Name
	if id == "" {
		id = faultID(w.Fault)
	}
	if w.Victim != "" {
		id += fmt.Sprintf("-r%d", w.Round+1)
	}
	return id
}

// A performance plays a timeline for `fault apply`.
type performance struct {
	plan     *timeline.Plan
	injector runner.Injector
	tell     func(faultEvent)
	// remedy returns the command that clears a fault by hand.
	remedy func(id string) string

	began time.Time
}

// play plays the timeline, and clears the faults that still act at its end. It
// reports the faults that never began, including those whose time had passed.
func (p *performance) play(ctx context.Context) error {
	player := runner.NewFaultPlayer(p.plan)
	player.Observe = p.observe
	if err := player.Prepare(ctx, p.injector); err != nil {
		return fmt.Errorf("preparing the faults: %w", err)
	}
	p.began = time.Now()
	err := player.Play(ctx, p.injector, p.began)
	if failed := (*runner.FaultError)(nil); errors.As(err, &failed) {
		err = failed.Err // this error names the fault already
	}
	err = errors.Join(err, p.leftBehind(player.ClearAll(ctx)))
	for i, rec := range player.Records() {
		if w := &p.plan.Windows[i]; rec.OrderedAt.IsZero() && w.Acts() {
			p.report("never-started", w, nil)
		}
	}
	for i := range p.plan.Missed {
		if w := &p.plan.Missed[i]; w.Acts() {
			p.report("never-started", &timeline.Window{ID: w.ID}, nil)
		}
	}
	return err
}

func (p *performance) observe(c runner.FaultChange) {
	event := "added"
	switch {
	case !c.Window.Acts(), c.Clear && c.Window.Forgotten:
		return // nothing has changed
	case c.Clear && c.Err == nil && !c.Record.Applied():
		return // it was never added, as has been told; what had begun of it is gone
	case c.Err != nil:
		event = "failed"
	case c.Clear:
		event = "cleared"
	}
	p.report(event, c.Window, c.Err)
}

// leftBehind returns an error that names the faults which could not be cleared.
func (p *performance) leftBehind(failed []*runner.FaultError) error {
	if len(failed) == 0 {
		return nil
	}
	var left, remedies []string
	var errs []error
	for _, f := range failed {
		left, errs, remedies = append(left, "fault/"+f.ID), append(errs, f.Err), append(remedies, p.remedy(f.ID))
	}
	return &runner.CleanupError{Left: left, Err: errors.Join(errs...), Remedy: "run " + strings.Join(remedies, "; ")}
}

func (p *performance) report(event string, w *timeline.Window, err error) {
	now := time.Now()
	e := faultEvent{Time: now.UTC(), Elapsed: now.Sub(p.began).Seconds(), Event: event, Name: w.ID, Type: w.Fault.Type}
	if w.Fault.Target.Service != "" {
		e.Target = w.Fault.Target.String()
	}
	if err != nil {
		e.Error = err.Error()
	}
	p.tell(e)
}
