package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/outlet"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// signals are what a run keeps, and sends to others, beside figures: the traces
// of its requests, and what its services log.
type signals struct {
	logs   runLogs
	otlp   outlet.Collector
	fluent outlet.Receiver
	share  unit.Share
	// wanted says that somebody gets the traces.
	wanted bool
	// elsewhere says that services run on other machines.
	elsewhere bool
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
	s.logs.AddFlags(cmd)
	s.otlp.AddFlags(cmd, "while the run goes on")
	s.fluent.AddFlags(cmd, "while the run goes on")
	cmd.Flags().Var(&s.share, traceSampleFlag, "share of the requests whose traces are kept, such as 1% or 0.01; those of requests that fail are kept, too; 0 makes none")
}

// Validate finds out whether traces are wanted, and tells the services.
func (s *signals) Validate(o *runOptions, flags *pflag.FlagSet) error {
	if o.dryRun {
		if err := cli.Refuse(flags, "are for what a run shows, and --dry-run runs nothing: leave them out", outlet.OTLPFlag, outlet.FluentFlag); err != nil {
			return err
		}
	}
	if err := errors.Join(s.otlp.Validate(flags), s.fluent.Validate(flags)); err != nil {
		return err
	}
	s.otlp.Paced, s.fluent.Paced = o.target.Virtual(), o.target.Virtual()
	if s.otlp.Wanted() || s.fluent.Wanted() {
		s.logs.more = func(l logline.Line) {
			s.otlp.Line(l)
			s.fluent.Line(l)
		}
	}
	if err := s.logs.Validate(o, flags); err != nil {
		return err
	}
	s.changed = flags.Changed(traceSampleFlag)
	somebody := o.out != "" || o.report != "" || s.otlp.Wanted()
	s.wanted = somebody && s.share > 0
	if s.changed && !o.detached.detach && !o.dryRun && !somebody {
		return fmt.Errorf("--%s is about the traces that --out, --report and --otlp get: write one of them, too, or leave it out", traceSampleFlag)
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
	args := slices.Concat(s.logs.args(), s.otlp.Args(), s.fluent.Args())
	if s.changed {
		args = append(args, "--"+traceSampleFlag, s.share.String())
	}
	return args
}

// Observe begins the traces and the logs of each run anew, and has its figures sent.
func (s *signals) Observe(event runner.Event) {
	if begun, ok := event.(runner.Deploying); ok {
		s.origin = trace.Origin{System: begun.System, Target: begun.Target, Version: version.String()}
		s.otlp.Begin(s.origin)
		s.fluent.Begin(begun.System)
		s.logs.begin(begun.System)
		if s.wanted {
			s.store = trace.NewStore(s.otlp.Spans)
		}
	}
	s.otlp.Observe(event)
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

// tracer gathers the spans of runs, and those of loads elsewhere if there are such; nil
// if nobody wants them.
func (s *signals) tracer(loads trace.LoadSource) runner.Tracer {
	if !s.wanted {
		return nil
	}
	return trace.New(trace.Options{Load: s.load, Loads: loads, Into: func() *trace.Store { return s.store }, Clocks: s.elsewhere})
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

// end ends a run, and tells its result, which may be nil, what there is of its traces
// and logs.
func (s *signals) end(ctx context.Context, r *result.Result) {
	sent, forwarded := s.otlp.End(ctx), s.fluent.End(ctx)
	if r != nil {
		r.Traces, r.Logs, r.OTLP, r.Fluent = s.summary(), s.logs.summary(), sent, forwarded
	}
}

// files are what --out keeps of traces and logs.
func (s *signals) files() map[string]func(io.Writer) error {
	files := map[string]func(io.Writer) error{}
	if s.store != nil {
		traces := s.traces()
		files[record.TracesFile] = func(w io.Writer) error { return s.origin.WriteOTLP(w, traces) }
		files[record.ChromeFile] = func(w io.Writer) error { return trace.WriteChrome(w, traces) }
	}
	if lines := s.logs.store.Load(); lines != nil {
		files[record.LogsFile] = lines.Write
	}
	return files
}
