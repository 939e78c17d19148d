package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// applyOptions holds the flags of `fault apply`.
type applyOptions struct {
	faultOptions
	inputs   cli.Inputs
	guard    podGuard
	duration unit.Duration
	seed     uint64
	dryRun   bool
}

func newFaultApply(streams cli.Streams) *cobra.Command {
	o := &applyOptions{faultOptions: faultOptions{streams: streams, target: target.New()}}
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Let the faults of a file come and go on a running system",
		Long: `Let the faults of a file come and go on a running system: each comes at its start and goes after
its duration, counted from the beginning. The command stays until the last has ended, until
--duration is over, or until it is interrupted; what acts then is taken back, and faults that
never began are named.

Files are the fault definitions of VECROsim, the objects NetworkChaos, StressChaos and PodChaos of
Chaos Mesh, and Experiments, of which only the faults are taken. What the system cannot do is said
before anything begins.

Labels of Chaos Mesh that name no service of the system select pods of a cluster, in the namespace
that the file names, or else in that of -n. They are listed, and the command asks before it breaks
them.`,
		Example: `  kubectl microsim fault apply -f evening.yaml
  kubectl microsim fault apply -f networkchaos.yaml --duration 5min --on kind
  kubectl microsim fault apply -f evening.yaml --on local --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(cmd); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd)
		},
	}
	o.AddFlags(cmd)
	o.inputs.AddFlags(cmd, "the faults")
	o.guard.addFlags(cmd, "for pods that labels select")
	o.target.Kube.AddHelperFlags(cmd)
	flags := cmd.Flags()
	flags.Var(cli.NewDuration(&o.duration), "duration", "when to end, counted from the beginning; without it, when the last fault has ended")
	flags.Uint64Var(&o.seed, "seed", document.DefaultSeed, "decides which replicas are meant if a file leaves it open")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only say what would be done, and when")
	o.output.AddFlags(cmd, "json")
	flags.Lookup("output").Usage = "output format: json, one event per line"
	return cmd
}

func (o *applyOptions) Validate(cmd *cobra.Command) error {
	if len(o.inputs.Filenames) == 0 {
		return errors.New("there are no faults to apply: name files with -f")
	}
	if err := o.output.Validate(); err != nil {
		return err
	}
	if err := o.guard.validate(); err != nil {
		return err
	}
	switch {
	case cmd.Flags().Changed("duration") && o.duration <= 0:
		return fmt.Errorf("--duration %v is not a time for faults to come and go: leave it out to end with the last fault", o.duration)
	case o.dryRun && o.output.Machine():
		return errors.New("--dry-run prints a table, and --output formats the events of a real run: keep one")
	}
	return o.target.Validate(cmd)
}

func (o *applyOptions) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	docs, err := o.inputs.Read(ctx, o.streams, nil)
	if err != nil {
		return err
	}
	if o.target.OnCluster() {
		cli.ShowNotesOnCluster(o.streams.Err, docs)
	} else {
		cli.ShowNotes(o.streams.Err, docs)
	}
	at, faults, err := o.prepare(ctx, docs)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if len(at.pods) == 0 {
		if err := cli.Refuse(cmd.Flags(), "are about pods that labels select, and the files select none: leave them out", "allow-system", "max-pods", "yes", "image", "push", "image-pull-secret"); err != nil {
			return cli.Usage(cmd, err)
		}
	}
	injector, system := injector(at), at.name
	if err := o.check(injector, faults); err != nil {
		return err
	}
	if at.system != nil {
		for i := range faults {
			noteUnused(o.streams.Err, at.system, &faults[i])
			noteOneThread(o.streams.Err, at.system, &faults[i])
		}
	}
	plan, err := planFaults(faults, o.duration.Std(), o.seed)
	if err != nil {
		return err
	}
	if err := at.confirm(ctx, o, faults); err != nil {
		return cli.Cause(ctx, err)
	}
	if o.dryRun {
		return printSteps(o.streams, system, plan)
	}
	if err := refuseTaken(ctx, injector, plan, func(id string) string { return o.Command("clear", id) }); err != nil {
		return cli.Cause(ctx, err)
	}
	return o.play(ctx, injector, plan)
}

// refuseTaken refuses faults with the names of active ones, because clearing the
// new ones would clear those; clear is the command that does.
func refuseTaken(ctx context.Context, in injector, plan *timeline.Plan, clear func(id string) string) error {
	active, err := in.Active(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for i := range plan.Windows {
		w := &plan.Windows[i]
		taken := func(a runner.Injection) bool { return a.ID == w.ID && !timeline.ActsOnce(&a.Fault) }
		if w.Acts() && slices.ContainsFunc(active, taken) {
			failed = append(failed, fmt.Errorf("a fault %q acts already; '%s' ends it, or give the one of the file another name", w.ID, clear(w.ID)))
		}
	}
	return errors.Join(failed...)
}

// runningSystem asks a running system for its description.
func runningSystem(ctx context.Context, in injector) (*topology.System, error) {
	switch s := in.(type) {
	case interface{ System() *topology.System }:
		return s.System(), nil
	case interface {
		System(context.Context) (*topology.System, error)
	}:
		return s.System(ctx)
	}
	return nil, errors.New("the running system does not tell what it is made of")
}

// faultsFor collects the faults of all documents for one system.
func faultsFor(sets []*document.Faults, docs document.Documents, system *topology.System, seed uint64) ([]fault.Fault, error) {
	var all []fault.Fault
	for _, set := range sets {
		faults, err := set.For(system, seed)
		if err != nil {
			return nil, err
		}
		all = append(all, faults...)
	}
	for _, e := range docs.Experiments() {
		all = append(all, e.Faults...)
	}
	return all, nil
}

// errNoFaults says that there is nothing to apply.
func errNoFaults() error {
	return errors.New("the files describe no faults for this system: give fault definitions of VECROsim, objects of Chaos Mesh, or an Experiment")
}

// check returns an error that names every fault that the system cannot do, before
// any fault begins.
func (o *applyOptions) check(in injector, faults []fault.Fault) error {
	var failed []error
	for i := range faults {
		f := &faults[i]
		if f.Duration == 0 && o.duration == 0 && !timeline.ActsOnce(f) {
			failed = append(failed, fmt.Errorf("fault %q has no duration: write one, or --duration, so that it ends even if this program cannot end it", f.Label()))
		}
		for _, one := range victimsOf(f) {
			if err := in.CanInject(&one); err != nil {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

// victimsOf returns the faults that a fault stands for: itself, or one for each
// victim that its rounds can draw.
func victimsOf(f *fault.Fault) []fault.Fault {
	if f.Rounds == nil {
		return []fault.Fault{*f}
	}
	var all []fault.Fault
	for _, victim := range f.Rounds.Victims {
		if one := *f; victim != fault.Nobody {
			one.Rounds, one.Target.Service = nil, victim
			all = append(all, one)
		}
	}
	return all
}

// play plays the timeline. Meanwhile new pods get the active faults, too.
func (o *applyOptions) play(ctx context.Context, in injector, plan *timeline.Plan) error {
	var following sync.WaitGroup
	defer following.Wait()
	holding, end := context.WithCancel(ctx)
	defer end()
	if p, ok := in.(planner); ok {
		following.Go(func() { p.Follow(holding) })
	}
	p := &performance{plan: plan, injector: in, tell: o.tell, remedy: func(id string) string { return o.Command("clear", id) }}
	// Each fault may act from the moment at which it is asked for.
	for i := range plan.Windows {
		if w := &plan.Windows[i]; w.Acts() {
			defer cli.RecoverWith(ctx, p.remedy(w.ID))()
		}
	}
	return cli.Cause(ctx, p.play(ctx))
}

// tell prints an event: added and cleared to stdout, never-started to stderr. It
// leaves out failed, because the error of the command says that. With -o json it
// prints every event to stdout.
func (o *applyOptions) tell(e faultEvent) {
	if o.output.Machine() {
		if data, err := json.Marshal(e); err == nil {
			fmt.Fprintf(o.streams.Out, "%s\n", data)
		}
		return
	}
	switch e.Event {
	case "added", "cleared":
		fmt.Fprintf(o.streams.Out, "fault/%s %s (%.1fs)\n", e.Name, e.Event, e.Elapsed)
	case "never-started":
		fmt.Fprintf(o.streams.Err, "fault/%s never started\n", e.Name)
	}
}

// printSteps prints what would be done, and when.
func printSteps(streams cli.Streams, system string, plan *timeline.Plan) error {
	var rows [][]string
	for _, s := range plan.Steps {
		w := &plan.Windows[s.Window]
		if !w.Acts() || s.Clear && w.Forgotten {
			continue
		}
		verb := "add"
		if s.Clear {
			verb = "clear"
		}
		target := w.Fault.Target.String()
		if d := w.Fault.EffectiveDirection(); d != "" {
			target += " (" + string(d) + ")"
		}
		rows = append(rows, []string{unit.Duration(s.At.Round(time.Millisecond)).String(), verb, w.ID, string(w.Fault.Type), target})
	}
	if err := cli.PrintTable(streams.Out, []string{"AT", "CHANGE", "FAULT", "TYPE", "TARGET"}, rows); err != nil {
		return err
	}
	for i := range plan.Missed {
		if w := &plan.Missed[i]; w.Acts() {
			fmt.Fprintf(streams.Err, "fault/%s would never start\n", w.ID)
		}
	}
	fmt.Fprintf(streams.Out, "\n%s faults applied (dry run)\n", system)
	return nil
}
