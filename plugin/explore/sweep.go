package explore

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/observe/chart"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// sweepOptions are those of `sweep`.
type sweepOptions struct {
	common
	vary    []string
	figures []string
	phase   string
	seeds   int
	out     string
	report  string
	force   bool
	grid    search.Grid
}

// NewSweep is the command `sweep`.
func NewSweep(streams cli.Streams) *cobra.Command {
	o := &sweepOptions{common: common{streams: streams}}
	cmd := &cobra.Command{
		Use:   "sweep (EXPERIMENT | -f FILE) --vary SETTING=VALUES",
		Short: "Play a grid of settings in virtual time, and mark the knees",
		Long: `Play an experiment with each combination of the settings of --vary, in virtual time, and print what
its figures become. Values are separated by commas; FROM..TO/STEP stands for all from the first to the last.

  load.rate, load.users          the highest phase; the others keep their proportion
  load.timeout, load.PHASE.rate  other fields of the load, and of a phase of it
  cart.workers, cart.replicas    fields of a service: also backlog, shed.queue, resources.cpuLimit
  cart.work.sleep                the work of a service, where it does such work
  web->cart.timeout              the calls from one service to another; * stands for all
  web->cart.retry.attempts       a field of a policy
  faults.NAME.delay              a parameter of a fault, its start, duration or probability

All points are played with the same seeds, so that what differs between them is the settings. Each figure
is the mean of the seeds, with half the width of its 95% interval. The knee of a curve along the first setting is
where it begins to rise, or ceases to; it is found by Kneedle (Satopää and others, 2011), for the means and for each
seed by itself.`,
		Example: `  kubectl microsim sweep shop --vary load.rate=200..1800/200
  kubectl microsim sweep lesson-13-metastable --vary 'web->api.timeout=100ms,200ms,500ms' --vary 'web->api.retry.attempts=1..4/1'
  kubectl microsim sweep -f experiment.yaml --vary load.rate=100..2000/100 --out sweep.csv --report sweep.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd, args)
		},
	}
	o.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&o.vary, "vary", nil, "a setting and its values, such as load.rate=100..500/100; may be repeated")
	flags.StringSliceVar(&o.figures, "figures", []string{"goodput", "errors", "p50", "p99"}, `what is shown: figures of checks, of the clients or, as "cart: p99" and "web->cart: attempts", of services and calls`)
	flags.StringVar(&o.phase, "phase", "", "the phase of the load, or before, during or after the faults, that figures are of (default the whole run)")
	flags.IntVar(&o.seeds, "seeds", 4, "how many seeds each point is played with")
	flags.StringVar(&o.out, "out", "", "write the points to this CSV file")
	flags.StringVar(&o.report, "report", "", "draw the figures on one HTML page, which opens offline")
	flags.BoolVar(&o.force, "force", false, "overwrite the files of --out and --report")
	return cmd
}

func (o *sweepOptions) validate(args []string) error {
	if err := o.common.validate(args); err != nil {
		return err
	}
	switch {
	case len(o.vary) == 0:
		return errors.New("there is nothing to vary: write --vary, such as --vary load.rate=100..500/100")
	case o.seeds < 1 || o.seeds > experiment.MaxSeeds:
		return fmt.Errorf("--seeds %d is not possible: write 1 to %d", o.seeds, experiment.MaxSeeds)
	case len(o.figures) == 0:
		return errors.New("--figures is empty: name one, such as p99")
	case o.force && o.out == "" && o.report == "":
		return errors.New("--force overwrites the files of --out and --report: write one of them, or leave it out")
	}
	o.grid = search.Grid{Seeds: o.seeds, Phase: o.phase}
	for _, text := range o.vary {
		v, err := search.ParseVariation(text)
		if err != nil {
			return fmt.Errorf("--vary: %w", err)
		}
		for _, before := range o.grid.Vary {
			if before.Path == v.Path {
				return fmt.Errorf("--vary: %s is varied twice: write all its values into one", v.Path)
			}
		}
		o.grid.Vary = append(o.grid.Vary, v)
	}
	for _, text := range o.figures {
		f, err := search.ParseFigure(text)
		if err != nil {
			return fmt.Errorf("--figures: %w", err)
		}
		o.grid.Figures = append(o.grid.Figures, f)
	}
	if o.report != "" && o.grid.Vary[0].Numbers == nil {
		return fmt.Errorf("--report draws along the first setting, and the values of %s are not numbers: put another --vary first", o.grid.Vary[0].Path)
	}
	return errors.Join(checkFile("--out", o.out, o.force), checkFile("--report", o.report, o.force))
}

func (o *sweepOptions) run(cmd *cobra.Command, args []string) error {
	e, err := o.read(cmd, args)
	if err != nil {
		return err
	}
	if err := o.fit(e); err != nil {
		return err
	}
	progress := newLine(o.streams.Err)
	o.grid.Played = func(done, all int) { progress.say(fmt.Sprintf("%d of %d points", done, all)) }
	player, err := o.newPlayer(cmd.Context(), progress)
	if err != nil {
		return err
	}
	sweep, err := o.grid.Sweep(e, player.play)
	progress.close()
	if sweep == nil || len(sweep.Points) == 0 {
		return fmt.Errorf("sweeping experiment %q: %w", e.Name, err)
	}
	sweep.Target, sweep.Costs, sweep.Command = virtual.Target, player.costs, o.command(cmd, e.Seed, args)
	err = errors.Join(err, o.print(sweep, func() error {
		out, style := cli.Styled(o.streams.Out)
		return report.Sweep(out, sweep, style)
	}))
	return errors.Join(err, o.write(sweep))
}

// fit says whether the experiment has what the figures are of.
func (o *sweepOptions) fit(e experiment.Experiment) error {
	for _, f := range o.grid.Figures {
		f.Phase = o.phase
		e.Rank = f
		if problems := e.Validate(); problems.Err() != nil {
			for i := range problems {
				problems[i].Path = "" // the flag, not the ranking of the experiment, is wrong
			}
			return fmt.Errorf("--figures: figure %q: %w", f.Figure(), problems.Err())
		}
	}
	return nil
}

func (o *sweepOptions) write(sweep *search.Sweep) (err error) {
	if o.out != "" {
		if err = writeFile(o.out, sweep.WriteCSV); err == nil {
			fmt.Fprintf(o.streams.Err, "The points are in %s\n", o.out)
		}
	}
	if o.report != "" {
		if sweep.Incomplete {
			return errors.Join(err, fmt.Errorf("the page %q is not written: not all points were played", o.report))
		}
		drawn := writeFile(o.report, func(w io.Writer) error { return chart.Sweep(w, sweep) })
		if err = errors.Join(err, drawn); drawn == nil {
			fmt.Fprintf(o.streams.Err, "The page is %s\n", o.report)
		}
	}
	return err
}
