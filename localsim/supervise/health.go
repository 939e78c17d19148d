package supervise

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A HealthCheck is a probe of an instance; every field but Path is set.
type HealthCheck struct {
	topology.Probe
	// Liveness says that a failure restarts the replica. Otherwise a failure
	// makes it unready.
	Liveness bool
}

// A streak counts the outcomes of checks in a row.
type streak struct {
	failed, succeeded int
	// since is when the first of the failures in a row began.
	since time.Time
}

func (s *streak) note(begun time.Time, failed bool) {
	switch {
	case !failed:
		s.failed, s.succeeded = 0, s.succeeded+1
	case s.failed == 0:
		s.failed, s.succeeded, s.since = 1, 0, begun
	default:
		s.failed++
	}
}

// startChecks makes the health checks of an instance until stop is called. stop
// waits for the checks under way.
func (r *Replica) startChecks(in Instance) (stop func()) {
	if r.config.Checks == nil {
		return func() {}
	}
	// Do not end the checks with the life of the replica. Its instance is stopped
	// then, and after that the caller calls stop.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.life))
	var checking sync.WaitGroup
	for _, c := range r.config.Checks() {
		checking.Go(func() { r.keepChecking(ctx, in, c) })
	}
	return func() {
		cancel()
		checking.Wait()
	}
}

func (r *Replica) keepChecking(ctx context.Context, in Instance, c HealthCheck) {
	tick := time.NewTicker(c.Period.Std())
	defer tick.Stop()
	var s streak
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		begun := time.Now()
		checking, cancel := context.WithTimeout(ctx, c.Timeout.Std())
		err := r.config.Check(checking, in, c)
		cancel()
		if ctx.Err() != nil {
			return
		}
		s.note(begun, err != nil)
		switch {
		case c.Liveness && r.isPaused():
			// A fault holds the process; a new one would be paused as well.
			s = streak{}
		case c.Liveness && s.failed >= c.FailureThreshold:
			r.restartHung(in, s.since, err)
			return
		case c.Liveness:
		case s.failed == c.FailureThreshold:
			r.becomeUnready(in, s.since, err)
		case s.succeeded >= c.SuccessThreshold:
			r.becomeHealthy(in)
		}
	}
}

func (r *Replica) isPaused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state == runner.Paused
}

// becomeUnready notes that the readiness of an instance has failed since some
// moment. A paused replica stays paused, but its pause has been noticed.
func (r *Replica) becomeUnready(in Instance, since time.Time, why error) {
	r.mu.Lock()
	if r.current != in || r.removal != nil || r.unready {
		r.mu.Unlock()
		return
	}
	r.unready, r.detected = true, time.Now()
	if open := r.openOutageLocked(); open != nil {
		open.Detected = r.detected
	} else {
		r.addOutageLocked(Outage{Service: r.service, Replica: r.index, Cause: string(CauseReadiness), Down: since, Detected: r.detected})
	}
	if r.state == runner.Ready {
		r.state, r.since = runner.Unready, since
	}
	r.changedLocked()
	r.mu.Unlock()
	r.config.Notify("unready", fmt.Errorf("its readiness check failed: %w", why))
}

// becomeHealthy makes an instance ready that was not.
func (r *Replica) becomeHealthy(in Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != in || !r.unready {
		return
	}
	r.unready = false
	if r.state == runner.Unready {
		r.becomeReadyLocked()
	}
}

// restartHung ends an instance whose liveness has failed since some moment.
func (r *Replica) restartHung(in Instance, since time.Time, why error) {
	r.mu.Lock()
	if r.current != in || r.removal != nil {
		r.mu.Unlock()
		return
	}
	r.removal = &Outage{Service: r.service, Replica: r.index, Cause: string(CauseLiveness), Down: since, Detected: time.Now()}
	if r.detected.IsZero() {
		r.detected = r.removal.Detected
	}
	r.mu.Unlock()
	r.config.Notify("hung", fmt.Errorf("its liveness check failed: %w", why))
	r.ending <- struct{}{}
}
