// Package runner plays an experiment on any target: it deploys the system, puts
// load on it while faults come and go, collects what happens, judges the checks,
// and always cleans up. It owns the narrow interfaces that targets implement.
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/account"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// Deps are the parts that a run is made of: the target, behind interfaces, and
// settings.
type Deps struct {
	Deployer Deployer
	Loader   Loader
	// Collector may be nil: then the result has no figures of services.
	Collector Collector
	// Tracer may be nil: then no spans are gathered. It is used only if the
	// deployment is a SpanSource.
	Tracer Tracer
	// Logs may be nil: then no logs are read. It is used only if the deployment is a
	// LogSource.
	Logs LogReader
	// Alerts may be nil: then an experiment with alerts, or with checks of alerts, is
	// refused.
	Alerts AlertWatcher
	// Target and Versions are noted in the result.
	Target   string
	Versions map[string]string
	// Calibration is noted in the result, too. It is nil if services run on other
	// machines, of which it says nothing.
	Calibration *result.Calibration
	// CleanupTimeout bounds the clean-up of the load, and that of the deployment; 0
	// means DefaultCleanupTimeout.
	CleanupTimeout time.Duration
	// PollReplicas is the pause between two polls of the states of replicas; 0
	// means DefaultPollReplicas. It bounds how exactly recoveries are measured. It
	// is not used if the deployment is a Watcher.
	PollReplicas time.Duration
	// Clock may be nil, which means the machine's clock.
	Clock Clock
}

// Defaults of Deps.
const (
	DefaultCleanupTimeout = 30 * time.Second
	DefaultPollReplicas   = 100 * time.Millisecond
)

// Run plays an experiment: it deploys the system, puts load on it while faults are
// applied and cleared, judges what was seen, and always takes everything down.
//
// A run that ctx or an error cuts short returns that error, and a result that is
// marked incomplete; the result is nil only if nothing was started. A check that
// fails is not an error. If something could not be cleaned up, the error wraps a
// CleanupError.
func Run(ctx context.Context, e experiment.Experiment, deps Deps, observer Observer) (*result.Result, error) {
	e.Load = e.Load.WithDefaults()
	if err := e.Validate().Err(); err != nil {
		return nil, fmt.Errorf("checking experiment %q: %w", e.Name, err)
	}
	if what := e.NeedsPrometheus(); what != "" && deps.Alerts == nil {
		return nil, fmt.Errorf("experiment %q: %s, and none is named: write run --prometheus PATH", e.Name, what)
	}
	r, err := newRun(e, deps, observer)
	if err != nil {
		return nil, err
	}
	if err := Possible(ctx, &e, deps.Deployer, deps.Target); err != nil {
		return nil, err
	}
	result, err := r.perform(ctx)
	r.emit(Done{Result: result, Err: err})
	return result, err
}

// A running is one run of an experiment in real time. It asks the target, waits,
// and tells the account what happens.
type running struct {
	experiment.Experiment
	deps    Deps
	clock   Clock
	account *account.Account
	faults  *FaultPlayer

	observer Observer
	observed sync.Mutex

	// began is the zero of elapsed times. It needs no lock: only the run's own
	// goroutine and those that it starts later read it.
	began time.Time
	// processes is what the processes of replicas had used just before began.
	processes []measure.Process
	// idle is closed when the system is idle after its load.
	idle     chan struct{}
	idleOnce sync.Once
}

func newRun(e experiment.Experiment, deps Deps, observer Observer) (*running, error) {
	deps = deps.withDefaults()
	environment := result.ThisEnvironment()
	environment.Calibration = deps.Calibration
	a, err := account.New(e, account.Origin{Target: deps.Target, Versions: deps.Versions, Environment: environment})
	if err != nil {
		return nil, err
	}
	r := &running{Experiment: e, deps: deps, clock: deps.Clock, account: a, observer: observer, idle: make(chan struct{})}
	r.faults = newFaultPlayer(a.Faults(), deps.Clock)
	r.faults.Hits, r.faults.Observe = true, r.observeFault
	return r, nil
}

func (d Deps) withDefaults() Deps {
	d.CleanupTimeout = cmp.Or(d.CleanupTimeout, DefaultCleanupTimeout)
	d.PollReplicas = cmp.Or(d.PollReplicas, DefaultPollReplicas)
	if d.Clock == nil {
		d.Clock = realClock{}
	}
	return d
}

func (r *running) emit(e Event) {
	if r.observer == nil {
		return
	}
	r.observed.Lock()
	defer r.observed.Unlock()
	r.observer(e)
}

// Possible says, before anything is started, why an experiment cannot run on a
// target: its system cannot be deployed, or a fault is not possible there. It asks
// only the deployer, so a deployment may still refuse a fault. Nil means that
// nothing is against it.
func Possible(ctx context.Context, e *experiment.Experiment, deployer Deployer, target string) error {
	if d, ok := deployer.(SystemRefuser); ok {
		if err := d.CanDeploy(ctx, &e.System); err != nil {
			return fmt.Errorf("deploying system %q: %w", e.System.Name, err)
		}
	}
	refuser, ok := deployer.(Refuser)
	if !ok {
		return nil
	}
	return askAll(e.Faults, target, func(f *fault.Fault) error { return refuser.CanInject(&e.System, f) })
}

// askAll returns an error that names every fault that is not possible on a target.
func askAll(faults []fault.Fault, target string, can func(*fault.Fault) error) error {
	var errs []error
	for i := range faults {
		if err := can(&faults[i]); err != nil {
			errs = append(errs, fmt.Errorf("fault %q is not possible on target %q: %w", faults[i].Label(), target, err))
		}
	}
	return errors.Join(errs...)
}

func (r *running) perform(ctx context.Context) (*result.Result, error) {
	started := r.clock.Now()
	r.account.Start(started)
	r.emit(Deploying{System: r.System.Name, Target: r.deps.Target})
	deployment, err := r.deps.Deployer.Deploy(ctx, &r.System, r.Seed)
	if err != nil {
		err = fmt.Errorf("deploying system %q: %w", r.System.Name, err)
		return r.account.Finish(r.clock.Now(), err), err
	}
	if err = askAll(r.Faults, r.deps.Target, deployment.CanInject); err == nil {
		err = r.watch(ctx, deployment, started)
	}
	result := r.account.Finish(r.clock.Now(), err)
	return result, errors.Join(err, r.takeDown(ctx, deployment))
}

// takeDown closes the deployment, even if ctx has ended. Any error of it is a
// CleanupError.
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

// watch plays load and faults on the deployed system while collectors run. It
// returns when all of them have stopped.
func (r *running) watch(ctx context.Context, deployment Deployment, started time.Time) (err error) {
	// Preparing faults may change the addresses of replicas.
	if err := r.faults.Prepare(ctx, deployment); err != nil {
		return fmt.Errorf("preparing the faults on system %q: %w", r.System.Name, err)
	}
	replicas, err := deployment.Replicas(ctx)
	if err != nil {
		return fmt.Errorf("listing the replicas of system %q: %w", r.System.Name, err)
	}
	r.emit(Deployed{Replicas: replicas, Took: r.clock.Now().Sub(started)})
	prepared, err := prepare(ctx, r.deps.Loader, r.Load, r.loadTarget(replicas))
	if err != nil {
		return fmt.Errorf("preparing the load on system %q: %w", r.System.Name, err)
	}
	defer func() { err = errors.Join(err, r.endLoad(ctx, prepared)) }()
	polling, stopPolling := context.WithCancel(ctx)
	var poller sync.WaitGroup
	poller.Go(func() { r.followReplicas(polling, deployment, replicas) })
	defer func() {
		stopPolling()
		poller.Wait()
	}()

	if source, ok := deployment.(LogSource); ok && r.deps.Logs != nil {
		r.deps.Logs.Start(context.WithoutCancel(ctx), source)
		defer r.deps.Logs.Stop()
	}
	if source, ok := deployment.(SpanSource); ok && r.deps.Tracer != nil {
		r.deps.Tracer.Start(context.WithoutCancel(ctx), deployment.Replicas, source)
		defer r.deps.Tracer.Stop()
	}
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
	if r.deps.Alerts != nil {
		defer func() { r.account.Alerts(r.deps.Alerts.Stop(context.WithoutCancel(ctx), r.began)) }()
		if err := r.deps.Alerts.Start(ctx, &r.Experiment, deployment); err != nil {
			return fmt.Errorf("watching the alerts on system %q: %w", r.System.Name, err)
		}
	}
	// Read the processes before the zero of elapsed times: in a large system this
	// takes a while, by which the load would begin later than the faults.
	r.processes = readProcesses(ctx, deployment)
	r.begin()
	return r.sendLoad(ctx, deployment, prepared)
}

// readProcesses reads what the processes of a deployment have used, or nil if the
// deployment does not tell.
func readProcesses(ctx context.Context, deployment Deployment) []measure.Process {
	if source, ok := deployment.(ProcessSource); ok {
		return source.Processes(ctx)
	}
	return nil
}

// loadTarget tells the loader the addresses of the ready replicas.
func (r *running) loadTarget(replicas []Replica) LoadTarget {
	target := LoadTarget{System: &r.System, URLs: map[string][]string{}, Seed: r.Seed}
	for _, replica := range replicas {
		if replica.State == Ready {
			target.URLs[replica.Service] = append(target.URLs[replica.Service], cmp.Or(replica.Entrance, replica.URL))
		}
	}
	return target
}

// endLoad takes down what the load needed, even if ctx has ended.
func (r *running) endLoad(ctx context.Context, prepared PreparedLoad) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.deps.CleanupTimeout)
	defer cancel()
	return prepared.Close(ctx)
}
