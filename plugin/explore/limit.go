package explore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// limitOptions are those of `limit`.
type limitOptions struct {
	common
	slo        requirements
	phase      string
	arrivals   string
	min, max   height
	precision  float64
	confidence float64
	seeds      int
	warmUp     unit.Duration
	duration   unit.Duration
	recovery   unit.Duration
	trigger    []string
}

// NewLimit is the command `limit`.
func NewLimit(streams cli.Streams) *cobra.Command {
	o := &limitOptions{
		common: common{streams: streams}, precision: 0.02, confidence: 0.95,
		warmUp: unit.Duration(5 * time.Second), duration: unit.Duration(30 * time.Second), recovery: unit.Duration(30 * time.Second),
	}
	cmd := &cobra.Command{
		Use:   "limit (EXPERIMENT | -f FILE)",
		Short: "Find the highest load that a system bears, in virtual time",
		Long: `Find the highest load under which the requirements of --slo hold, by bisection over runs in
virtual time, and say what fills up first.

The load is steady, and of the kind that the file has: its rate is varied, or its users. Each load is
played with several seeds, the same for every load, until the interval of the figures is on one side of
their bounds. What is found is a bracket: the highest load that was shown to hold, and the lowest that
was shown to break. What is between them was not told apart with so many seeds.

Faults of the experiment do not act in these runs. Those that end are triggers: a second search finds up
to which load the system comes back by itself, so that the requirements hold again when --recovery has
passed after the last of them. Beyond that load, a short fault takes the system down for good.`,
		Example: `  kubectl microsim limit shop --slo 'p99 < 300ms' --slo 'errors < 1%'
  kubectl microsim limit lesson-13-metastable --variant retries --slo 'errors < 10%'
  kubectl microsim limit -f system.yaml -f load.yaml --slo 'cart: p99 < 50ms' --trigger 'pause cart duration=3s'
  kubectl microsim limit -f experiment.yaml --arrivals poisson --precision 1% --seeds 64 -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(cmd, args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd, args)
		},
	}
	o.addFlags(cmd)
	o.slo.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.phase, "phase", "", "the phase of the load that is varied (default the highest)")
	flags.StringVar(&o.arrivals, "arrivals", "", "spacing of the requests, constant or poisson, in place of the file's")
	flags.Var(&o.min, "min", "the lowest load that is tried (default a 64th of the file's)")
	flags.Var(&o.max, "max", "the highest load that is tried (default 64 times the file's)")
	flags.Var(share{&o.precision, 0.001, 0.5}, "precision", "how far apart the ends of the bracket may be, of the upper one")
	flags.Var(share{&o.confidence, 0.5, 0.9999}, "confidence", "how sure all that is said must be")
	flags.IntVar(&o.seeds, "seeds", 16, fmt.Sprintf("how many seeds a load is played with at most; %d come first", search.LeastSeeds))
	flags.Var(length{&o.warmUp, 0}, "warm-up", "how long the load lasts before anything is judged")
	flags.Var(length{&o.duration, unit.Duration(2 * time.Second)}, "duration", "how long is judged")
	flags.Var(length{&o.recovery, 0}, "recovery", "how long after the last trigger the requirements may be broken")
	flags.StringArrayVar(&o.trigger, "trigger", nil, `a fault after which the system must come back: the name of one of the file, or its words, such as "latency cart delay=1s duration=5s"; none asks nothing; may be repeated (default those of the file that end)`)
	cli.CompleteFlag(cmd, "arrivals", string(load.Constant), string(load.Poisson))
	return cmd
}

func (o *limitOptions) validate(cmd *cobra.Command, args []string) error {
	if err := errors.Join(o.common.validate(args), o.slo.validate()); err != nil {
		return err
	}
	switch {
	case o.seeds < search.LeastSeeds || o.seeds > experiment.MaxSeeds:
		return fmt.Errorf("--seeds %d is not possible: write %d, of which the first interval is made, to %d", o.seeds, search.LeastSeeds, experiment.MaxSeeds)
	case o.min > 0 && o.max > 0 && o.min > o.max:
		return fmt.Errorf("--min %s is above --max %s: exchange them", &o.min, &o.max)
	case cmd.Flags().Changed("recovery") && slices.Equal(o.trigger, []string{"none"}):
		return errors.New("--recovery is about what follows a trigger: leave it out, or --trigger none")
	case slices.Contains(o.trigger, "none") && len(o.trigger) > 1:
		return errors.New("--trigger takes none, or faults: not both")
	}
	if cmd.Flags().Changed("arrivals") {
		return cli.OneOf("arrivals", o.arrivals, string(load.Constant), string(load.Poisson))
	}
	return nil
}

func (o *limitOptions) run(cmd *cobra.Command, args []string) error {
	e, err := o.read(cmd, args)
	if err != nil {
		return err
	}
	limits, err := o.limits(cmd, &e)
	if err != nil {
		return err
	}
	progress := newLine(o.streams.Err)
	limits.Tried = func(trigger bool, p *search.Point) {
		what := fmt.Sprintf("%s %s", report.Height(p.Load), p.Verdict)
		if trigger {
			what += " after the trigger"
		}
		progress.say(what)
	}
	player, err := o.newPlayer(cmd.Context(), progress)
	if err != nil {
		return err
	}
	found, err := limits.Find(e, player.play)
	progress.close()
	found.Target, found.Costs, found.Command = virtual.Target, player.costs, o.command(cmd, e.Seed, args)
	if err != nil && len(found.Points) == 0 {
		return fmt.Errorf("looking for the limit of experiment %q: %w", e.Name, err)
	}
	return errors.Join(err, o.print(found, func() error {
		out, style := cli.Styled(o.streams.Out)
		return report.Limit(out, found, style)
	}))
}

// limits is the search that the flags ask for.
func (o *limitOptions) limits(cmd *cobra.Command, e *experiment.Experiment) (*search.Limits, error) {
	required, err := o.slo.of(&o.common, e)
	if err != nil {
		return nil, err
	}
	phase, err := search.Template(e.Load, o.phase)
	if err != nil {
		return nil, err
	}
	if o.phase == "" && len(e.Load.Phases) > 1 {
		o.note("of the load, phase %q is varied; --phase names another", phase.Name)
	}
	if o.arrivals != "" {
		if phase.IsClosed() {
			return nil, fmt.Errorf("--arrivals is about an open loop, but the load has users, who wait for their answers: leave it out")
		}
		phase.Arrivals = load.Arrivals(o.arrivals)
	}
	l := &search.Limits{
		Requirements: required, Confidence: o.confidence, Seeds: o.seeds, Cores: virtual.Machine{}.WithDefaults().Cores,
		Steady: search.Steady{Phase: phase, WarmUp: o.warmUp.Std(), Duration: o.duration.Std(), Recovery: o.recovery.Std()},
	}
	if l.Trigger, err = o.triggers(cmd, e); err != nil {
		return nil, err
	}
	l.Bisection = o.bisection(phase)
	played := l.Steady.Experiment(*e, l.Bisection.Start, l.Trigger)
	if err := played.Validate().Err(); err != nil {
		return nil, fmt.Errorf("experiment %q cannot be played under a steady load: %w", e.Name, err)
	}
	return l, nil
}

// points bounds the loads that one search tries.
const points = 24

func (o *limitOptions) bisection(phase load.Phase) search.Bisection {
	height := search.Height(phase)
	b := search.Bisection{Start: height, Least: height / 64, Most: min(64*height, load.MaxRate), Precision: o.precision, Tries: points}
	if phase.IsClosed() {
		b.Whole, b.Least, b.Most = true, max(1, b.Least), min(b.Most, load.MaxUsers)
	}
	if o.min > 0 {
		b.Least = float64(o.min)
	}
	if o.max > 0 {
		b.Most = float64(o.max)
	}
	b.Least, b.Most = min(b.Least, b.Most), max(b.Least, b.Most)
	return b
}

// triggers are the faults after which the system must come back.
func (o *limitOptions) triggers(cmd *cobra.Command, e *experiment.Experiment) ([]fault.Fault, error) {
	if slices.Equal(o.trigger, []string{"none"}) {
		return nil, nil
	}
	var list []fault.Fault
	for _, text := range o.trigger {
		f, err := o.oneTrigger(e, text)
		if err != nil {
			return nil, fmt.Errorf("--trigger: %w", err)
		}
		list = append(list, f)
	}
	if len(o.trigger) == 0 {
		for i := range e.Faults {
			if f := &e.Faults[i]; search.Ends(f) && virtual.CanInject(e, f) == nil {
				list = append(list, *f)
			} else {
				o.note("fault %q does not act: a trigger must end, and have a meaning in virtual time", f.Label())
			}
		}
	}
	for i := range list {
		if err := virtual.CanInject(e, &list[i]); err != nil {
			return nil, fmt.Errorf("--trigger: fault %q is not possible in virtual time: %w", list[i].Label(), err)
		}
	}
	if len(list) == 0 && cmd.Flags().Changed("recovery") {
		return nil, errors.New("--recovery is about what follows a trigger, and there is none: write --trigger, or leave it out")
	}
	return list, nil
}

func (o *limitOptions) oneTrigger(e *experiment.Experiment, text string) (fault.Fault, error) {
	var names []string
	for i := range e.Faults {
		f := &e.Faults[i]
		if f.Label() == text {
			if !search.Ends(f) {
				return *f, fmt.Errorf("fault %q has no end, so nothing comes after it: give it a duration", text)
			}
			return *f, nil
		}
		names = append(names, f.Label())
	}
	if !strings.Contains(text, " ") {
		return fault.Fault{}, fmt.Errorf("there is no fault %q in the file (known are %s): name one, or describe it, such as \"latency cart delay=1s duration=5s\"", text, orNone(names))
	}
	f, err := search.ParseFault(text)
	if err != nil {
		return f, err
	}
	if !search.Ends(&f) {
		return f, fmt.Errorf("fault %q has no end, so nothing comes after it: add duration=5s", text)
	}
	return f, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
