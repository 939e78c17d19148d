package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

const (
	// faultGrace is how long after its planned end a fault may still act where
	// this program is gone.
	faultGrace = 5 * time.Second
	// changeTimeout bounds one change of a fault.
	changeTimeout = 30 * time.Second
)

// A faultPlan is the timeline of the run with what became of it.
type faultPlan struct {
	changes []timeline.Change
	length  time.Duration
	// mu guards the records, which the polling of replicas reads.
	mu      sync.Mutex
	records []result.FaultRecord
	// record finds the record of a change.
	record map[[2]int]int
	// active are the records that act and are to be cleared.
	active []int
	// open counts the clears that are still to come.
	open int
}

func newFaultPlan(e experiment.Experiment) *faultPlan {
	length, _ := experiment.Length(e.Load)
	p := &faultPlan{length: length, records: []result.FaultRecord{}, record: map[[2]int]int{}}
	p.changes = timeline.Plan(e.Faults, length+e.Tail.Std(), dist.Seed(e.Seed))
	for _, c := range p.changes {
		key := [2]int{c.Fault, c.Round}
		if c.Clear {
			p.records[p.record[key]].PlannedTo = c.At.Seconds()
			p.open++
			continue
		}
		p.record[key] = len(p.records)
		p.records = append(p.records, newFaultRecord(e.Faults[c.Fault], c))
	}
	return p
}

func newFaultRecord(f fault.Fault, c timeline.Change) result.FaultRecord {
	rec := result.FaultRecord{
		ID: fmt.Sprintf("%s-%d", f.Type, c.Fault+1), Label: f.Label(), Fault: f, Replicas: []string{}, PlannedFrom: c.At.Seconds(), Hits: -1,
	}
	if f.Rounds != nil {
		rec.Round, rec.Victim = c.Round+1, c.Victim
		rec.ID += fmt.Sprintf("-r%d", rec.Round)
		rec.Fault.Target.Service, rec.Fault.Rounds = c.Victim, nil
		rec.Label = fmt.Sprintf("%s %s (round %d)", f.Type, c.Victim, rec.Round)
	}
	return rec
}

// playFaults makes each change at its time. It stops at the first fault that
// cannot be applied, because the run would not show what it says; one that
// cannot be cleared is tried again at the end.
func (r *running) playFaults(ctx context.Context, injector Injector) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, c := range r.faults.changes {
		timer.Reset(time.Until(r.began.Add(c.At)))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		i := r.faults.record[[2]int{c.Fault, c.Round}]
		if c.Clear {
			_ = r.clearFault(ctx, injector, i) // noted in the record and tried again
			continue
		}
		if err := r.applyFault(ctx, injector, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *running) applyFault(ctx context.Context, injector Injector, i int) error {
	p := r.faults
	rec := p.copyOf(i)
	ordered := time.Now()
	p.update(i, func(rec *result.FaultRecord) { rec.OrderedAt = ordered.UTC() })
	if rec.Victim != fault.Nobody {
		deadline := r.began.Add(time.Duration(rec.PlannedTo * 1e9)).Add(faultGrace)
		changing, cancel := context.WithTimeout(ctx, changeTimeout)
		defer cancel()
		// From here on the fault may act, even where Inject fails half-way.
		p.active = append(p.active, i)
		if err := injector.Inject(changing, rec.ID, rec.Fault, deadline); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			rec = p.update(i, func(rec *result.FaultRecord) { rec.Error = err.Error() })
			r.emit(FaultApplied{rec})
			return fmt.Errorf("applying fault %q (%s): %w", rec.ID, rec.Label, err)
		}
	}
	now := time.Now()
	rec = p.update(i, func(rec *result.FaultRecord) { rec.AppliedAt, rec.From = now.UTC(), now.Sub(r.began).Seconds() })
	if rec.Victim != fault.Nobody {
		r.readFault(ctx, injector, i)
	}
	r.emit(FaultApplied{p.copyOf(i)})
	return nil
}

// clearFault ends one fault, and notes how often it acted.
func (r *running) clearFault(ctx context.Context, injector Injector, i int) error {
	p := r.faults
	rec := p.copyOf(i)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	var err error
	if slices.Contains(p.active, i) {
		r.readFault(ctx, injector, i)
		if err = injector.Clear(ctx, rec.ID); err != nil {
			err = fmt.Errorf("clearing fault %q (%s): %w", rec.ID, rec.Label, err)
			r.emit(FaultCleared{p.update(i, func(rec *result.FaultRecord) { rec.Error = err.Error() })})
			return err
		}
		p.active = slices.DeleteFunc(p.active, func(a int) bool { return a == i })
	}
	now := time.Now()
	if p.open--; p.open <= 0 {
		r.clock.SetLastClear(now.Sub(r.began))
	}
	if !rec.Applied() {
		return nil
	}
	r.emit(FaultCleared{p.update(i, func(rec *result.FaultRecord) { rec.ClearedAt, rec.To = now.UTC(), now.Sub(r.began).Seconds() })})
	return nil
}

// clearFaults ends whatever still acts.
func (r *running) clearFaults(ctx context.Context, injector Injector) error {
	var errs []error
	for _, i := range slices.Clone(r.faults.active) {
		errs = append(errs, r.clearFault(ctx, injector, i))
	}
	return errors.Join(errs...)
}

// readFault notes what an active fault acts on and how often it has. That this
// is not known spoils no run.
func (r *running) readFault(ctx context.Context, injector Injector, i int) {
	active, err := injector.Active(ctx)
	if err != nil {
		return
	}
	r.faults.update(i, func(rec *result.FaultRecord) {
		for _, injection := range active {
			if injection.ID != rec.ID {
				continue
			}
			rec.Hits = injection.Hits
			for _, replica := range injection.Replicas {
				if !slices.Contains(rec.Replicas, replica) {
					rec.Replicas = append(rec.Replicas, replica)
				}
			}
		}
	})
}

func (p *faultPlan) copyOf(i int) result.FaultRecord {
	return p.update(i, func(*result.FaultRecord) {})
}

// update changes a record and returns a copy that nobody changes.
func (p *faultPlan) update(i int, change func(*result.FaultRecord)) result.FaultRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.records[i])
	rec := p.records[i]
	rec.Replicas = slices.Clone(rec.Replicas)
	return rec
}

// culprit is the last fault on the process that was asked for on a replica
// before a moment.
func (p *faultPlan) culprit(replica Replica, before time.Time) (rec result.FaultRecord, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.records {
		r := &p.records[i]
		t := r.Fault.Target
		entry, _ := fault.Lookup(r.Fault.Type)
		if entry.Layer != fault.OnProcess || t.Service != replica.Service || t.Replica != 0 && t.Replica != replica.Index {
			continue
		}
		if !r.OrderedAt.IsZero() && !r.OrderedAt.After(before) && !r.OrderedAt.Before(rec.OrderedAt) {
			rec, ok = *r, true
		}
	}
	return rec, ok
}
