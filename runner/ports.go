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

// A Deployer makes systems run somewhere. All implementations pass the suite in
// runnertest.
type Deployer interface {
	// Deploy starts every service of the system and returns when all are ready.
	// On an error, and when ctx ends before that, nothing is left behind. After
	// Deploy has returned, the end of ctx does not end the deployment.
	Deploy(ctx context.Context, system *topology.System, seed uint64) (Deployment, error)
}

// A Deployment is a running system. Its methods may be called at the same time.
type Deployment interface {
	Injector
	// Replicas lists what runs now, in the order of the system's file.
	Replicas(ctx context.Context) ([]Replica, error)
	// Close takes everything down that Deploy and Inject made, and waits until
	// it is gone. It may be called again. What could not be taken down is named
	// in a CleanupError. A ctx that has ended bounds the waiting, not the
	// cleaning.
	Close(ctx context.Context) error
}

// A Replica is one running copy of a service.
type Replica struct {
	Service string `json:"service"`
	// Index counts from 1.
	Index int `json:"index"`
	// URL is the base of the replica's endpoints, without a slash at the end.
	URL string `json:"url"`
	// Entrance is the base for requests from outside, where that is another:
	// then something stands between them and the replica.
	Entrance string `json:"entrance,omitempty"`
	// ControlURL is the base of /healthz, /readyz, /metrics and /admin where
	// those have a listener of their own, which answers though all workers are
	// busy; empty means URL.
	ControlURL string `json:"controlUrl,omitempty"`
	State      State  `json:"state"`
	// Silent is set if its program does not obey the service contract, so that it tells
	// no figures and no spans.
	Silent bool `json:"silent,omitempty"`
	// Pod is the name of its pod, on a cluster.
	Pod string `json:"pod,omitempty"`
	// PID is the process of its own that the replica has, or 0.
	PID      int       `json:"pid,omitempty"`
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"`
	// Detected is when a health check or the supervisor noticed that the replica
	// is not ready. It is the zero time while the replica is ready, or nobody has
	// noticed, or the target does not tell.
	Detected time.Time `json:"detected,omitzero"`
}

// A Watcher may be implemented by a Deployment that knows at once when a replica
// changes. Others are asked again and again.
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
	// Inject lets the fault act until it is cleared, and at the latest until the
	// deadline, which holds even if this program is gone. A fault on a service
	// acts on replicas that appear later, too. The id is chosen by the caller
	// and unique in the deployment.
	Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error
	// Clear ends a fault. Clearing one that has ended already is not an error.
	Clear(ctx context.Context, id string) error
	// Active lists the faults that act now, with how often each has acted.
	Active(ctx context.Context) ([]Injection, error)
}

// A Preparer may be implemented by an Injector that needs a while before a fault
// can act, such as for a helper to start. It is asked before the load starts, so
// that faults act when they are asked for.
type Preparer interface {
	// Prepare makes ready what the faults need, which are those of a timeline in
	// the order in which they begin. None of them acts before it is injected. An
	// error names the fault. What was prepared goes with the system or, on an
	// injector of a system that stays, by itself some time after it was last
	// needed.
	Prepare(ctx context.Context, faults []fault.Fault) error
}

// A SpanSource may be implemented by a Deployment whose services make spans.
type SpanSource interface {
	// Spans asks one replica for spans. An error says that it could not be asked, or
	// that it makes none.
	Spans(ctx context.Context, replica Replica, q control.SpanQuery) (control.Spans, error)
}

// A Tracer gathers the spans of a running system.
type Tracer interface {
	// Start begins to ask the replicas of a system for their spans, again and again.
	// A replica that does not answer is no error.
	Start(ctx context.Context, replicas func(context.Context) ([]Replica, error), source SpanSource)
	// Stop asks a last time, and waits until all that came was taken in.
	Stop()
}

// A ProcessSource may be implemented by a Deployment whose replicas are processes on
// this machine.
type ProcessSource interface {
	// Processes tells what the processes of each replica have taken until now, in the
	// order of Replicas. It is empty if they are none.
	Processes(ctx context.Context) []measure.Process
}

// A LogSource may be implemented by a Deployment whose services log somewhere else
// than into this program.
type LogSource interface {
	// Logs hands over what the replicas of a service print, line by line, from the
	// first line on, until ctx ends, which is not an error. The time is when the line
	// was printed, and zero if that is not known. The text may not be kept.
	Logs(ctx context.Context, line func(at time.Time, service string, replica int, text []byte)) error
}

// A LogReader reads the logs of a running system.
type LogReader interface {
	// Start begins to read. Trouble does not disturb the run.
	Start(ctx context.Context, source LogSource)
	// Stop waits until what was printed has been read, as far as that can be told, and
	// ends the reading.
	Stop()
}

// An AlertWatcher has a Prometheus evaluate alerts on a running system.
type AlertWatcher interface {
	// Start returns when the Prometheus has read every ready replica and knows every alert
	// that the experiment's checks name; an error says why it cannot.
	Start(ctx context.Context, e *experiment.Experiment, deployment Deployment) error
	// Stop ends the watching, also after an error of Start, and returns which alerts fired
	// since the zero of elapsed times or before. Trouble with the Prometheus is in what it
	// returns.
	Stop(ctx context.Context, zero time.Time) *result.Alerts
}

// Refuser may be implemented by a Deployer that knows, before anything is
// deployed, which faults are not possible on a system there. Others are asked
// through their Deployment.
type Refuser interface {
	CanInject(system *topology.System, f *fault.Fault) error
}

// SystemRefuser may be implemented by a Deployer that knows, before anything is
// started, which systems it cannot deploy.
type SystemRefuser interface {
	CanDeploy(ctx context.Context, system *topology.System) error
}

// An Injection is a fault that acts.
type Injection = control.Injection

// A Loader puts load on a running system.
type Loader interface {
	// Load sends the profile's requests and returns when all have been answered
	// or given up. The end of ctx stops it early; what was measured until then
	// is returned beside ctx's error. observe is called for every outcome, from
	// several goroutines at once; it may be nil.
	Load(ctx context.Context, profile load.Profile, target LoadTarget, observe func(measure.Outcome)) (*result.LoadReport, error)
}

// A LoadTarget tells a Loader where the system's services are.
type LoadTarget struct {
	System *topology.System
	// URLs are the base URLs, for requests from outside, of the ready replicas
	// of each service.
	URLs map[string][]string
	Seed uint64
}

// A Collector watches a running system.
type Collector interface {
	// Start begins to watch; samples are handed to observe about once a second,
	// and once more when the watching stops.
	Start(ctx context.Context, replicas func(context.Context) ([]Replica, error), observe func(measure.Sample)) error
	// Stop ends the watching, and waits until the last sample was handed over.
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
