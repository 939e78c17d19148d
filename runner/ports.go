package runner

import (
	"context"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A Deployer starts systems on one target. All implementations pass the suite in
// runnertest.
type Deployer interface {
	// Deploy starts every service of the system and returns when all are ready. It
	// leaves nothing behind if it returns an error, such as when ctx ends before.
	// After it has returned a deployment, the end of ctx does not end the
	// deployment.
	Deploy(ctx context.Context, system *topology.System, seed uint64) (Deployment, error)
}

// A Deployment is a running system. Several goroutines may call its methods at
// once.
type Deployment interface {
	Injector
	// Replicas lists what runs now, in the order of the system's file.
	Replicas(ctx context.Context) ([]Replica, error)
	// Close takes down everything that Deploy and Inject made, and waits until it
	// is gone. It may be called again. A CleanupError names what could not be taken
	// down. The end of ctx ends the waiting, not the cleaning.
	Close(ctx context.Context) error
}

// A Replica is one running copy of a service.
type Replica struct {
	Service string `json:"service"`
	// Index counts from 1.
	Index int `json:"index"`
	// URL is the base URL of the replica's endpoints, without a slash at the end.
	URL string `json:"url"`
	// Entrance is the base URL for requests from outside the system, if it differs
	// from URL because a gate stands in front of the replica.
	Entrance string `json:"entrance,omitempty"`
	// ControlURL is the base URL of /healthz, /readyz, /metrics and /admin, if they
	// have a listener of their own, which answers even while all workers are busy;
	// empty means URL.
	ControlURL string `json:"controlUrl,omitempty"`
	State      State  `json:"state"`
	// Silent is set if the replica's program does not obey the service contract, so
	// that it gives neither figures nor spans.
	Silent bool `json:"silent,omitempty"`
	// Pod is the name of its pod, on a cluster.
	Pod string `json:"pod,omitempty"`
	// PID is the replica's own process, or 0 if it has none on this machine.
	PID      int       `json:"pid,omitempty"`
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"`
	// Detected is when a health check or the supervisor noticed that the replica is
	// not ready. It is the zero time while the replica is ready, while neither has
	// noticed, and if the target does not tell.
	Detected time.Time `json:"detected,omitzero"`
}

// A Watcher is a Deployment that reports at once when a replica changes. Other
// deployments are polled.
type Watcher interface {
	// Watch calls changed with every replica as it is now, and then with each
	// change, in order, until ctx ends. Detected is set as soon as it is known.
	Watch(ctx context.Context, changed func(Replica))
}

// State says whether a replica can answer.
type State string

// The states of a replica.
const (
	Starting State = "starting"
	Ready    State = "ready"
	// Unready replicas run, but their readiness check fails.
	Unready State = "unready"
	Paused  State = "paused"
	Down    State = "down"
)

// An Injector makes faults act on a running system.
type Injector interface {
	// CanInject says, before anything starts, why a fault is not possible here;
	// nil means that it is.
	CanInject(f *fault.Fault) error
	// Inject makes the fault act until it is cleared, and at the latest until the
	// deadline, which holds even if this program is gone. A fault on a service acts
	// on replicas that appear later, too. The caller chooses the id, which must be
	// unique in the deployment.
	Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error
	// Clear ends a fault. Clearing one that has ended already is not an error.
	Clear(ctx context.Context, id string) error
	// Active lists the faults that act now, with how often each has acted.
	Active(ctx context.Context) ([]Injection, error)
}

// A Preparer is an Injector that needs time before a fault can act, such as for a
// helper to start. The runner calls Prepare before the load starts, so that faults
// act at the time they are asked for.
type Preparer interface {
	// Prepare makes ready what the faults need; they come in the order in which
	// they begin. No fault acts before it is injected. An error names the fault.
	// Prepared things are removed with the system. If the system stays, they end by
	// themselves some time after they were last needed.
	Prepare(ctx context.Context, faults []fault.Fault) error
}

// A SpanSource is a Deployment whose services make spans.
type SpanSource interface {
	// Spans asks one replica for spans. It returns an error if the replica cannot be
	// reached or makes no spans.
	Spans(ctx context.Context, replica Replica, q control.SpanQuery) (control.Spans, error)
}

// A Tracer gathers the spans of a running system.
type Tracer interface {
	// Start begins to poll the replicas of a system for their spans. A replica that
	// does not answer is not an error.
	Start(ctx context.Context, replicas func(context.Context) ([]Replica, error), source SpanSource)
	// Stop polls a last time, and waits until all spans that came are stored.
	Stop()
}

// A ProcessSource is a Deployment whose replicas are processes on this machine.
type ProcessSource interface {
	// Processes returns what the processes of each replica have used until now, in
	// the order of Replicas. It is empty if replicas have no processes of their own.
	Processes(ctx context.Context) []measure.Process
}

// A LogSource is a Deployment whose services do not log into this program.
type LogSource interface {
	// Logs calls line with each line that the replicas print, from the first line on,
	// until ctx ends, which is not an error. The time is when the line was printed,
	// or zero if that is not known. The text is valid only during the call.
	Logs(ctx context.Context, line func(at time.Time, service string, replica int, text []byte)) error
}

// A LogReader reads the logs of a running system.
type LogReader interface {
	// Start begins to read. An error of reading does not end the run.
	Start(ctx context.Context, source LogSource)
	// Stop waits until the printed lines have been read, as far as it can tell, and
	// ends the reading.
	Stop()
}

// An AlertWatcher lets a Prometheus evaluate alerts on a running system.
type AlertWatcher interface {
	// Start returns when the Prometheus has scraped every ready replica and knows every
	// alert that the experiment's checks name. Its error says why that is not possible.
	Start(ctx context.Context, e *experiment.Experiment, deployment Deployment) error
	// Stop ends the watching and returns the alerts that have fired, also those that
	// fired before the zero of elapsed times. It must be called after an error of Start,
	// too. Errors of the Prometheus are in the Alerts.
	Stop(ctx context.Context, zero time.Time) *result.Alerts
}

// Refuser is a Deployer that knows, before it deploys a system, which faults are
// not possible on it. With other deployers, only the Deployment can say.
type Refuser interface {
	CanInject(system *topology.System, f *fault.Fault) error
}

// SystemRefuser is a Deployer that knows, before it starts anything, which systems
// it cannot deploy.
type SystemRefuser interface {
	CanDeploy(ctx context.Context, system *topology.System) error
}

// An Injection is a fault that acts.
type Injection = control.Injection

// A Loader puts load on a running system.
type Loader interface {
	// Load sends the profile's requests and returns when all have been answered or
	// given up. The end of ctx stops it early; it then returns what it has measured
	// beside ctx's error. It calls observe, which may be nil, for every outcome,
	// from several goroutines at once.
	Load(ctx context.Context, profile load.Profile, target LoadTarget, observe func(measure.Outcome)) (*result.LoadReport, error)
}

// A LoadTarget tells a Loader the addresses of the system's services.
type LoadTarget struct {
	System *topology.System
	// URLs are the base URLs of the ready replicas of each service, as clients
	// outside the system reach them.
	URLs map[string][]string
	Seed uint64
}

// A Collector watches a running system.
type Collector interface {
	// Start begins to watch. It calls observe with a sample of each service about
	// once a second, and once more when Stop is called.
	Start(ctx context.Context, replicas func(context.Context) ([]Replica, error), observe func(measure.Sample)) error
	// Stop ends the watching, and returns after the last call of observe.
	Stop() error
}

// A CleanupError names what could not be taken down, and how to do it by hand.
type CleanupError struct {
	Left   []string
	Remedy string
	Err    error
}

func (e *CleanupError) Error() string {
	text := "cleaning up: left behind"
	for i, what := range e.Left {
		if i > 0 {
			text += ","
		}
		text += " " + what
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Remedy != "" {
		text += "; to remove it, " + e.Remedy
	}
	return text
}

func (e *CleanupError) Unwrap() error { return e.Err }
