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

// signals handles what a run keeps, or sends to others, beside figures: the traces
// of its requests and the logs of its services.
type signals struct {
	logs   runLogs
	otlp   outlet.Collector
	fluent outlet.Receiver
	share  unit.Share
	// wanted says that traces are kept or sent.
	wanted bool
	// elsewhere says that services run on other machines.
	elsewhere bool
	// changed says that --trace-sample is on the command line.
	changed bool
	load    *span.Buffer
	// store has the traces of the present run or, between runs, of the last one.
	store  *trace.Store
	origin trace.Origin
}

// traceSampleFlag sets the share of requests whose traces are kept even if they do
// not fail.
const traceSampleFlag = "trace-sample"

func (s *signals) AddFlags(cmd *cobra.Command) {
	s.share = span.DefaultShare
	s.logs.AddFlags(cmd)
	s.otlp.AddFlags(cmd, "while the run goes on")
	s.fluent.AddFlags(cmd, "while the run goes on")
	cmd.Flags().Var(&s.share, traceSampleFlag, "share of the requests whose traces are kept, such as 1% or 0.01; those of requests that fail are kept, too; 0 makes none")
}

// Validate checks the flags, and sets whether services make spans.
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

// args returns the flags for a detached run.
func (s *signals) args() []string {
	args := slices.Concat(s.logs.args(), s.otlp.Args(), s.fluent.Args())
	if s.changed {
		args = append(args, "--"+traceSampleFlag, s.share.String())
	}
	return args
}

// Observe drops traces and logs of the run before when a run begins, and passes
// events to the OTLP collector.
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

// add adds spans of a run in virtual time.
func (s *signals) add(spans []span.Span) { s.store.Add(spans) }

// lose counts spans that are missing.
func (s *signals) lose(n int64) { s.store.Lose(n) }

// loader returns the loader that generates the load in this process.
func (s *signals) loader() runner.Loader {
	if !s.wanted {
		return &loadgen.Generator{}
	}
	return &loadgen.Generator{Spans: s.load, TraceSample: float64(s.share)}
}

// tracer returns the tracer of runs, or nil if no traces are wanted. loads gives the
// spans of load pods; it may be nil.
func (s *signals) tracer(loads trace.LoadSource) runner.Tracer {
	if !s.wanted {
		return nil
	}
	return trace.New(trace.Options{Load: s.load, Loads: loads, Into: func() *trace.Store { return s.store }, Clocks: s.elsewhere})
}

// traces returns the traces of the run that has ended.
func (s *signals) traces() []trace.Trace {
	if s.store == nil {
		return nil
	}
	return s.store.Traces()
}

// summary returns what is kept of the run's traces, or nil if no spans were made.
func (s *signals) summary() *result.Traces {
	if s.store == nil {
		return nil
	}
	return s.store.Summary(float64(s.share))
}

// end ends the sending of a run, and adds summaries of traces, logs and sending to
// its result, which may be nil.
func (s *signals) end(ctx context.Context, r *result.Result) {
	sent, forwarded := s.otlp.End(ctx), s.fluent.End(ctx)
	if r != nil {
		r.Traces, r.Logs, r.OTLP, r.Fluent = s.summary(), s.logs.summary(), sent, forwarded
	}
}

// files returns the writers of the files of traces and logs, by their names in
// --out.
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
