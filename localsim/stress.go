package localsim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// stresses are the processes that take resources away: one for each replica that
// a stress fault targets. They take them from the machine, whether the replica
// runs or not, so a restart of the replica does not concern them.
type stresses struct {
	mu      sync.Mutex
	running map[stressKey]*supervise.Helper // guarded by mu
	// watching counts the goroutines that wait for the end of processes.
	watching sync.WaitGroup
}

type stressKey struct {
	in *injection
	slot
}

// stressGrace is how long after the deadline of its fault a process ends by itself,
// if it has not been ended.
const stressGrace = time.Second

// applyStress starts the processes of the stress faults that are wanted, and ends
// all others.
func (d *Deployment) applyStress(ctx context.Context) error {
	s := &d.stresses
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.life.Err() != nil {
		return control.ErrClosed
	}
	want := map[stressKey]bool{}
	d.mu.Lock()
	for _, in := range d.injections {
		if in.layer != fault.OnHost || in.expired() {
			continue
		}
		for _, r := range d.replicas {
			if in.targetsLocked(r) {
				want[stressKey{in, r.slot()}] = true
			}
		}
	}
	d.mu.Unlock()
	errs := []error{s.endLocked(func(key stressKey) bool { return !want[key] })}
	starting := slices.SortedFunc(maps.Keys(want), stressKey.compare)
	starting = slices.DeleteFunc(starting, func(key stressKey) bool { return s.running[key] != nil })
	helpers := make([]*supervise.Helper, len(starting))
	failed := make([]error, len(starting))
	eachAtOnce(len(starting), func(i int) { helpers[i], failed[i] = d.startStress(ctx, starting[i]) })
	if err := errors.Join(failed...); err != nil {
		for _, h := range helpers {
			if h != nil {
				errs = append(errs, h.End())
			}
		}
		return errors.Join(append(errs, err)...)
	}
	// All begin together, when all are ready.
	for i, h := range helpers {
		s.running[starting[i]] = h
		errs = append(errs, h.Begin())
		s.watching.Go(func() { d.watchStress(starting[i], h) })
	}
	return errors.Join(errs...)
}

func (k stressKey) compare(o stressKey) int {
	return strings.Compare(k.in.id+" "+k.label(), o.in.id+" "+o.label())
}

// startStress starts a process, which is ready to begin when it returns.
func (d *Deployment) startStress(ctx context.Context, key stressKey) (*supervise.Helper, error) {
	lasting := time.Duration(0)
	if deadline := key.in.deadline; !deadline.IsZero() {
		lasting = max(time.Until(deadline), 0) + stressGrace
	}
	cmd, err := d.config.Stress(key.in.fault, lasting)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.ReadyTimeout)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)() //nolint:contextcheck // the end of the deployment ends the wait, too
	h, err := supervise.StartHelper(ctx, cmd, d.spawner.Do, func(pid int) error {
		return d.noteProcess(pid, key.label()+" (stress)")
	})
	if err != nil {
		return nil, fmt.Errorf("stressing service %s: %w", key.label(), err)
	}
	return h, nil
}

// noteProcess records a process in the registry, so that `down` finds it if this
// program is killed.
func (d *Deployment) noteProcess(pid int, label string) error {
	if d.entry == nil {
		return nil
	}
	process, err := registry.Identify(pid)
	if err != nil {
		return nil //nolint:nilerr // it has ended already, which its waiter reports
	}
	return d.entry.AddChild(registry.Child{Process: process, Replica: label})
}

// watchStress reports a process that ends before it is ended.
func (d *Deployment) watchStress(key stressKey, h *supervise.Helper) {
	<-h.Done()
	s := &d.stresses
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[key] != h {
		return
	}
	delete(s.running, key)
	if !key.in.expired() {
		d.config.Logger.Warn("stress ended by itself", "fault", key.in.id, "service", key.service, "replica", key.index, "error", h.Failure())
	}
}

// endLocked ends the processes that match. It keeps a process that does not end, so
// that the next call tries again. The caller holds mu.
func (s *stresses) endLocked(matches func(stressKey) bool) error {
	var errs []error
	for key, h := range s.running {
		if !matches(key) {
			continue
		}
		if err := h.End(); err != nil {
			errs = append(errs, fmt.Errorf("ending the stress of service %s: %w", key.label(), err))
			continue
		}
		delete(s.running, key)
	}
	return errors.Join(errs...)
}

// close ends all. The life of the deployment is over, so none is started any more.
func (s *stresses) close() error {
	s.mu.Lock()
	err := s.endLocked(func(stressKey) bool { return true })
	s.mu.Unlock()
	if err == nil {
		s.watching.Wait()
	}
	return err
}

// stressed lists the replicas whose process of a stress fault runs.
func (d *Deployment) stressed(in *injection) (replicas []*replica) {
	d.stresses.mu.Lock()
	defer d.stresses.mu.Unlock()
	for _, r := range d.list() {
		if d.stresses.running[stressKey{in, r.slot()}] != nil {
			replicas = append(replicas, r)
		}
	}
	return replicas
}
