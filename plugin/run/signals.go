package run

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// signals are what a run keeps beside figures: the traces of its requests.
type signals struct {
	share unit.Share
	// wanted says that somebody gets the traces.
	wanted bool
	// changed says that the share was typed.
	changed bool
	load    *span.Buffer
	// store is that of the run under way, or of the last one.
	store  *trace.Store
	origin trace.Origin
}

// traceSampleFlag is the share of traces that are kept in any case.
const traceSampleFlag = "trace-sample"

func (s *signals) AddFlags(cmd *cobra.Command) {
	s.share = span.DefaultShare
	cmd.Flags().Var(&s.share, traceSampleFlag, "share of the requests whose traces are kept, such as 1% or 0.01; those of requests that fail are kept, too; 0 makes none")
}

// Validate finds out whether traces are wanted, and tells the services.
func (s *signals) Validate(o *runOptions, flags *pflag.FlagSet) error {
	s.changed = flags.Changed(traceSampleFlag)
	s.wanted = (o.out != "" || o.report != "") && s.share > 0
	if s.changed && !o.detached.detach && !o.dryRun && o.out == "" && o.report == "" {
		return fmt.Errorf("--%s is about the traces that --out and --report keep: write one of them, too, or leave it out", traceSampleFlag)
	}
	if o.dryRun {
		return cli.Refuse(flags, "are for what a run shows, and --dry-run runs nothing: leave them out", traceSampleFlag)
	}
	share := 0.0
	if s.wanted {
		share = float64(s.share)
	}
	o.local.TraceSample, o.target.Kube.TraceSample = share, share
	if s.wanted {
		s.load = span.NewBuffer(time.Now().UnixNano())
	}
	return nil
}

// args are the flags of a run inside the cluster.
func (s *signals) args() []string {
	if !s.changed {
		return nil
	}
	return []string{"--" + traceSampleFlag, s.share.String()}
}

// Observe begins the traces of each run anew.
func (s *signals) Observe(event runner.Event) {
	if begun, ok := event.(runner.Deploying); ok && s.wanted {
		s.store = trace.NewStore(nil)
		s.origin = trace.Origin{System: begun.System, Target: begun.Target, Version: version.String()}
	}
}

// add takes in the spans of a run in virtual time.
func (s *signals) add(spans []span.Span) { s.store.Add(spans) }

// lose counts spans that did not come.
func (s *signals) lose(n int64) { s.store.Lose(n) }

// loader generates the load in this process.
func (s *signals) loader() runner.Loader {
	if !s.wanted {
		return &loadgen.Generator{}
	}
	return &loadgen.Generator{Spans: s.load, TraceSample: float64(s.share)}
}

// tracer gathers the spans of runs; nil if nobody wants them.
func (s *signals) tracer() runner.Tracer {
	if !s.wanted {
		return nil
	}
	return trace.New(trace.Options{Load: s.load, Into: func() *trace.Store { return s.store }})
}

// traces are those of the run that has ended.
func (s *signals) traces() []trace.Trace {
	if s.store == nil {
		return nil
	}
	return s.store.Traces()
}

// summary says what there is of the run's traces; nil if none were made.
func (s *signals) summary() *result.Traces {
	if s.store == nil {
		return nil
	}
	return s.store.Summary(float64(s.share))
}

// files are what --out keeps of the traces.
func (s *signals) files() map[string]func(io.Writer) error {
	if s.store == nil {
		return nil
	}
	traces := s.traces()
	return map[string]func(io.Writer) error{
		record.TracesFile: func(w io.Writer) error { return s.origin.WriteOTLP(w, traces) },
		record.ChromeFile: func(w io.Writer) error { return trace.WriteChrome(w, traces) },
	}
}
