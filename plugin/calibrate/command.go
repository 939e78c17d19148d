package calibrate

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/calibration"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// options are those of `calibrate`.
type options struct {
	streams cli.Streams
	out     string
	// runtimes are measured, too.
	runtimes []string
	output   cli.Output
}

// New is the command `calibrate`.
func New(streams cli.Streams) *cobra.Command {
	o := &options{streams: streams}
	cmd := &cobra.Command{
		Use:   "calibrate",
		Short: "Measure what this machine takes for requests, calls and sleeps, for runs in virtual time",
		Long: `Measure what this machine takes for what files do not describe: requests, calls and connections, a
unit of CPU, a sync of the disk, the start of a process, and by how much sleeps are late. Runs in virtual
time (--on virtual, limit, sweep, search) read the file that is written, and say so; without one, they
have the costs of a small virtual machine.

It takes about 18 seconds, and 25 at most. Services are started on this machine, and put under a load on
the loopback network that keeps the processors busy for about 30 % of the time, since those of an idle
machine are slow to wake up. What else runs meanwhile disturbs it.

With --runtime, what a request, a call and a start take in these runtimes is measured, too, for about ten
seconds each. Systems with such services can then be played in virtual time.`,
		Example: `  kubectl microsim calibrate
  kubectl microsim calibrate --runtime express,flask
  kubectl microsim calibrate --out other.json
  kubectl microsim run shop --on virtual --calibration other.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.output.Validate(); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.out, "out", "", "the file that is written (default that which runs in virtual time read by themselves)")
	flags.StringSliceVar(&o.runtimes, "runtime", nil, "runtimes to measure, too, which are installed: names, separated by commas")
	o.output.AddFlags(cmd, cli.Templates()...)
	return cmd
}

func (o *options) run(ctx context.Context) error {
	path := o.out
	if path == "" {
		var err error
		if path, err = defaultFile(); err != nil {
			return err
		}
		if _, err := registry.Open(filepath.Dir(path)); err != nil {
			return err
		}
	}
	if err := mayWrite(path); err != nil {
		return err
	}
	named, err := checkRuntimes(ctx, o.runtimes)
	if err != nil {
		return err
	}
	c, err := Measure(ctx, o.say, named...)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if err := write(path, c); err != nil {
		return err
	}
	if late := c.Costs.Late(0.99); late > 0.005 {
		fmt.Fprintf(o.streams.Err, "note: 1 of 100 sleeps was more than %s late: something else keeps the machine busy, so calibrate again when it is quiet\n", experiment.FormatSeconds(late))
	}
	if o.output.Machine() {
		return o.output.Object(o.streams.Out, c)
	}
	if err := Table(o.streams.Out, c); err != nil {
		return err
	}
	fmt.Fprintf(o.streams.Err, "The calibration is in %s\n", path)
	return nil
}

func (o *options) say(what string) { fmt.Fprintf(o.streams.Err, "Measuring %s\n", what) }

// Table prints the figures of a calibration for people.
func Table(w io.Writer, c *calibration.Calibration) error {
	costs, seconds := &c.Costs, experiment.FormatSeconds
	var late []string
	for _, q := range costs.Lateness {
		switch q.Share {
		case 0.5, 0.9, 0.99, 0.999:
			late = append(late, fmt.Sprintf("%s (p%v)", seconds(q.Seconds), 100*q.Share))
		}
	}
	rows := [][]string{
		{"request or call, of a processor", seconds(costs.Processor)},
		{"request that comes alone, more", seconds(costs.Alone)},
		{"turn of work, more than the work", seconds(costs.Turn)},
		{"connection, of a processor", seconds(costs.Connection)},
		{"packet, on its way", seconds(costs.Packet)},
		{"answer, until the load goes on", seconds(costs.RequestWait)},
		{"answer, until a service goes on", seconds(costs.CallWait)},
		{"the same of an idle machine, longer by", seconds(costs.IdleWait)},
		{"the same for each call", seconds(costs.IdleCallWait)},
		{"unit of CPU", seconds(costs.CPUUnit)},
		{"sync of the disk", seconds(costs.DiskSync)},
		{"the same of an idle disk, longer by", seconds(costs.DiskIdle)},
		{"disk", strconv.FormatFloat(costs.DiskRate/1e6, 'f', 0, 64) + " MB/s"},
		{"start of a process", seconds(costs.Start)},
	}
	if s := costs.Sleeps; s != nil {
		rows = append(rows, []string{"sleep, ends after whole", seconds(s.Tick)}, []string{"sleep, woken up late by", seconds(calibration.QuantileOf(s.Wake, 0.5)) + " (p50)"})
	}
	for _, text := range late {
		rows = append(rows, []string{"sleep, late by", text})
	}
	for _, r := range c.Runtimes {
		rows = append(rows, []string{"request in " + r.Name + ", of a processor", seconds(r.Processor)}, []string{"call by " + r.Name + ", of a processor", seconds(r.Call)}, []string{"start of " + r.Name, seconds(r.Start)})
	}
	return cli.PrintTable(w, []string{"WHAT IT TAKES", c.Where()}, rows)
}
