package run

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A Player runs experiments for commands that make many runs. It has those flags of
// `run` that say where.
type Player struct{ options runOptions }

// NewPlayer returns a player with the default flags.
func NewPlayer(streams cli.Streams) *Player {
	p := &Player{newOptions(streams)}
	p.options.target.AllowVirtual = true
	return p
}

// AddFlags adds the player's flags to a command.
func (p *Player) AddFlags(cmd *cobra.Command) {
	p.options.target.AddFlags(cmd)
	p.options.local.AddFlags(cmd)
	target.AddLoadPods(cmd, &p.options.pods)
	p.options.target.Kube.AddImageFlags(cmd)
}

// Validate refuses flags that have no effect where the runs take place.
func (p *Player) Validate(cmd *cobra.Command) error {
	for _, check := range []func() error{
		func() error { return p.options.target.Validate(cmd) },
		p.options.local.Validate,
		func() error { return target.ValidateLoadPods(p.options.pods) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// Virtual reports whether runs take place in virtual time.
func (p *Player) Virtual() bool { return p.options.target.Virtual() }

// KeepSignals makes each run keep the traces of a share of its requests, from 0 to
// 1, and the logs of services with a line for each request.
func (p *Player) KeepSignals(share float64) {
	s := p.options.signals
	s.share, s.wanted, s.load = unit.Share(share), true, span.NewBuffer(time.Now().UnixNano())
	s.logs.keep, s.logs.requests, s.logs.silent = true, true, true
	p.options.local.TraceSample, p.options.target.Kube.TraceSample = share, share
	s.logs.ask(&p.options)
}

// Traces returns the traces of the last run, and their origin.
func (p *Player) Traces() (trace.Origin, []trace.Trace) {
	return p.options.signals.origin, p.options.signals.traces()
}

// Lines returns what the services of the last run logged.
func (p *Player) Lines() []logline.Line {
	if store := p.options.signals.logs.store.Load(); store != nil {
		return store.Lines()
	}
	return nil
}

// Run runs an experiment in real time. It writes messages to talk.
func (p *Player) Run(ctx context.Context, e experiment.Experiment, talk io.Writer, observe runner.Observer) (*result.Result, error) {
	deps, err := p.options.deps(ctx, &e, talk)
	if err != nil {
		return nil, err
	}
	defer p.options.recoverable(ctx, &e)()
	r, err := runner.Run(ctx, e, deps, func(event runner.Event) { //nolint:contextcheck // what is sent to a collector goes on until the end of the run
		p.options.signals.Observe(event)
		observe(event)
	})
	p.options.signals.end(ctx, r)
	return r, err
}
