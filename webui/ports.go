// Package webui serves the page of `kubectl microsim ui`: it shows a system as a
// graph beside its file, plays it, breaks it while it runs, and plays recorded
// runs back. The page itself is in webui/app; webui/dist is what it is built to.
//
// The server listens on this machine only. It reaches systems through the ports
// below, which the command connects.
package webui

import (
	"context"
	"errors"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// The targets that the page plays experiments on.
const (
	OnVirtual = "virtual"
	OnLocal   = "local"
	// OnKind is the sandbox, OnCluster the cluster of the current context.
	OnKind    = "kind"
	OnCluster = "cluster"
)

// A Place is where a running system is found.
type Place struct {
	Name string `json:"name"`
	// On is OnLocal, OnKind or OnCluster.
	On string `json:"on"`
}

// Worlds are what the page reaches through its server.
type Worlds interface {
	// Play plays an experiment, and returns what runner.Run does. What the target
	// made is gone when it returns, or named in a runner.CleanupError.
	Play(ctx context.Context, order Order) (*result.Result, error)
	// Systems lists the running systems of this machine, the sandbox or the cluster.
	Systems(ctx context.Context, on string) ([]string, error)
	// Connect finds a running system.
	Connect(ctx context.Context, at Place) (*Live, error)
}

// An Order says what to play, and who is told.
type Order struct {
	Experiment experiment.Experiment
	// On is one of the targets above.
	On string
	// Pace is how many seconds of virtual time a second of real time takes; 0
	// plays as fast as possible.
	Pace float64
	// Observe is told what happens, as a runner.Observer.
	Observe runner.Observer
	// Progress is told what the target does until the system is ready, and what
	// troubles it later, a line at a time.
	Progress func(line string)
	// Deployed is told of the system as soon as it runs; never in virtual time. One that
	// is a Changer, too, can be changed on the page.
	Deployed func(runner.Deployment)
	// Described is told, as soon as the system runs, where to ask what it is; never in
	// virtual time.
	Described func(Description)
	// Loads is told, before the load begins, how it is changed while it runs; it is not
	// called in virtual time.
	Loads func(LoadChanger)
	// Traced is told, before the run begins, where its single requests are found; it is
	// not called if none are kept.
	Traced func(Requests)
	// Logged is told where the log of the services is found; it is not called if there
	// is none.
	Logged func(Log)
	// Sends is told how requests are sent to the system, as soon as it runs; never in
	// virtual time.
	Sends func(Sender)
	// Complete adds to the result what the runner does not know, before the result
	// is kept.
	Complete func(*result.Result)
}

// A Log returns the last lines, at most so many, that the replicas of a service have
// logged.
type Log func(ctx context.Context, service string, most int) ([]string, error)

// A Description says where to ask what a running system is, which other programs may
// change.
type Description struct {
	// Now asks. An error says why the system cannot be reached; one that is ErrGone says
	// that it has ended for good.
	Now func(ctx context.Context) (*topology.System, error)
	// Adopt is told what another program has made of the system, before anything acts on
	// it again. It is nil if what acts on the system asks by itself.
	Adopt func(now *topology.System)
}

// ErrGone says that a system which was watched does not run any more.
var ErrGone = errors.New("it does not run any more")

// A Live system runs without us, and goes on when we leave.
type Live struct {
	System   *topology.System
	Injector runner.Injector
	// Changer is nil where a running system cannot be changed.
	Changer Changer
	// Watch hands samples to observe about once a second until the returned
	// function is called.
	Watch func(ctx context.Context, observe func(measure.Sample)) (stop func() error, err error)
	// Log is nil if the system has none.
	Log Log
	// Send sends it requests.
	Send Sender
	// Description says what it becomes, and whether it can be reached.
	Description Description
}
