package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// begin sets the zero of elapsed times.
func (r *running) begin() {
	r.began = r.clock.Now()
	r.account.Begin(r.began)
	var phases []string
	for i := range r.Load.Phases {
		phases = append(phases, r.Load.Phases[i].Name)
	}
	r.emit(LoadBegun{At: r.began.UTC(), Length: r.account.Length(), Phases: phases})
}

// elapsed is the time since the zero of elapsed times.
func (r *running) elapsed() time.Duration { return r.clock.Now().Sub(r.began) }

// sendLoad sends the load while the faults come and go.
func (r *running) sendLoad(ctx context.Context, deployment Deployment, prepared PreparedLoad) error {
	loading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	beside, stopBeside := context.WithCancel(loading)
	var background sync.WaitGroup
	background.Go(func() {
		// Ignore the error of a play that the end of beside cut short: the run ends
		// then for a reason of its own.
		if err := r.faults.Play(beside, deployment, r.began); err != nil && beside.Err() == nil {
			stop(err)
		}
	})
	ticking, stopTicking := context.WithCancel(beside)
	var ticks sync.WaitGroup
	ticks.Go(func() { r.tick(ticking, stop) })
	ticks.Go(func() { r.watchItself(ticking) })

	report, err := prepared.Load(loading, r.account.Outcome)
	stopTicking()
	ticks.Wait()
	r.account.EndLoad(report)
	r.account.Processes(r.processes, readProcesses(ctx, deployment))
	r.emit(LoadEnded{At: r.elapsed()})
	if err == nil && r.Tail > 0 && r.deps.Collector != nil {
		r.watchTail(loading)
	}
	stopBeside()
	background.Wait()
	clearErr := r.clearFaults(ctx)
	aborted := (*abortedError)(nil)
	switch cause := context.Cause(loading); {
	case errors.As(cause, &aborted):
		r.account.Abort(&aborted.abort)
		err = nil
	case ctx.Err() != nil:
		err = fmt.Errorf("the run was interrupted after %s: %w", r.elapsed().Round(time.Millisecond), context.Cause(ctx))
	case cause != nil:
		err = cause
	case err != nil:
		err = fmt.Errorf("putting load on system %q: %w", r.System.Name, err)
	}
	return errors.Join(err, clearErr)
}

// abortedError is the cause that ends the load when a condition of AbortOn holds.
type abortedError struct{ abort result.Abort }

func (e *abortedError) Error() string { return e.abort.Why }

// tick reports phases, and each second of the clients, to the observer until ctx
// ends. When a condition of AbortOn holds, tick calls stop, which ends ctx.
func (r *running) tick(ctx context.Context, stop context.CancelCauseFunc) {
	r.nextPhase()
	var abort *result.Abort
	every(ctx, r.clock, time.Second, func() {
		if abort = r.endSecond(); abort != nil {
			stop(&abortedError{*abort}) // ends ctx, too
			return
		}
		r.nextPhase()
	})
	if abort == nil {
		r.endSecond() // the last second, as far as it went
	}
}

// A program that looked at the clock each heartbeat, and did not for standstill, did
// not run.
const (
	heartbeat  = 250 * time.Millisecond
	standstill = time.Second
)

// watchItself notes when this program did not run, until ctx ends.
func (r *running) watchItself(ctx context.Context) {
	last := r.clock.Now()
	every(ctx, r.clock, heartbeat, func() {
		now := r.clock.Now()
		if now.Sub(last)-heartbeat >= standstill {
			r.account.StoodStill(last, now)
		}
		last = now
	})
}

func (r *running) nextPhase() {
	if p, begun := r.account.NextPhase(r.clock.Now()); begun {
		r.emit(PhaseBegun{At: p.At, Index: p.Index, Name: p.Name})
	}
}

func (r *running) endSecond() *result.Abort {
	second, abort := r.account.Second(r.clock.Now())
	r.emit(ClientSampled{second})
	return abort
}

func (r *running) observeSample(sample measure.Sample) {
	at, phase, counts := r.account.Sample(&sample)
	if !counts {
		return
	}
	r.emit(ServiceSampled{At: at, Phase: phase, Sample: sample})
	if r.account.Idle() {
		r.idleOnce.Do(func() { close(r.idle) })
	}
}

// watchTail waits, after the load, until the system is idle or the time of the tail
// is over.
func (r *running) watchTail(ctx context.Context) {
	until := r.account.BeginTail()
	r.emit(TailBegun{At: r.elapsed(), Longest: r.Tail.Std()})
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-r.idle:
			stop()
		case <-watching.Done():
		}
	}()
	r.clock.WaitUntil(watching, until)
	r.account.EndTail(r.clock.Now())
}

// clearFaults clears all faults that still act.
func (r *running) clearFaults(ctx context.Context) error {
	var errs []error
	for _, failed := range r.faults.ClearAll(ctx) {
		errs = append(errs, failed)
	}
	return errors.Join(errs...)
}

// observeFault reports a change of a fault to the observer. It leaves out the clear
// of a fault that was never applied.
func (r *running) observeFault(c FaultChange) {
	switch {
	case !c.Clear:
		r.emit(FaultApplied{c.Record})
	case c.Err != nil || c.Record.Applied():
		r.emit(FaultCleared{c.Record})
	}
}
