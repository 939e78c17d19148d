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
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/account"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// Deps are what a run works with.
type Deps struct {
	Deployer Deployer
	Loader   Loader
	// Collector may be nil: then nothing is known of the services.
	Collector Collector
	// Tracer may be nil: then nobody asks for spans. It is not used if the
	// deployment is no SpanSource.
	Tracer Tracer
	// Logs may be nil: then nobody reads logs. It is not used if the deployment is no
	// LogSource.
	Logs LogReader
	// Alerts may be nil: then an experiment with alerts, or with checks of alerts, is
	// refused.
	Alerts AlertWatcher
	// Target and Versions are noted in the result.
	Target   string
	Versions map[string]string
	// Calibration is noted in the result, too. It is nil if the services run on
	// other machines than this.
	Calibration *result.Calibration
	// CleanupTimeout bounds the taking down; 0 means DefaultCleanupTimeout.
	CleanupTimeout time.Duration
	// PollReplicas is how often the states of replicas are asked for, unless the
	// deployment is a Watcher; 0 means DefaultPollReplicas. Then recoveries are
	// measured no finer.
	PollReplicas time.Duration
	// Clock may be nil: then it is that of the machine.
	Clock Clock
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
// started. A check that fails is not an error. What could not be cleaned up is a
// CleanupError among the errors.
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

// A running is one run of an experiment in real time: it asks the targets, waits,
// and tells the account what happens.
type running struct {
	experiment.Experiment
	deps    Deps
	clock   Clock
	account *account.Account
	faults  *FaultPlayer

	observer Observer
	observed sync.Mutex

	// began is the zero of elapsed times; only the run's own goroutine and those
	// that it starts later read it.
	began time.Time
	// processes are what they had taken just before.
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

// Possible says, before anything is started, why an experiment cannot be run on a
// target: its system cannot be deployed, or faults are not possible there. It knows
// what the deployer knows beforehand.
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

// askAll names every fault that is not possible on a target.
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
	// The first look at a large system takes a while, which is not to pass
	// between the zero of the faults and that of the load.
	r.processes = readProcesses(ctx, deployment)
	r.begin()
	return r.sendLoad(ctx, deployment, prepared)
}

// readProcesses reads what the processes of a deployment have taken; nil if it does
// not tell.
func readProcesses(ctx context.Context, deployment Deployment) []measure.Process {
	if source, ok := deployment.(ProcessSource); ok {
		return source.Processes(ctx)
	}
	return nil
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
