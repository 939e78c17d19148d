package service

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A faultBoard has the faults that act now. Requests read its snapshot without a
// lock; each change makes a new snapshot.
type faultBoard struct {
	mu      sync.Mutex
	running []*runningFault
	now     atomic.Pointer[faultSnapshot]
}

// A faultSnapshot has the faults that one request sees from its beginning to its
// end. Op.Fault i+1 means running[i].
type faultSnapshot struct {
	set     *behave.FaultSet
	running []*runningFault
}

// faultSet returns the faults as machines need them, or nil if no fault acts.
func (f *faultSnapshot) faultSet() *behave.FaultSet {
	if f == nil {
		return nil
	}
	return f.set
}

// hit counts that a fault has acted. place counts from 1, as Op.Fault does.
func (f *faultSnapshot) hit(place int) { f.running[place-1].hits.Add(1) }

// cleared returns a channel that is closed when a fault ends. For the fault of a
// chain, whose place is 0, it returns nil, which blocks for ever.
func (f *faultSnapshot) cleared(place int) <-chan struct{} {
	if place == 0 {
		return nil
	}
	return f.running[place-1].cleared
}

type runningFault struct {
	id       string
	fault    fault.Fault
	since    time.Time
	deadline time.Time
	hits     atomic.Int64
	// cleared is closed when the fault ends, which ends its hangs.
	cleared chan struct{}
	timer   *time.Timer
}

// maxFaults bounds how many faults act on a service at once.
const maxFaults = 200

// AddFault makes a fault act until it is cleared or the deadline comes; the zero
// time means no deadline. It replaces a fault with the same id. The target's
// service is taken to be this one, except for a fault of type unreachable, which
// acts in the caller: there the target is the callee.
func (s *Service) AddFault(id string, f fault.Fault, deadline time.Time) error {
	if id == "" || len(id) > maxID {
		return fmt.Errorf("adding fault %q: an id has 1 to %d characters", id, maxID)
	}
	if f.Target.Service == "" && f.Type != fault.Unreachable {
		f.Target.Service = s.Name()
	}
	switch {
	case f.Type == fault.Unreachable && f.Target.From != "" && f.Target.From != s.Name():
		return fmt.Errorf("adding fault %q: it acts in the caller %q, this is %q", id, f.Target.From, s.Name())
	case f.Type != fault.Unreachable && f.Target.Service != s.Name():
		return fmt.Errorf("adding fault %q: its target is service %q, this is %q", id, f.Target.Service, s.Name())
	}
	if err := errors.Join(behave.CanAct(&f), f.Validate().Err()); err != nil {
		return fmt.Errorf("adding fault %q: %w", id, err)
	}
	now := time.Now()
	if !deadline.IsZero() && !deadline.After(now) {
		return fmt.Errorf("adding fault %q: its deadline %s is over", id, deadline.Format(time.RFC3339))
	}
	if s.stopping() {
		return fmt.Errorf("adding fault %q: the service is stopping", id)
	}
	r := &runningFault{id: id, fault: f.WithDefaults(), since: now, deadline: deadline, cleared: make(chan struct{})}
	b := &s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(s.log, id)
	if len(b.running) >= maxFaults {
		return fmt.Errorf("adding fault %q: %d faults act already, the most possible", id, maxFaults)
	}
	b.running = append(b.running, r)
	if !deadline.IsZero() {
		r.timer = time.AfterFunc(deadline.Sub(now), func() { s.clear(r) })
	}
	b.publish(s)
	s.log.Info("fault applied", "fault", id, "type", f.Type, "probability", float64(f.Probability))
	return nil
}

// ClearFault ends a fault. It does nothing if no fault has this id.
func (s *Service) ClearFault(id string) {
	b := &s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(s.log, id)
	b.publish(s)
}

// clear ends this fault, but not a newer one with the same id.
func (s *Service) clear(r *runningFault) {
	b := &s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, other := range b.running {
		if other == r {
			b.remove(s.log, r.id)
			b.publish(s)
			return
		}
	}
}

// Faults lists the faults that act now, in the order in which they came.
func (s *Service) Faults() []runner.Injection {
	b := &s.faults
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]runner.Injection, 0, len(b.running))
	for _, r := range b.running {
		list = append(list, runner.Injection{
			ID: r.id, Fault: r.fault, Since: r.since, Deadline: r.deadline, Hits: r.hits.Load(),
			Replicas: []string{fmt.Sprintf("%s/%d", s.Name(), s.cfg.Replica)},
		})
	}
	return list
}

func (b *faultBoard) remove(log *slog.Logger, id string) {
	kept := make([]*runningFault, 0, len(b.running))
	for _, r := range b.running {
		if r.id != id {
			kept = append(kept, r)
			continue
		}
		if r.timer != nil {
			r.timer.Stop()
		}
		close(r.cleared)
		log.Info("fault cleared", "fault", r.id, "type", r.fault.Type, "hits", r.hits.Load())
	}
	b.running = kept
}

// publish makes the present faults known to new requests and to the metrics.
func (b *faultBoard) publish(s *Service) {
	acting := map[fault.Type]int{}
	for _, r := range b.running {
		acting[r.fault.Type]++
	}
	s.metrics.SetFaults(acting)
	if len(b.running) == 0 {
		b.now.Store(nil)
		return
	}
	active := make([]behave.Active, len(b.running))
	for i, r := range b.running {
		active[i] = behave.Active{ID: r.id, Fault: r.fault}
	}
	b.now.Store(&faultSnapshot{set: behave.NewFaultSet(s.cfg.Replica, active), running: b.running})
}

func (b *faultBoard) clearAll(s *Service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.running {
		b.remove(s.log, r.id)
	}
	b.publish(s)
}
