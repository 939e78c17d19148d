package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
)

// planFaults plans when the faults of an experiment come and go. Those that
// would begin after the load and its tail are absent.
func planFaults(e *experiment.Experiment) (*timeline.Plan, error) {
	length, _ := experiment.Length(e.Load)
	plan, err := timeline.New(e.Faults, timeline.Options{Length: length + e.Tail.Std(), Seed: e.Seed, Name: numberedID})
	if err != nil {
		return nil, fmt.Errorf("planning the faults of experiment %q: %w", e.Name, err)
	}
	return plan, nil
}

// numberedID names a fault of a run by its type, its place in the file and its
// round.
func numberedID(w *timeline.Window) string {
	id := fmt.Sprintf("%s-%d", w.Fault.Type, w.Index+1)
	if w.Victim != "" {
		id += fmt.Sprintf("-r%d", w.Round+1)
	}
	return id
}

// observeFault tells of a change, and keeps count of those that are to come. Of
// a fault that was never applied there is nothing to tell at its clear.
func (r *running) observeFault(c FaultChange) {
	if !c.Clear {
		r.emit(FaultApplied{c.Record})
		return
	}
	if c.Err == nil {
		if r.openFaults--; r.openFaults <= 0 {
			r.clock.SetLastClear(c.At)
		}
	}
	if c.Err != nil || c.Record.Applied() {
		r.emit(FaultCleared{c.Record})
	}
}

// clearFaults ends whatever still acts.
func (r *running) clearFaults(ctx context.Context) error {
	var errs []error
	for _, failed := range r.faults.ClearAll(ctx) {
		errs = append(errs, failed)
	}
	return errors.Join(errs...)
}
