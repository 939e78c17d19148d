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
	"github.com/microsim-dev/kubectl-microsim/runner/account"
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
	log      *account.FaultLog
	clock    Clock
	injector Injector
	began    time.Time
	// applied are closed when the applying of a window has ended.
	applied  []chan struct{}
	observed sync.Mutex

	mu sync.Mutex
	// active says which windows may act, and are to be cleared; guarded by mu.
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

// NewFaultPlayer returns a player of a plan, in real time.
func NewFaultPlayer(plan *timeline.Plan) *FaultPlayer {
	return newFaultPlayer(account.NewFaultLog(plan), realClock{})
}

// newFaultPlayer returns a player of the plan of a log, which it tells of what it
// does.
func newFaultPlayer(log *account.FaultLog, clock Clock) *FaultPlayer {
	p := &FaultPlayer{plan: log.Plan(), log: log, clock: clock}
	p.active = make([]bool, len(p.plan.Windows))
	for range p.plan.Windows {
		p.applied = append(p.applied, make(chan struct{}))
	}
	return p
}

// Prepare has the injector make ready what the faults of the plan need, if it is
// a Preparer. It is called before Play, and before the zero of the timeline.
func (p *FaultPlayer) Prepare(ctx context.Context, injector Injector) error {
	preparer, ok := injector.(Preparer)
	if !ok {
		return nil
	}
	var faults []fault.Fault
	for i := range p.plan.Windows {
		if w := &p.plan.Windows[i]; w.Acts() {
			faults = append(faults, w.Fault)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, PrepareTimeout)
	defer cancel()
	return preparer.Prepare(ctx, faults)
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
	p.log.Begin(began)
	playing, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var changes sync.WaitGroup
	for _, s := range p.plan.Steps {
		if !p.clock.WaitUntil(playing, began.Add(s.At)) {
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

// apply lets the fault of a window act. That it was cut short by the end of ctx
// is not an error of the fault.
func (p *FaultPlayer) apply(ctx context.Context, i int) error {
	w := &p.plan.Windows[i]
	p.log.Asked(i, p.clock.Now())
	if w.Acts() {
		if err := p.inject(ctx, i); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it is cleared as if it acted
			}
			rec := p.log.Failed(i, err)
			p.tell(i, false, rec, err)
			return &FaultError{Doing: "applying", ID: w.ID, Label: rec.Label, Err: err}
		}
	}
	rec := p.log.Applied(i, p.clock.Now())
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
	ctx = context.WithoutCancel(ctx)
	if p.isActive(i) && !w.Forgotten {
		if p.Hits {
			p.readHits(ctx, i) // has a bound of its own, so that it takes no time from the clear
		}
		ctx, cancel := context.WithTimeout(ctx, ChangeTimeout)
		defer cancel()
		p.log.ClearAsked(i, p.clock.Now())
		if err := p.injector.Clear(ctx, w.ID); err != nil {
			failed := &FaultError{Doing: "clearing", ID: w.ID, Label: p.log.Record(i).Label, Err: err}
			p.tell(i, true, p.log.Failed(i, failed), err)
			return failed
		}
	}
	p.setActive(i, false)
	now := p.clock.Now()
	p.log.ClearAsked(i, now) // unless it was asked above
	p.tell(i, true, p.log.Cleared(i, now), nil)
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
	return p.log.Acting(i, active)
}

func (p *FaultPlayer) tell(i int, clears bool, rec result.FaultRecord, err error) {
	if p.Observe == nil {
		return
	}
	at := p.clock.Now().Sub(p.began)
	p.observed.Lock()
	defer p.observed.Unlock()
	p.Observe(FaultChange{At: at, Window: &p.plan.Windows[i], Clear: clears, Record: rec, Err: err})
}

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

// Records returns a record for each window of the plan, in its order.
func (p *FaultPlayer) Records() []result.FaultRecord { return p.log.Records() }
