package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// series has the flags that make several runs of one experiment, and --duration.
type series struct {
	variants []string
	seeds    int
	duration unit.Duration
}

func (s *series) AddFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&s.variants, "variants", nil, "which variants of the experiment to run and compare: all (the default where there are some), or names or their beginnings")
	flags.IntVar(&s.seeds, "seeds", 1, "how many times to run each, with as many seeds from the first on")
	flags.Var(durationFlag{&s.duration}, "duration", "length of the load, where it has one phase, in place of the file's")
}

// durationFlag reads durations as files do.
type durationFlag struct{ *unit.Duration }

func (d durationFlag) Type() string { return "duration" }

func (d durationFlag) String() string {
	if d.Duration == nil || *d.Duration == 0 {
		return ""
	}
	return d.Duration.String()
}

func (d durationFlag) Set(text string) error {
	v, err := unit.ParseDuration(text)
	if err != nil {
		return err
	}
	if v <= 0 {
		return fmt.Errorf("%q is not a time to put load on: write a duration such as 30s", text)
	}
	*d.Duration = v
	return nil
}

func (s *series) Validate() error {
	if s.seeds < 1 || s.seeds > experiment.MaxSeeds {
		return fmt.Errorf("--seeds %d is not possible: write 1 to %d", s.seeds, experiment.MaxSeeds)
	}
	if slices.Contains(s.variants, "all") && len(s.variants) > 1 {
		return errors.New("--variants takes all, or names: not both")
	}
	return nil
}

// names returns the variants of --variants; none means all.
func (s *series) names() []string {
	if slices.Equal(s.variants, []string{"all"}) {
		return nil
	}
	return s.variants
}

// applies reports whether the flags and the experiment ask for several runs and a
// comparison.
func (s *series) applies(e *experiment.Experiment) bool {
	return len(e.Variants) > 0 || len(s.variants) > 0 || s.seeds > 1
}

// adjust changes the length of the experiment's load to --duration. It refuses a
// load for which that is ambiguous.
func (s *series) adjust(e *experiment.Experiment) error {
	if s.duration == 0 {
		return nil
	}
	if len(e.Load.Phases) != 1 {
		return fmt.Errorf("--duration changes the only phase of a load, but experiment %q has %d: change its file", e.Name, len(e.Load.Phases))
	}
	e.Load.Phases = slices.Clone(e.Load.Phases)
	e.Load.Phases[0].Duration = s.duration
	if err := e.Validate().Err(); err != nil {
		return fmt.Errorf("with --duration %s: %w", s.duration, err)
	}
	return nil
}

// playAll runs variants with several seeds, compares them, and writes the files of
// --out, --report and --junit.
func (o *runOptions) playAll(ctx context.Context, e experiment.Experiment, args []string) error {
	if err := o.skipMissing(ctx, &e); err != nil {
		return err
	}
	if err := o.alikeIsolated(&e); err != nil {
		return err
	}
	pages, err := newPageWriter(o.report, e)
	if err != nil {
		return err
	}
	tests, err := o.junitWriter()
	if err != nil {
		return err
	}
	recorded, err := o.recordSeries(&e)
	if err != nil {
		return err
	}
	var seeds []uint64
	for i := range o.series.seeds {
		seeds = append(seeds, e.Seed+uint64(i))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	comparison, err := o.performAll(ctx, &e, seeds, func(event runner.Event) {
		o.signals.Observe(event) //nolint:contextcheck // what is sent to a collector goes on until the end of the run
		if ended, ok := event.(runner.RunEnded); ok {
			o.signals.end(ctx, ended.Result)
			if ended.Result != nil {
				ended.Result.Command = o.repeatOne(e, args, ended.Result)
			}
		}
		pages.Observe(event)
		tests.Observe(event)
		if recorded == nil {
			return
		}
		if recorded.Observe(event); recorded.Err() != nil {
			stop(recorded.Err())
		}
	})
	err = cli.Cause(ctx, err)
	if comparison != nil {
		comparison.Command = o.repeatAll(e, args)
		pages.compare(comparison)
	}
	if recorded != nil {
		lost := recorded.Finish(comparison)
		o.written.results, o.written.some = lost == nil && comparison != nil, recorded.Kept() > 0
		if lost != nil && !errors.Is(err, lost) {
			err = errors.Join(err, lost)
		}
	}
	err = errors.Join(err, o.writePages(pages, tests))
	if comparison == nil {
		o.tellFiles()
		return err
	}
	return o.concludeAll(comparison, err)
}

// skipMissing leaves out variants whose runtime is not installed on this machine,
// and prints how to install it. It keeps a variant that --variants names. The
// command line that repeats the runs names the variants that are left.
func (o *runOptions) skipMissing(ctx context.Context, e *experiment.Experiment) error {
	if o.target.On != "local" || len(o.series.names()) > 0 || len(e.Variants) == 0 {
		return nil
	}
	can := local.CanServe()
	var left []string
	var missing error
	for _, v := range e.Variants {
		applied, problems := e.Apply(v)
		if problems.Err() == nil {
			if err := canServeAll(ctx, can, &applied.System); err != nil {
				missing = err
				fmt.Fprintf(o.streams.Err, "skipping variant %s: %v\n", v.Name, err)
				continue
			}
		}
		left = append(left, v.Name)
	}
	switch len(left) {
	case 0:
		return fmt.Errorf("running experiment %q: no variant can be served here: %w", e.Name, missing)
	case len(e.Variants):
		return nil
	}
	o.series.variants = left
	return nil
}

// alikeIsolated runs the replicas of all variants as processes if one variant uses
// another program than the agent. Otherwise variants with the agent, inside this
// process, would be faster by the way between processes.
func (o *runOptions) alikeIsolated(e *experiment.Experiment) error {
	if o.target.On != "local" {
		return nil
	}
	chosen, err := e.Select(o.series.names())
	if err != nil {
		return err
	}
	for _, v := range chosen {
		if applied, problems := e.Apply(v); problems.Err() == nil && len(applied.System.Foreign()) > 0 {
			o.local.Processes()
		}
	}
	return nil
}

func canServeAll(ctx context.Context, can func(context.Context, *topology.Service) error, system *topology.System) error {
	for i := range system.Services {
		if s := &system.Services[i]; slices.Contains(system.Foreign(), s.Name) {
			if err := can(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// performAll runs variants with seeds on the target, and shows their progress.
func (o *runOptions) performAll(ctx context.Context, e *experiment.Experiment, seeds []uint64, observe runner.Observer) (*result.Comparison, error) {
	if o.target.Virtual() {
		return o.playAllVirtual(ctx, e, seeds, observe)
	}
	guess, err := o.prepareToPredict(ctx, e, seeds)
	if err != nil {
		return nil, err
	}
	watcher := &seriesView{cli.NewRunScreen(o.streams.Err)}
	deps, err := o.deps(ctx, e, watcher)
	if err != nil {
		return nil, err
	}
	guess.watch(&deps)
	defer o.recoverable(ctx, e)()
	defer watcher.Close()
	sizes := imageSizes{}
	return runner.RunAll(ctx, *e, o.series.names(), seeds, deps, func(event runner.Event) { //nolint:contextcheck // as in perform
		switch event := event.(type) {
		case runner.RunBegun:
			guess.forget()
		case runner.RunEnded:
			guess.compare(event.Result)
			sizes.add(event.Result)
		}
		watcher.observe(event)
		observe(event)
	})
}

// recordSeries prepares --out. It returns nil if --out is not given.
func (o *runOptions) recordSeries(e *experiment.Experiment) (*record.Series, error) {
	if o.out == "" {
		return nil, nil
	}
	whole, err := spec.FormatExperiment(e)
	if err != nil {
		return nil, err
	}
	options := record.Options{Dir: o.out, Force: o.force, Inputs: map[string][]byte{"experiment.yaml": stored(whole)}, More: o.signals.files, Removed: cli.NoteRemoved(o.streams.Err)}
	return record.NewSeries(options, func(variant string, seed uint64) (map[string][]byte, error) {
		applied := *e
		if v, ok := e.Variant(variant); ok {
			applied, _ = e.Apply(v)
		}
		applied.Seed = seed
		text, err := spec.FormatExperiment(&applied)
		return map[string][]byte{"experiment.yaml": stored(text)}, err
	})
}

// concludeAll prints the comparison, and returns the error with which the command
// ends.
func (o *runOptions) concludeAll(c *result.Comparison, err error) error {
	if o.output.Machine() {
		err = errors.Join(err, o.show(c))
	} else {
		out, style := cli.Styled(o.streams.Out)
		err = errors.Join(err, report.Comparison(out, c, style))
	}
	o.tellFiles()
	if err != nil || c.Passed {
		return err
	}
	failed, all := 0, 0
	for _, v := range c.Variants {
		for _, check := range v.Checks {
			if all++; check.Held < check.Runs {
				failed++
			}
		}
	}
	if failed == 0 {
		failed, all = 1, max(all, 1) // a run was aborted, which no check shows
	}
	return cli.ChecksFailed(failed, all)
}

// repeatAll returns the command line that repeats all runs.
func (o *runOptions) repeatAll(e experiment.Experiment, args []string) string {
	command := o.repeat(e, args)
	if len(o.series.variants) > 0 {
		command += " --variants " + strings.Join(o.series.variants, ",")
	}
	if o.series.seeds > 1 {
		command += fmt.Sprintf(" --seeds %d", o.series.seeds)
	}
	if o.series.duration > 0 {
		command += " --duration " + o.series.duration.String()
	}
	return command
}

// repeatOne returns the command line that repeats one of the runs.
func (o *runOptions) repeatOne(e experiment.Experiment, args []string, r *result.Result) string {
	e.Seed = r.Seed
	command := o.repeat(e, args)
	if r.Variant != "" {
		command += " --variants " + r.Variant
	}
	if o.series.duration > 0 {
		command += " --duration " + o.series.duration.String()
	}
	return command
}

// untilAllEnd says when this run and those after it will have ended. It knows from
// earlier runs how long systems take to start and end.
func untilAllEnd(e *runner.RunBegun, now time.Time) string {
	if e.Around == 0 {
		return fmt.Sprintf("their loads take %s at most, and systems start and end around them", unit.Duration(e.AtMost.Round(time.Second)))
	}
	all := e.AtMost + e.Around
	return fmt.Sprintf("all end about %s, in %s", now.Add(all).Format(time.TimeOnly), unit.Duration(all.Round(time.Second)))
}

// seriesView shows the progress of each run, below a line that says which run it is
// and when the last one ends.
type seriesView struct{ *cli.RunScreen }

func (v *seriesView) observe(event runner.Event) {
	switch e := event.(type) {
	case runner.RunBegun:
		name := e.Variant
		if name == "" {
			name = "as it is"
		}
		fmt.Fprintf(v, "run %d of %d: %s, seed %d; %s\n", e.Index+1, e.Of, name, e.Seed, untilAllEnd(&e, time.Now()))
		v.Begin()
	case runner.RunEnded:
		v.Close()
	default:
		v.Observe(event)
	}
}
