package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/netfault/impair"
)

// desiredFault is one fault that shall act on a pod.
type desiredFault struct {
	owner   string
	version int64
	uid     string // of the pod, as the order writes it
	// pods are how many pods the order has the fault act on.
	pods  int
	fault order.Fault
}

// result is what an actuator has made of one fault; it acts if err is nil.
type result struct {
	by, effective string
	err           error
}

// An actuator carries out the faults of some types on one pod. Its methods are
// called one at a time.
type actuator interface {
	// takes tells the types.
	takes(fault.Type) bool
	// set makes just these faults act and takes back all others, also those
	// that a helper before this one has left, and returns a result for each. It
	// is called again with the same faults, so that it can see to what has
	// changed in the pod. The error says what could not be taken back.
	set(context.Context, []desiredFault) ([]result, error)
	// close takes back everything and gives up what the actuator holds.
	Close(context.Context) error
}

// The pause between two checks of a pod on which faults act, and the wait before a
// failed change is tried again.
const (
	reconcileEvery = time.Second
	retryFirst     = 500 * time.Millisecond
	retryMost      = 15 * time.Second
	// roundLimit bounds what an actuator does at a time.
	roundLimit = 30 * time.Second
	closeTries = 6
	// retryPause, doubled with each try, comes before a pod is taken back again.
	retryPause = 200 * time.Millisecond
)

// actuatorState is an actuator with what came of it.
type actuatorState struct {
	actuator
	want    []desiredFault
	results []result
	// undoErr is why something could not be taken back.
	undoErr  error
	clean    bool // nothing of ours is left
	failures int
	due      time.Time
}

// faultKey names a fault of an owner.
type faultKey struct{ owner, id string }

// pod makes the faults act that are wanted on one pod. One goroutine runs it.
type pod struct {
	uid       string // plain
	store     *orderStore
	actuators []*actuatorState
	// admit returns why a fault may not act on the pod; nil if it may.
	admit func(*desiredFault) error
	kick  chan struct{}
	done  chan struct{}
	// endErr is what could not be taken back in the end; read after done.
	endErr error

	mu       sync.Mutex
	ended    bool
	waiting  []chan struct{}
	statuses map[faultKey]order.Status
}

func newPod(uid string, store *orderStore, actuators []actuator, admit func(*desiredFault) error) *pod {
	p := &pod{uid: uid, store: store, admit: admit, kick: make(chan struct{}, 1), done: make(chan struct{})}
	for _, c := range actuators {
		p.actuators = append(p.actuators, &actuatorState{actuator: c})
	}
	return p
}

// ask has the pod look at the orders; the channel is closed when what they want
// now has been tried. It returns nil if the pod has ended.
func (p *pod) ask() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	answer := make(chan struct{})
	p.waiting = append(p.waiting, answer)
	select {
	case p.kick <- struct{}{}:
	default: // it is kicked already
	}
	return answer
}

// Run works until nothing is wanted or left, or ctx ends; then everything is
// taken back.
func (p *pod) Run(ctx context.Context) {
	defer close(p.done)
	for ctx.Err() == nil {
		p.mu.Lock()
		waiting := p.waiting
		p.waiting = nil
		p.mu.Unlock()
		next := p.reconcile(ctx, len(waiting) > 0)
		for _, w := range waiting {
			close(w)
		}
		if next.IsZero() && p.mayEnd() {
			break
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-p.kick:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	p.endErr = p.end(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for _, w := range p.waiting {
		close(w)
	}
}

// mayEnd ends the pod unless somebody has asked meanwhile.
func (p *pod) mayEnd() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = len(p.waiting) == 0
	return p.ended
}

// reconcile makes what is wanted now act and returns when to look again; zero if
// there is nothing to look after.
func (p *pod) reconcile(ctx context.Context, asked bool) (next time.Time) {
	want, refused := p.admitted(p.store.desired(p.uid, time.Now()))
	for _, t := range p.actuators {
		var part []desiredFault
		for _, w := range want {
			if t.takes(w.fault.Fault.Type) {
				part = append(part, w)
			}
		}
		t.reconcile(ctx, part, asked)
		if len(part) > 0 || !t.clean {
			next = earlier(next, t.due)
		}
	}
	for _, w := range want {
		next = earlier(next, w.fault.Deadline)
	}
	if len(refused) > 0 {
		next = earlier(next, time.Now().Add(reconcileEvery))
	}
	p.publish(time.Now(), refused)
	return next
}

// admitted sorts out the faults that may not act on the pod, each with the reason.
func (p *pod) admitted(want []desiredFault) (admitted []desiredFault, refused []order.Status) {
	for i := range want {
		w := &want[i]
		if err := p.admit(w); err != nil {
			refused = append(refused, order.Status{Owner: w.owner, Version: w.version, PodUID: w.uid, FaultID: w.fault.ID, Error: oneLine(fmt.Errorf("the helper refuses it: %w", err))})
			continue
		}
		admitted = append(admitted, *w)
	}
	return admitted, refused
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// reconcile has the actuator make the faults act if they are others than before, or it
// is time to look after them.
func (t *actuatorState) reconcile(ctx context.Context, want []desiredFault, asked bool) {
	now := time.Now()
	same := reflect.DeepEqual(want, t.want)
	if same && t.clean && len(want) == 0 || same && !asked && now.Before(t.due) {
		return
	}
	if !same {
		t.failures = 0
	}
	// A signal must not break off half-way what is being done.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundLimit)
	defer cancel()
	results, err := t.set(bounded, want)
	t.want, t.results, t.undoErr = want, results, err
	t.clean = len(want) == 0 && err == nil
	failed := err != nil
	for _, r := range results {
		failed = failed || r.err != nil
	}
	t.due = time.Now().Add(reconcileEvery)
	if failed {
		t.due = time.Now().Add(min(retryFirst<<min(t.failures, 10), retryMost))
		t.failures++
	} else {
		t.failures = 0
	}
}

// publish tells what acts.
func (p *pod) publish(now time.Time, refused []order.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	statuses := map[faultKey]order.Status{}
	for _, s := range refused {
		statuses[faultKey{s.Owner, s.FaultID}] = s
	}
	for _, t := range p.actuators {
		for n, w := range t.want {
			s := order.Status{Owner: w.owner, Version: w.version, PodUID: w.uid, FaultID: w.fault.ID}
			r := t.results[n]
			before := p.statuses[faultKey{w.owner, w.fault.ID}]
			switch {
			case r.err != nil:
				s.Error = oneLine(r.err)
			case before.Acts:
				s.Acts, s.By, s.Effective, s.Since = true, r.by, r.effective, before.Since
			default:
				s.Acts, s.By, s.Effective, s.Since = true, r.by, r.effective, now
			}
			statuses[faultKey{w.owner, w.fault.ID}] = s
		}
		if t.undoErr == nil {
			continue
		}
		for key, before := range p.statuses {
			if _, wanted := statuses[key]; before.Acts && !wanted {
				before.Error = oneLine(fmt.Errorf("taking it back, which is tried again: %w", t.undoErr))
				statuses[key] = before
			}
		}
	}
	p.statuses = statuses
}

// allStatuses returns what became of all faults, in no order.
func (p *pod) allStatuses() []order.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []order.Status
	for _, s := range p.statuses {
		out = append(out, s)
	}
	return out
}

// end takes everything back.
func (p *pod) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roundLimit)
	defer cancel()
	var errs []error
	for _, t := range p.actuators {
		err := t.Close(ctx)
		for try := 1; err != nil && try < closeTries; try++ {
			select {
			case <-time.After(retryPause << try):
			case <-ctx.Done():
			}
			err = t.Close(ctx)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("pod %s: %w: %w", p.uid, impair.ErrCleanup, err)
	}
	return nil
}
