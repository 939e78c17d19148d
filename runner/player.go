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

// A FaultPlayer plays a timeline of faults on a running system. It makes each
// change at its time, and notes when it was planned, asked for and effective. It
// plays once.
type FaultPlayer struct {
	// Observe is called after each change of a fault, also after one that failed,
	// and never by two goroutines at once. It may be nil.
	Observe func(FaultChange)
	// Hits makes the player read, into the records, the replicas that each fault
	// acts on and how often it has acted.
	Hits bool

	plan     *timeline.Plan
	log      *account.FaultLog
	clock    Clock
	injector Injector
	began    time.Time
	// applied has a channel for each window, which is closed when its apply has
	// ended, well or not.
	applied  []chan struct{}
	observed sync.Mutex

	mu sync.Mutex
	// active says which windows may act, so that they must be cleared; guarded by
	// mu.
	active []bool
}

// A FaultChange says how one change of a fault went.
type FaultChange struct {
	// At is when the change was done, counted from the zero of the timeline.
	At     time.Duration
	Window *timeline.Window
	Clear  bool
	Record result.FaultRecord
	// Err says why the change failed; nil if it did not.
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

// newFaultPlayer returns a player of the plan of a log, to which it writes.
func newFaultPlayer(log *account.FaultLog, clock Clock) *FaultPlayer {
	p := &FaultPlayer{plan: log.Plan(), log: log, clock: clock}
	p.active = make([]bool, len(p.plan.Windows))
	for range p.plan.Windows {
		p.applied = append(p.applied, make(chan struct{}))
	}
	return p
}

// Prepare lets an injector that is a Preparer prepare for the faults of the plan.
// Call it before Play, and before the zero of the timeline.
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

// Play makes each change at its time, counted from began, and returns when the last
// is made. No change waits for another, except that the clear of a fault waits for
// the apply of the same fault.
//
// It ends early in two cases: when ctx ends, with the cause of ctx; and at the
// first fault that cannot be applied, with a *FaultError. A fault that cannot be
// cleared is noted, and left to ClearAll.
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

// apply applies the fault of a window. It returns nil if ctx ended meanwhile,
// because that is not an error of the fault.
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
	// From here on the fault may act, even if Inject fails half-way.
	p.setActive(i, true)
	return p.injector.Inject(ctx, w.ID, w.Fault, p.began.Add(w.Deadline))
}

// clearInTurn clears a window as soon as its apply has ended. If ctx has ended by
// then, it leaves the window to ClearAll.
func (p *FaultPlayer) clearInTurn(ctx context.Context, i int) {
	<-p.applied[i] // comes at the end of ctx, too
	if ctx.Err() == nil {
		_ = p.clear(ctx, i) // noted in the record, and tried again at the end
	}
}

// clear clears a window, even if ctx has ended.
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

// ClearAll clears, after Play, all faults that still act, even if ctx has ended. It
// returns an error for each fault that could not be cleared.
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

// readHits notes the replicas that an active fault acts on and how often it has
// acted. It may take only the time of one request, and ignores errors, because the
// run does not depend on these figures.
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
