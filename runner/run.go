// Package runner plays an experiment on any target: it deploys the system,
// loads it while faults come and go, collects what happens, has it judged, and
// cleans up, whatever happens. It owns the narrow interfaces behind which the
// targets stand.
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// Deps are what a run works with.
type Deps struct {
	Deployer Deployer
	Loader   Loader
	// Collector may be nil: then nothing is known of the services.
	Collector Collector
	// Target and Versions are noted in the result.
	Target   string
	Versions map[string]string
	// CleanupTimeout bounds the taking down; 0 means DefaultCleanupTimeout.
	CleanupTimeout time.Duration
	// PollReplicas is how often the states of replicas are asked for; 0 means
	// DefaultPollReplicas. Recoveries are measured no finer.
	PollReplicas time.Duration
}

// Defaults of Deps.
const (
	DefaultCleanupTimeout = 30 * time.Second
	DefaultPollReplicas   = 100 * time.Millisecond
)

// Run plays an experiment: it deploys the system, loads it while faults are
// applied and cleared, judges what was seen, and takes everything down, whatever
// happens.
//
// A run that was cut short, by ctx or by trouble, returns its error and beside
// it what it has, marked incomplete; the result is nil only where nothing was
// started. A check that fails is no error. What could not be cleaned up is a
// CleanupError among the errors.
func Run(ctx context.Context, e experiment.Experiment, deps Deps, observer Observer) (*result.Result, error) {
	e.Load = e.Load.WithDefaults()
	if err := e.Validate().Err(); err != nil {
		return nil, fmt.Errorf("checking experiment %q: %w", e.Name, err)
	}
	r, err := newRun(e, deps, observer)
	if err != nil {
		return nil, err
	}
	if refuser, ok := deps.Deployer.(Refuser); ok {
		if err := r.askAll(refuser); err != nil {
			return nil, err
		}
	}
	err = r.perform(ctx)
	r.emit(Done{Result: r.result, Err: err})
	return r.result, err
}

// A running is one performance of an experiment.
type running struct {
	experiment.Experiment
	deps   Deps
	result *result.Result

	observer Observer
	observed sync.Mutex

	clock    *measure.Schedule
	Clients  *measure.Clients
	Services *measure.Services
	windows  *measure.Windows
	abort    *measure.AbortWatch
	idle     *idleness
	// length is how long the load lasts at most.
	length time.Duration
	faults *FaultPlayer
	// openFaults counts the faults that are still to be cleared.
	openFaults int
	falls      *outages
	// began is the zero of elapsed times. Others than the run's own goroutine
	// read it once loading is set.
	began   time.Time
	loading atomic.Bool
}

func newRun(e experiment.Experiment, deps Deps, observer Observer) (*running, error) {
	if deps.CleanupTimeout == 0 {
		deps.CleanupTimeout = DefaultCleanupTimeout
	}
	if deps.PollReplicas == 0 {
		deps.PollReplicas = DefaultPollReplicas
	}
	clock := measure.NewSchedule(e.Load)
	length, bounded := experiment.Length(e.Load)
	if bounded && e.Tail > 0 {
		clock.SetLoadEnd(length)
	}
	plan, err := planFaults(&e)
	if err != nil {
		return nil, err
	}
	if len(plan.Steps) > 0 {
		clock.SetFirstFault(plan.Steps[0].At)
	}
	r := &running{
		Experiment: e, deps: deps, observer: observer, clock: clock, length: length,
		Clients: measure.NewClients(clock), Services: measure.NewServices(clock), faults: NewFaultPlayer(plan), openFaults: len(plan.Windows), falls: &outages{},
		windows: measure.NewWindows(e.Window.Std()), abort: measure.NewAbortWatch(e.AbortOn, e.AbortWindow), idle: newIdleness(&e),
		result: &result.Result{
			APIVersion: result.ResultVersion, Kind: result.ResultKind, Name: e.Name, Variant: e.AppliedVariant, Seed: e.Seed, Target: deps.Target, Versions: deps.Versions,
			Environment: result.ThisEnvironment(), Checks: []result.CheckResult{}, Faults: []result.FaultRecord{}, Recoveries: []result.Recovery{}, Segments: []result.Segment{},
		},
	}
	r.faults.Hits, r.faults.Observe = true, r.observeFault
	return r, nil
}

func (r *running) emit(e Event) {
	if r.observer == nil {
		return
	}
	r.observed.Lock()
	defer r.observed.Unlock()
	r.observer(e)
}

// askAll names every fault that is not possible here.
func (r *running) askAll(refuser Refuser) error {
	var errs []error
	for i := range r.Faults {
		if err := refuser.CanInject(&r.Faults[i]); err != nil {
			errs = append(errs, fmt.Errorf("fault %q is not possible on target %q: %w", r.Faults[i].Label(), r.deps.Target, err))
		}
	}
	return errors.Join(errs...)
}

func (r *running) perform(ctx context.Context) (err error) {
	r.result.Started = time.Now().UTC()
	r.emit(Deploying{System: r.System.Name, Target: r.deps.Target})
	deployment, err := r.deps.Deployer.Deploy(ctx, &r.System, r.Seed)
	if err != nil {
		err = fmt.Errorf("deploying system %q: %w", r.System.Name, err)
		r.finish(err)
		return err
	}
	defer func() { err = errors.Join(err, r.takeDown(ctx, deployment)) }()
	if err = r.askAll(deployment); err == nil {
		err = r.watch(ctx, deployment)
	}
	r.finish(err)
	return err
}

// takeDown closes the deployment, even where ctx has ended.
func (r *running) takeDown(ctx context.Context, deployment Deployment) error {
	r.emit(CleaningUp{System: r.System.Name})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.deps.CleanupTimeout)
	defer cancel()
	err := deployment.Close(ctx)
	if err == nil {
		return nil
	}
	if cleanup := (*CleanupError)(nil); errors.As(err, &cleanup) {
		return err
	}
	return &CleanupError{Left: []string{fmt.Sprintf("system %q", r.System.Name)}, Err: err}
}

// watch loads the system under the eyes of the collector and of the polling of
// replicas, and returns when both have seen the last of it.
func (r *running) watch(ctx context.Context, deployment Deployment) (err error) {
	replicas, err := deployment.Replicas(ctx)
	if err != nil {
		return fmt.Errorf("listing the replicas of system %q: %w", r.System.Name, err)
	}
	r.emit(Deployed{Replicas: replicas, Took: time.Since(r.result.Started)})
	prepared, err := prepare(ctx, r.deps.Loader, r.Load, r.loadTarget(replicas))
	if err != nil {
		return fmt.Errorf("preparing the load on system %q: %w", r.System.Name, err)
	}
	defer func() { err = errors.Join(err, r.endLoad(ctx, prepared)) }()
	polling, stopPolling := context.WithCancel(ctx)
	var poller sync.WaitGroup
	poller.Go(func() { r.pollReplicas(polling, deployment, replicas) })
	defer func() {
		stopPolling()
		poller.Wait()
	}()

	if r.deps.Collector != nil {
		if err := r.deps.Collector.Start(context.WithoutCancel(ctx), deployment.Replicas, r.observeSample); err != nil {
			return fmt.Errorf("watching system %q: %w", r.System.Name, err)
		}
		defer func() {
			if stopErr := r.deps.Collector.Stop(); stopErr != nil {
				err = errors.Join(err, fmt.Errorf("ending the watch over system %q: %w", r.System.Name, stopErr))
			}
		}()
	}
	// The first look at a large system takes a while, which is not to pass
	// between the zero of the faults and that of the load.
	r.begin()
	return r.sendLoad(ctx, deployment, prepared)
}

// loadTarget tells the loader where the replicas are that are ready.
func (r *running) loadTarget(replicas []Replica) LoadTarget {
	target := LoadTarget{System: &r.System, URLs: map[string][]string{}, Seed: r.Seed}
	for _, replica := range replicas {
		if replica.State == Ready {
			target.URLs[replica.Service] = append(target.URLs[replica.Service], cmp.Or(replica.Entrance, replica.URL))
		}
	}
	return target
}

// endLoad takes down what the load needed, even where ctx has ended.
func (r *running) endLoad(ctx context.Context, prepared PreparedLoad) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.deps.CleanupTimeout)
	defer cancel()
	return prepared.Close(ctx)
}

// begin sets the zero of elapsed times.
func (r *running) begin() {
	r.began = time.Now()
	r.loading.Store(true)
	r.result.LoadStarted = r.began.UTC()
	var phases []string
	for i := range r.Load.Phases {
		phases = append(phases, r.Load.Phases[i].Name)
	}
	r.emit(LoadBegun{At: r.result.LoadStarted, Length: r.length, Phases: phases})
}

// sendLoad sends the load while the faults come and go.
func (r *running) sendLoad(ctx context.Context, deployment Deployment, prepared PreparedLoad) error {
	loading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	beside, stopBeside := context.WithCancel(loading)
	var background sync.WaitGroup
	background.Go(func() {
		// At the end of beside, the run ends anyway, and knows why.
		if err := r.faults.Play(beside, deployment, r.began); err != nil && beside.Err() == nil {
			stop(err)
		}
	})
	ticking, stopTicking := context.WithCancel(beside)
	var ticks sync.WaitGroup
	ticks.Go(func() {
		if aborted := r.tick(ticking); aborted != nil {
			stop(aborted)
		}
	})

	report, err := prepared.Load(loading, r.Clients.Observe)
	stopTicking()
	ticks.Wait()
	r.result.Load = report
	r.emit(LoadEnded{At: time.Since(r.began)})
	if err == nil && r.Tail > 0 && r.deps.Collector != nil {
		r.watchTail(loading)
	}
	stopBeside()
	background.Wait()
	clearErr := r.clearFaults(ctx)
	aborted := (*abortedError)(nil)
	switch cause := context.Cause(loading); {
	case errors.As(cause, &aborted):
		r.result.Aborted, err = &aborted.abort, nil
	case ctx.Err() != nil:
		err = fmt.Errorf("the run was interrupted after %s: %w", time.Since(r.began).Round(time.Millisecond), context.Cause(ctx))
	case cause != nil:
		err = cause
	case err != nil:
		err = fmt.Errorf("putting load on system %q: %w", r.System.Name, err)
	}
	return errors.Join(err, clearErr)
}

// tick tells the observer of phases and of each second of the clients, until
// ctx ends or the run is to be aborted.
func (r *running) tick(ctx context.Context) *abortedError {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	phase := -1
	var earlier measure.Tally
	last := time.Duration(0)
	for {
		now := time.Since(r.began)
		if at := r.clock.Phase(now); at > phase {
			phase = at
			r.emit(PhaseBegun{At: now, Index: phase, Name: r.Load.Phases[phase].Name})
		}
		select {
		case <-ctx.Done():
			r.emitSecond(&earlier, &last, phase)
			return nil
		case <-ticker.C:
			r.emitSecond(&earlier, &last, phase)
			if abort := r.abort.Judge(last, earlier, measure.ServiceNames(&r.System)); abort != nil {
				return &abortedError{*abort}
			}
		}
	}
}

func (r *running) emitSecond(earlier *measure.Tally, last *time.Duration, phase int) {
	total := r.Clients.Sum()
	delta := total.Since(earlier)
	now := time.Since(r.began)
	outcomes := delta.ByClass()
	r.windows.ObserveClients(*last+(now-*last)/2, outcomes)
	r.emit(ClientSampled{result.ClientSecond{
		At: now, Seconds: (now - *last).Seconds(), Phase: phase, Outcomes: outcomes, Latency: delta.Summary(),
	}})
	*earlier, *last = total, now
}

func (r *running) observeSample(sample measure.Sample) {
	if !r.loading.Load() {
		return // of the time before the load nothing is asked
	}
	at := sample.At.Sub(r.began)
	middle := max(0, at-sample.Elapsed/2)
	r.Services.Observe(at, &sample)
	r.windows.ObserveService(middle, &sample)
	r.abort.ObserveService(middle, &sample)
	r.idle.Observe(&sample)
	r.emit(ServiceSampled{At: at, Phase: r.clock.Phase(middle), Sample: sample})
}

// finish makes the result of what was seen.
func (r *running) finish(err error) {
	result := r.result
	result.Ended = time.Now().UTC()
	if err != nil {
		result.Incomplete, result.Why = true, err.Error()
	} else if result.Aborted != nil {
		result.Incomplete, result.Why = true, result.Aborted.Why
	}
	result.Faults = r.faults.Records()
	result.Recoveries = r.falls.List()
	if !r.began.IsZero() {
		end := r.end()
		cut := &measure.Segmenter{
			System: &r.System, Schedule: r.clock, Clients: r.Clients, Services: r.Services,
			LoadStarted: result.LoadStarted, Recoveries: result.Recoveries, Tail: result.Tail,
		}
		result.Segments = cut.Segments(end)
		result.Timeline = r.Clients.Timeline(end)
		if result.Tail != nil {
			end += time.Duration(result.Tail.Length * 1e9)
		}
		result.Windows = r.windows.List(measure.ServiceNames(&r.System), end)
	}
	result.Judge(r.Checks)
	result.Passed = result.Passed && err == nil && result.Aborted == nil
}

// end is when the last request may have been sent, in elapsed time: as planned,
// unless the load was cut short or ended by a count. The wait for the last
// answers is no part of the load.
func (r *running) end() time.Duration {
	report := r.result.Load
	if report == nil {
		return min(r.result.Ended.Sub(r.result.LoadStarted), r.length)
	}
	counted := slices.ContainsFunc(r.Load.Phases, func(p load.Phase) bool { return p.Count > 0 })
	if counted || r.result.Incomplete {
		return min(report.Elapsed, r.length)
	}
	return r.length
}

// abortedError ends the load where a condition of AbortOn holds.
type abortedError struct{ abort result.Abort }

func (e *abortedError) Error() string { return e.abort.Why }
