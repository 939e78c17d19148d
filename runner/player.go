package runner

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A FaultPlayer plays a timeline of faults on a running system: it makes each
// change at its time, and notes what was planned, asked and effective. It is
// played once.
type FaultPlayer struct {
	// Observe is told of every change that was made or was not possible. It is
	// never called by two goroutines at once. Nil observes nothing.
	Observe func(FaultChange)
	// Hits has what each fault acts on, and how often it has, read into the
	// records.
	Hits bool

	plan     *timeline.Plan
	injector Injector
	began    time.Time
	// applied are closed when the applying of a window has ended.
	applied  []chan struct{}
	observed sync.Mutex

	// mu guards what is below, which others than the player read.
	mu      sync.Mutex
	records []result.FaultRecord
	// active says which windows may act, and are to be cleared.
	active []bool
}

// A FaultChange tells what became of one change.
type FaultChange struct {
	// At is counted from the zero of the timeline.
	At     time.Duration
	Window *timeline.Window
	Clear  bool
	Record result.FaultRecord
	// Err says why the change was not possible.
	Err error
}

// A FaultError says that a fault could not be applied or cleared.
type FaultError struct {
	// Doing is "applying" or "clearing".
	Doing     string
	ID, Label string
	Err       error
}

func (e *FaultError) Error() string {
	return fmt.Sprintf("%s fault %q (%s): %v", e.Doing, e.ID, e.Label, e.Err)
}

func (e *FaultError) Unwrap() error { return e.Err }

// NewFaultPlayer returns a player that has a record for each window of the plan.
func NewFaultPlayer(plan *timeline.Plan) *FaultPlayer {
	p := &FaultPlayer{plan: plan, records: []result.FaultRecord{}, active: make([]bool, len(plan.Windows))}
	for i := range plan.Windows {
		p.records = append(p.records, newFaultRecord(&plan.Windows[i]))
		p.applied = append(p.applied, make(chan struct{}))
	}
	return p
}

func newFaultRecord(w *timeline.Window) result.FaultRecord {
	rec := result.FaultRecord{
		ID: w.ID, Label: w.Fault.Label(), Fault: w.Fault, Replicas: []string{}, PlannedFrom: w.From.Seconds(), PlannedTo: w.To.Seconds(), Hits: -1,
	}
	if w.Victim != "" {
		rec.Round, rec.Victim = w.Round+1, w.Victim
		rec.Label = fmt.Sprintf("%s %s (round %d)", w.Fault.Type, w.Victim, rec.Round)
	}
	return rec
}

// Play makes each change at its time, counted from began, and returns when the
// last is made. Changes of one moment are made at the same time, and none waits
// for another, except that the clear of a fault waits for its own apply.
//
// It ends early when ctx ends, with its cause, and at the first fault that cannot
// be applied, with a *FaultError. A fault that cannot be cleared is noted, and
// left to ClearAll.
func (p *FaultPlayer) Play(ctx context.Context, injector Injector, began time.Time) error {
	p.injector, p.began = injector, began
	playing, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var changes sync.WaitGroup
	for _, s := range p.plan.Steps {
		if !waitUntil(playing, began.Add(s.At)) {
			break
		}
		if s.Clear {
			changes.Go(func() { p.clearInTurn(playing, s.Window) })
			continue
		}
		changes.Go(func() {
			defer close(p.applied[s.Window])
			if err := p.apply(playing, s.Window); err != nil {
				stop(err)
			}
		})
	}
	changes.Wait()
	return context.Cause(playing)
}

// waitUntil reports whether the moment has come before the end of ctx.
func waitUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// apply lets the fault of a window act. That it was cut short by the end of ctx
// is no error of the fault.
func (p *FaultPlayer) apply(ctx context.Context, i int) error {
	w := &p.plan.Windows[i]
	p.update(i, func(rec *result.FaultRecord) { rec.OrderedAt = time.Now().UTC() })
	if w.Acts() {
		if err := p.inject(ctx, i); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it is cleared as if it acted
			}
			rec := p.update(i, func(rec *result.FaultRecord) { rec.Error = err.Error() })
			p.tell(i, false, rec, err)
			return &FaultError{Doing: "applying", ID: w.ID, Label: rec.Label, Err: err}
		}
	}
	now := time.Now()
	rec := p.update(i, func(rec *result.FaultRecord) { rec.AppliedAt, rec.From = now.UTC(), now.Sub(p.began).Seconds() })
	if w.Acts() && p.Hits {
		rec = p.readHits(ctx, i)
	}
	p.tell(i, false, rec, nil)
	return nil
}

func (p *FaultPlayer) inject(ctx context.Context, i int) error {
	w := &p.plan.Windows[i]
	ctx, cancel := context.WithTimeout(ctx, ChangeTimeout)
	defer cancel()
	// From here on the fault may act, even where Inject fails half-way.
	p.setActive(i, true)
	return p.injector.Inject(ctx, w.ID, w.Fault, p.began.Add(w.Deadline))
}

// clearInTurn clears a window as soon as its apply has ended. What is not
// cleared when ctx ends is left to ClearAll.
func (p *FaultPlayer) clearInTurn(ctx context.Context, i int) {
	<-p.applied[i] // comes at the end of ctx, too
	if ctx.Err() == nil {
		_ = p.clear(ctx, i) // noted in the record, and tried again at the end
	}
}

// clear ends a window, even where ctx has ended.
func (p *FaultPlayer) clear(ctx context.Context, i int) *FaultError {
	w := &p.plan.Windows[i]
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ChangeTimeout)
	defer cancel()
	if p.isActive(i) && !w.Forgotten {
		if p.Hits {
			p.readHits(ctx, i)
		}
		if err := p.injector.Clear(ctx, w.ID); err != nil {
			failed := &FaultError{Doing: "clearing", ID: w.ID, Label: p.label(i), Err: err}
			rec := p.update(i, func(rec *result.FaultRecord) { rec.Error = failed.Error() })
			p.tell(i, true, rec, err)
			return failed
		}
	}
	p.setActive(i, false)
	now := time.Now()
	rec := p.update(i, func(rec *result.FaultRecord) {
		if rec.Applied() {
			rec.ClearedAt, rec.To = now.UTC(), now.Sub(p.began).Seconds()
		}
	})
	p.tell(i, true, rec, nil)
	return nil
}

// ClearAll ends, after Play, whatever still acts, even where ctx has ended. It
// returns what could not be cleared.
func (p *FaultPlayer) ClearAll(ctx context.Context) []*FaultError {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ClearTimeout)
	defer cancel()
	failed := make([]*FaultError, len(p.active))
	var clears sync.WaitGroup
	for i := range p.active {
		if p.isActive(i) {
			clears.Go(func() { failed[i] = p.clear(ctx, i) })
		}
	}
	clears.Wait()
	return slices.DeleteFunc(failed, func(e *FaultError) bool { return e == nil })
}

// readHits notes what an active fault acts on and how often it has. That this
// is not known spoils nothing, so it gets the time of one request only.
func (p *FaultPlayer) readHits(ctx context.Context, i int) result.FaultRecord {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	active, err := p.injector.Active(ctx)
	if err != nil {
		active = nil
	}
	return p.update(i, func(rec *result.FaultRecord) {
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

func (p *FaultPlayer) tell(i int, clears bool, rec result.FaultRecord, err error) {
	if p.Observe == nil {
		return
	}
	at := time.Since(p.began)
	p.observed.Lock()
	defer p.observed.Unlock()
	p.Observe(FaultChange{At: at, Window: &p.plan.Windows[i], Clear: clears, Record: rec, Err: err})
}

// label is that of the record, which never changes.
func (p *FaultPlayer) label(i int) string { return p.records[i].Label }

func (p *FaultPlayer) isActive(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active[i]
}

func (p *FaultPlayer) setActive(i int, active bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active[i] = active
}

// update changes a record and returns a copy that nobody changes.
func (p *FaultPlayer) update(i int, change func(*result.FaultRecord)) result.FaultRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.records[i])
	return copyOf(&p.records[i])
}

func copyOf(rec *result.FaultRecord) result.FaultRecord {
	c := *rec
	c.Replicas = slices.Clone(rec.Replicas)
	return c
}

// Records returns a record for each window of the plan, in its order.
func (p *FaultPlayer) Records() []result.FaultRecord {
	p.mu.Lock()
	defer p.mu.Unlock()
	records := make([]result.FaultRecord, len(p.records))
	for i := range p.records {
		records[i] = copyOf(&p.records[i])
	}
	return records
}

// culprit is the last fault on the process that was asked for on a replica
// before a moment.
func (p *FaultPlayer) culprit(replica Replica, before time.Time) (rec result.FaultRecord, ok bool) {
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
