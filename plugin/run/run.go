// Package run has the commands `run`, with its variants and detached runs, and
// `report`.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/observe/record"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/bounds"
	"github.com/microsim-dev/kubectl-microsim/plugin/calibrate"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/preview"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/service/work"
)

// runOptions holds the flags of `run`.
type runOptions struct {
	streams cli.Streams
	inputs  cli.Inputs
	target  target.Target
	local   local.Flags
	series  series
	pods    int
	pace    pace
	// costs is the calibration file: how long work takes in virtual time.
	costs  calibrate.Flag
	bounds bounds.Flags
	// predict makes each run on this machine be played in virtual time, too, and
	// compared.
	predict bool
	signals *signals
	alerts  alertFlags
	// detached has the flags of a run that the cluster executes by itself.
	detached detachedRun
	seed     uint64
	out      string
	force    bool
	report   string
	junit    string
	output   cli.Output
	dryRun   bool
	several  *several
	written  written
}

// written says which files of the flags hold what the runs have shown: what stands in
// their places may be of another run, or a directory without results.
type written struct {
	// results is set if all results are in the directory of --out, some if those of
	// single runs of several are.
	results, some bool
	page, checks  bool
}

func newOptions(streams cli.Streams) runOptions {
	return runOptions{streams: streams, target: target.New(), signals: &signals{}}
}

// New returns the command `run`.
func New(streams cli.Streams) *cobra.Command {
	options := newOptions(streams)
	o := &options
	o.target.AllowVirtual = true
	cmd := &cobra.Command{
		Use:   "run (EXPERIMENT | -f FILE)",
		Short: "Run an experiment: deploy, load, break, judge, clean up",
		Long: `Run a whole experiment: bring its system up, put its load on it, let its faults come and go,
judge its checks, and take everything down again.

The files describe experiments; or a system, its loads and faults, of which one is made. A system for
which no load is described gets 20 requests a second for a minute. Loads of MicroSim run at the same time, each at its own rate. Faults of VECROsim and Chaos Mesh beside an
experiment are added to it. With --only, some of several experiments, systems or loads are chosen.

Several experiments run one after the other. Each has its directory DIR/NAME with --out DIR, and its
page page-NAME.html with --report page.html; --junit has the checks of all in one file, and --output
prints a List. The exit code is that of the worst. An experiment that could not be cleaned up is the
last.

With --on virtual, nothing is started: the experiment is played in simulated time, hours in seconds,
and equal files and seeds give equal results. docs/virtual.md says what is modelled.

An experiment with variants is run once for each of them, and they are compared; --seeds repeats
each run, and gives intervals.

On a cluster, the load is generated inside it, by --load-pods pods that share it. --on kind needs no
cluster: it makes a sandbox if there is none, which stays. With --detach, the experiment runs there
without this machine; 'report', 'status' and 'down' find it by its name.

The exit code is 10 if a check did not hold, and 11 if something could not be cleaned up.`,
		Example: `  kubectl microsim run shop --on local
  kubectl microsim run shop --on virtual
  kubectl microsim run social --on virtual --duration 2h
  kubectl microsim run shop --on kind
  kubectl microsim run shop --on kind --detach
  kubectl microsim run -f experiment.yaml --on local --out results/ -o json
  kubectl microsim run -f system.yaml -f load.yaml -f faults.yaml --on local
  kubectl microsim run microsim-four --only chain-1,chain-3 --on local
  kubectl microsim run -f experiment.yaml --on local --variants none,timeouts --seeds 5 --report page.html`,
		ValidArgsFunction: cli.CompleteInputs(document.KindExperiment),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(cmd, args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd, args)
		},
	}
	o.inputs.AddFlags(cmd, "the experiment")
	o.inputs.AddOnly(cmd, "experiments, systems or loads")
	o.AddFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("variants", o.completeVariants)
	cmd.AddCommand(newOutageRuns(streams)...)
	return cmd
}

// completeVariants completes --variants with the variants of the experiments on the
// command line.
func (o *runOptions) completeVariants(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	docs, err := o.inputs.Read(ctx, cli.Streams{In: strings.NewReader("")}, args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	// The names before the last comma are complete.
	chosen := begun[:strings.LastIndex(begun, ",")+1]
	names := []cobra.Completion{}
	for _, e := range docs.Experiments() {
		for _, v := range append(slices.Clone(e.Variants), experiment.Variant{Name: "all"}) {
			one := cobra.CompletionWithDesc(chosen+v.Name, v.Doc)
			if !slices.Contains(strings.Split(chosen, ","), v.Name) && !slices.Contains(names, one) {
				names = append(names, one)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// AddFlags adds the flags that `run`, `run ideal`, `run performance` and `run
// outage` share.
func (o *runOptions) AddFlags(cmd *cobra.Command) {
	o.target.AddFlags(cmd)
	o.local.AddFlags(cmd)
	o.series.AddFlags(cmd)
	o.signals.AddFlags(cmd)
	o.alerts.AddFlags(cmd)
	target.AddLoadPods(cmd, &o.pods)
	o.target.Kube.AddImageFlags(cmd)
	o.detached.AddFlags(cmd)
	flags := cmd.Flags()
	flags.Uint64Var(&o.seed, "seed", 0, "seed of all random decisions, in place of the file's")
	flags.Var(&o.pace, "pace", "with --on virtual: show it live at this pace, such as 10x, instead of as fast as possible")
	o.costs.AddFlag(cmd)
	o.bounds.AddFlags(cmd)
	o.bounds.OnlyOnVirtual(cmd)
	flags.BoolVar(&o.predict, "predict", false, "with --on local: play the same in virtual time, too, and show by how much it is wrong")
	cli.OnlyOn(flags, []string{"virtual"}, "pace")
	cli.OnlyOn(flags, []string{"virtual", "local"}, "calibration")
	cli.OnlyOn(flags, []string{"local"}, "predict")
	flags.StringVar(&o.out, "out", "", "directory for the results: result.json, timeline.csv, edges.csv, faults.jsonl, traces, logs and the inputs")
	flags.BoolVar(&o.force, "force", false, "write to --out although it holds other files, which are kept")
	flags.StringVar(&o.report, "report", "", "write what the runs showed as one HTML page, which opens offline")
	flags.StringVar(&o.junit, "junit", "", "write the checks as a file of JUnit's XML, which systems of continuous integration show")
	o.output.AddFlags(cmd, cli.Templates()...)
	flags.BoolVar(&o.dryRun, "dry-run", false, "only say what would be done")
}

func (o *runOptions) Validate(cmd *cobra.Command, args []string) error {
	if len(o.inputs.Filenames)+len(args) == 0 {
		return errors.New("there is no experiment to run: name a file, or an example")
	}
	return o.validateFlags(cmd)
}

func (o *runOptions) validateFlags(cmd *cobra.Command) error {
	flags := cmd.Flags()
	for _, check := range []func() error{
		o.output.Validate,
		o.series.Validate,
		func() error { return o.signals.Validate(o, flags) },
		func() error { return o.target.Validate(cmd) },
		func() error { return o.alerts.Validate(o, flags) },
		o.local.Validate,
		o.bounds.Validate,
		func() error { return target.ValidateLoadPods(o.pods) },
		func() error { return o.detached.Validate(o, flags) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	switch {
	case o.force && o.out == "":
		return errors.New("--force is about the directory of --out: write --out, too, or leave it out")
	case o.junit != "" && filepath.Clean(o.junit) == filepath.Clean(o.report):
		return fmt.Errorf("--junit and --report are both %q, so one would replace the other: choose two files", o.junit)
	case o.target.On == "local" && !o.predict && flags.Changed("calibration"):
		return errors.New("--calibration is about runs in virtual time, and a run on this machine is none: write --predict, too, or --on virtual")
	case o.dryRun:
		if err := o.validatePlan(flags); err != nil {
			return err
		}
		return cli.Refuse(flags, "are for what a run shows, and --dry-run runs nothing: leave them out", append([]string{"out", "force", "report", "junit", "pace", "calibration", "predict"}, bounds.Names()...)...)
	}
	return nil
}

// placement lists the flags that say where and how an experiment runs. They do not
// change the experiment itself.
func placement() []string {
	return []string{"isolation", "port-base", "namespace", "load-pods", "detach", "image", "push", "image-pull-secret", "runner-image", "ready-timeout"}
}

// validatePlan refuses flags that a plan in a format for programs would not show.
func (o *runOptions) validatePlan(flags *pflag.FlagSet) error {
	if !o.output.Machine() {
		return nil
	}
	return cli.Refuse(flags, "are not of the experiment, which is all that --dry-run prints with --output: leave them out, or --output", append(placement(), "seeds")...)
}

func (o *runOptions) run(cmd *cobra.Command, args []string) error {
	docs, err := o.inputs.Read(cmd.Context(), o.streams, args)
	if err != nil {
		return err
	}
	cli.ShowNotes(o.streams.Err, docs)
	cli.ShowLoad(o.streams.Err, docs)
	each, err := docs.Each()
	if err != nil {
		return err
	}
	if len(each) > 1 {
		return o.startEach(cmd, each, args)
	}
	return o.start(cmd, *each[0], args)
}

// start runs an experiment as the flags say. args are the arguments that name it.
func (o *runOptions) start(cmd *cobra.Command, e experiment.Experiment, args []string) error {
	if err := o.prepare(cmd.Flags(), &e); err != nil {
		return err
	}
	switch {
	case o.dryRun:
		return o.plan(cmd.Context(), cmd.Flags(), &e)
	case o.detached.detach:
		return o.startDetached(cmd.Context(), e, args)
	}
	return o.begin(cmd.Context(), e, args)
}

// prepare changes the experiment as the flags say, and refuses one that cannot be
// run.
func (o *runOptions) prepare(flags *pflag.FlagSet, e *experiment.Experiment) error {
	if flags.Changed("seed") {
		e.Seed = o.seed
	}
	if err := o.series.adjust(e); err != nil {
		return err
	}
	if o.series.applies(e) {
		if _, err := e.Select(o.series.names()); err != nil {
			return err
		}
	}
	if o.dryRun {
		return nil
	}
	return o.alerts.suits(e, o.target.Virtual())
}

// begin runs an experiment once, or in all its variants.
func (o *runOptions) begin(ctx context.Context, e experiment.Experiment, args []string) error {
	if o.series.applies(&e) {
		return o.playAll(ctx, e, args)
	}
	return o.play(ctx, e, args)
}

// plan prints what the runs would do.
func (o *runOptions) plan(ctx context.Context, flags *pflag.FlagSet, e *experiment.Experiment) error {
	if !o.output.Machine() {
		if err := o.skipMissing(ctx, e); err != nil {
			return err
		}
	}
	if len(o.series.names()) > 0 {
		chosen, err := e.Select(o.series.names())
		if err != nil {
			return err
		}
		e.Variants = chosen
	}
	if !o.output.Machine() {
		if err := o.checkPlan(ctx, e); err != nil {
			return err
		}
		return preview.Experiment(o.streams.Out, e, o.series.seeds, func(w io.Writer) {
			preview.Settings(w, flags, append(placement(), "seed", "retries", "timeout", "circuit-breakers")...)
		})
	}
	text, err := spec.FormatExperiment(e)
	if err != nil {
		return err
	}
	if o.output.Format == "yaml" {
		_, err := o.streams.Out.Write(text)
		return err
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("describing experiment %q: %w", e.Name, err)
	}
	return o.show(v)
}

// checkPlan refuses what the run would refuse before it starts anything. It does not
// ask a cluster.
func (o *runOptions) checkPlan(ctx context.Context, e *experiment.Experiment) error {
	var seeds []uint64
	if o.series.applies(e) {
		seeds = []uint64{e.Seed}
	}
	planned, err := o.planned(e, seeds)
	if err != nil {
		return err
	}
	var possible func(*experiment.Experiment) error
	switch {
	case o.target.Virtual():
		machine, _, err := o.costs.Load()
		if err != nil {
			return err
		}
		possible = func(e *experiment.Experiment) error { return virtual.Check(*e, machine) }
	case o.target.OnCluster():
		possible = func(e *experiment.Experiment) error { return manifest.Check(&e.System) }
	default:
		if err := o.alikeIsolated(e); err != nil {
			return err
		}
		deployer, err := o.local.DeployerIn("", io.Discard) // a dry run stores nothing
		if err != nil {
			return err
		}
		possible = func(e *experiment.Experiment) error { return runner.Possible(ctx, e, deployer, o.target.On) }
	}
	if len(seeds) == 0 {
		return possible(&planned[0])
	}
	return runner.CheckAll(planned, possible)
}

// show prints a value for programs. If the command runs several experiments, it
// keeps the value for their list.
func (o *runOptions) show(v any) error {
	if o.several != nil {
		o.several.results = append(o.several.results, v)
		return nil
	}
	return o.output.Object(o.streams.Out, v)
}

// play runs an experiment once, prints its result, and writes the files of --out,
// --report and --junit.
func (o *runOptions) play(ctx context.Context, e experiment.Experiment, args []string) (err error) {
	recorder, err := o.recorder(&e)
	if err != nil {
		return err
	}
	if recorder != nil {
		defer func() { err = errors.Join(err, recorder.Discard()) }()
	}
	pages, err := newPageWriter(o.report, e)
	if err != nil {
		return err
	}
	tests, err := o.junitWriter()
	if err != nil {
		return err
	}
	result, err := o.perform(ctx, &e, func(event runner.Event) { //nolint:contextcheck // what is sent to a collector goes on until the end of the run
		o.signals.Observe(event)
		pages.Observe(event)
		if recorder != nil {
			recorder.Observe(event)
		}
	})
	err = cli.Cause(ctx, err)
	o.signals.end(ctx, result)
	if result == nil {
		return err
	}
	result.Command = o.repeatOne(e, args, result)
	if recorder != nil {
		lost := recorder.Finish(result)
		o.written.results = lost == nil
		err = errors.Join(err, lost)
	}
	pages.add(result)
	tests.add(result)
	return o.conclude(result, errors.Join(err, o.writePages(pages, tests)))
}

// writePages writes the page and the file of the checks, and notes which of them it has.
func (o *runOptions) writePages(pages *pageWriter, tests *junitWriter) error {
	page, lost := pages.write()
	checks, lostChecks := tests.write()
	o.written.page, o.written.checks = page, checks
	return errors.Join(lost, lostChecks)
}

// perform runs an experiment on the target, and shows its progress.
func (o *runOptions) perform(ctx context.Context, e *experiment.Experiment, observe runner.Observer) (*result.Result, error) {
	if o.target.Virtual() {
		return o.playVirtual(ctx, e, observe)
	}
	guess, err := o.prepareToPredict(ctx, e, nil)
	if err != nil {
		return nil, err
	}
	screen := cli.NewRunScreen(o.streams.Err)
	deps, err := o.deps(ctx, e, screen)
	if err != nil {
		return nil, err
	}
	guess.watch(&deps)
	defer o.recoverable(ctx, e)()
	screen.Begin()
	defer screen.Close()
	result, err := runner.Run(ctx, *e, deps, func(event runner.Event) {
		screen.Observe(event)
		observe(event)
	})
	guess.compare(result)
	imageSizes{}.add(result) //nolint:contextcheck // nothing is started of what is found
	return result, err
}

// recoverable notes the command that takes the system down if this program is killed during the
// run. Call done at the end of the run.
func (o *runOptions) recoverable(ctx context.Context, e *experiment.Experiment) (done func()) {
	command := o.target.Command("down", e.System.Name)
	if o.target.OnCluster() {
		// useCluster notes the command as soon as the cluster has answered, so here
		// only its note is taken back.
		return func() { cli.RecoverWith(ctx, command)() }
	}
	return cli.RecoverWith(ctx, command)
}

// deps returns the parts of the runs of an experiment on the target.
func (o *runOptions) deps(ctx context.Context, e *experiment.Experiment, talk io.Writer) (runner.Deps, error) {
	deps := runner.Deps{
		Loader: o.signals.loader(), Tracer: o.signals.tracer(nil), Logs: o.signals.logs.reader(), Alerts: o.alerts.watcher(), Collector: collect.New(collect.Options{}), Target: o.target.On,
		Versions: map[string]string{"kubectl-microsim": version.String()},
	}
	o.signals.logs.show(talk)
	if o.target.OnCluster() {
		return deps, o.useCluster(ctx, e, talk, &deps)
	}
	c := work.Calibrate()
	deps.Calibration = &result.Calibration{CPUUnit: c.Unit.Seconds(), CPUStep: c.Step.Seconds()}
	// All variants get the same entrances, so that their figures can be compared.
	o.local.Entrances = local.EntrancesOf(e.Faults)
	o.local.Lines = o.signals.logs.take
	deployer, err := o.local.Deployer(talk)
	deps.Deployer = deployer
	return deps, err
}

// recorder prepares --out before anything is started. It returns nil if --out is
// not given.
func (o *runOptions) recorder(e *experiment.Experiment) (*record.Recorder, error) {
	if o.out == "" {
		return nil, nil
	}
	inputs, err := spec.FormatExperiment(e)
	if err != nil {
		return nil, err
	}
	return record.New(record.Options{Dir: o.out, Force: o.force, Inputs: map[string][]byte{"experiment.yaml": stored(inputs)}, More: o.signals.files, Removed: cli.NoteRemoved(o.streams.Err)})
}

// stored returns an experiment as results keep it: without passwords in URLs, because
// results are passed on.
func stored(text []byte) []byte { return []byte(problem.CleanText(string(text))) }

// conclude prints the result, and returns the error with which the command ends.
func (o *runOptions) conclude(result *result.Result, err error) error {
	switch {
	case o.output.Format == "json" && o.several == nil:
		err = errors.Join(err, result.Encode(o.streams.Out))
	case o.output.Machine():
		err = errors.Join(err, o.show(result))
	default:
		out, style := cli.Styled(o.streams.Out)
		err = errors.Join(err, report.Summary(out, result, style))
	}
	o.tellFiles()
	if err == nil && !result.Passed {
		failed := 0
		for _, c := range result.Checks {
			if !c.Pass {
				failed++
			}
		}
		return cli.ChecksFailed(failed, len(result.Checks))
	}
	return err
}

// tellFiles prints where the results, the page and the checks are, if they have
// been written.
func (o *runOptions) tellFiles() {
	switch {
	case o.written.results:
		o.tellFile("Results are in", o.out)
	case o.written.some:
		o.tellFile("Not all results could be written; those of the runs that were are in", o.out)
	}
	if o.written.page {
		o.tellFile("The page is", o.report)
	}
	if o.written.checks && o.several == nil {
		o.tellFile("The checks are in", o.junit)
	}
}

func (o *runOptions) tellFile(text, path string) {
	fmt.Fprintf(o.streams.Err, "%s %s\n", text, cli.Clean(path))
}

// repeat returns the command line that runs the same again.
func (o *runOptions) repeat(e experiment.Experiment, args []string) string {
	called := o.detached.called
	if called == "" {
		called = o.called(args)
	}
	return called + " --seed " + fmt.Sprint(e.Seed)
}

// called returns the command line of this run, without seeds and variants.
func (o *runOptions) called(args []string) string {
	words := append([]string{"kubectl", "microsim", "run"}, args...)
	words = append(append(words, o.inputs.Args()...), "--on", o.target.On)
	if o.target.OnCluster() {
		words = append(append(words, o.target.Kube.Args()...), o.target.Kube.Changed("image", "push", "image-pull-secret")...)
		words = append(words, "--"+target.LoadPodsFlag, fmt.Sprint(o.pods))
	} else if o.target.Virtual() {
		words = append(words, o.costs.Args()...)
	} else {
		words = append(words, o.local.IsolationArgs()...)
		if o.local.PortBase != 0 {
			words = append(words, "--port-base", fmt.Sprint(o.local.PortBase))
		}
	}
	return cli.CommandLine(append(words, o.alerts.args()...)...)
}
