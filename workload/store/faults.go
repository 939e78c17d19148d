package store

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// A runningFault is a fault that acts on the store.
type runningFault struct {
	id       string
	fault    fault.Fault
	since    time.Time
	deadline time.Time
	timer    *time.Timer
	// acted counts what it has done to a real server's clients.
	acted atomic.Int64
}

// AddFault lets a fault act from now on, until it is cleared or the deadline has
// come; a zero deadline means that it is cleared by hand. A fault of the same id is
// replaced.
func (s *Server) AddFault(id string, f fault.Fault, deadline time.Time) error {
	if entry, _ := fault.Lookup(f.Type); entry.Layer != fault.InStore {
		return fmt.Errorf("adding fault %q: fault type %q does not act in a data store", id, f.Type)
	}
	if f.Target.Service == "" {
		f.Target.Service = s.cfg.Service.Name
	}
	now := time.Now()
	switch {
	case id == "":
		return fmt.Errorf("adding fault %q: it has no id", f.Label())
	case f.Target.Service != s.cfg.Service.Name:
		return fmt.Errorf("adding fault %q: its target is service %q, this is %q", id, f.Target.Service, s.cfg.Service.Name)
	case !deadline.IsZero() && !deadline.After(now):
		return fmt.Errorf("adding fault %q: its deadline %s is over", id, deadline.Format(time.RFC3339))
	}
	if err := f.Validate().Err(); err != nil {
		return fmt.Errorf("adding fault %q: %w", id, err)
	}
	if err := store.Can(&s.cfg.Service, &f); err != nil {
		return fmt.Errorf("adding fault %q: %w", id, err)
	}
	r := &runningFault{id: id, fault: f.WithDefaults(), since: now, deadline: deadline}
	if s.real {
		return s.addReal(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return fmt.Errorf("adding fault %q: %w", id, errEnded)
	}
	s.removeFault(id)
	s.list(r)
	if s.model.Apply(id, f, s.now()) {
		s.cut()
	}
	s.conditionsChanged()
	return nil
}

// list adds a fault to those that act, and lets it end at its deadline. The caller holds
// mu.
func (s *Server) list(r *runningFault) {
	s.faults = append(s.faults, r)
	if !r.deadline.IsZero() {
		r.timer = time.AfterFunc(time.Until(r.deadline), func() { s.clear(r) })
	}
	s.log.Info("fault applied", "fault", r.id, "type", r.fault.Type, "probability", float64(r.fault.Probability))
}

// ClearFault ends a fault. One that has ended already, or never was, is no error. An
// error says that a real server stays as the fault has made it.
func (s *Server) ClearFault(id string) error {
	if s.real {
		return s.clearReal(func(r *runningFault) bool { return r.id == id })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeFault(id)
	s.conditionsChanged()
	return nil
}

// clear ends this very fault, not another that has taken its id.
func (s *Server) clear(r *runningFault) {
	if s.real {
		_ = s.clearReal(func(other *runningFault) bool { return other == r }) // it is logged
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.faults, r) {
		s.removeFault(r.id)
		s.conditionsChanged()
	}
}

func (s *Server) clearAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.faults {
		s.removeFault(r.id)
	}
	s.conditionsChanged()
}

// removeFault takes a fault away. The caller holds mu.
func (s *Server) removeFault(id string) {
	s.faults = slices.DeleteFunc(slices.Clone(s.faults), func(r *runningFault) bool {
		if r.id != id {
			return false
		}
		if r.timer != nil {
			r.timer.Stop()
		}
		s.log.Info("fault cleared", "fault", r.id, "type", r.fault.Type, "hits", s.hits(r))
		return true
	})
	s.model.Clear(id)
}

// hits is how often a fault has acted. The caller holds mu.
func (s *Server) hits(r *runningFault) int64 {
	if s.real && r.fault.Type != fault.SlowQuery {
		return r.acted.Load()
	}
	for _, c := range s.model.Conditions() {
		if c.ID == r.id {
			return c.Hits()
		}
	}
	return 0
}

// conditionsChanged wakes the operations that wait for it. The caller holds mu.
func (s *Server) conditionsChanged() {
	s.wake()
	s.metrics.setFaults(s.faults)
}

// wake lets the operations go on that wait for a change. The caller holds mu.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Faults lists the faults that act now, in the order in which they came.
func (s *Server) Faults() []control.Injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]control.Injection, 0, len(s.faults))
	for _, r := range s.faults {
		list = append(list, control.Injection{
			ID: r.id, Fault: r.fault, Since: r.since, Deadline: r.deadline, Hits: s.hits(r),
			Replicas: []string{fmt.Sprintf("%s/%d", s.cfg.Service.Name, s.cfg.Replica)},
		})
	}
	return list
}
