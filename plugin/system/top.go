package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// topOptions holds the flags of `top`.
type topOptions struct {
	streams  cli.Streams
	target   target.Target
	watch    bool
	interval unit.Duration
	output   cli.Output
}

func NewTop(streams cli.Streams) *cobra.Command {
	o := &topOptions{streams: streams, target: target.New(), interval: unit.Duration(time.Second)}
	cmd := &cobra.Command{
		Use:   "top [SYSTEM]",
		Short: "Show how the services of a running system are, live",
		Long: `Show how the services of a running system are: requests per second, the share of errors,
latencies, requests in flight and waiting, processors and memory.

On a terminal the table is painted again each second until Ctrl-C; elsewhere, and with
--watch=false, it is printed once. With --watch, tables follow each other elsewhere, too.`,
		Example: `  kubectl microsim top shop
  kubectl microsim top --on local --watch=false
  kubectl microsim top shop -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(cmd); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd.Context(), args)
		},
	}
	cmd.ValidArgsFunction = o.target.CompleteSystems()
	o.target.AddFlags(cmd)
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on until Ctrl-C (default on a terminal)")
	cmd.Flags().Var(&o.interval, "interval", "time over which is counted")
	o.output.AddFlags(cmd, cli.Templates()...)
	o.output.AddNoHeaders(cmd)
	return cmd
}

func (o *topOptions) Validate(cmd *cobra.Command) error {
	if err := cmp.Or(o.output.Validate(), o.target.Validate(cmd)); err != nil {
		return err
	}
	const shortest = 100 * time.Millisecond
	switch given := cmd.Flags().Changed("watch"); {
	case o.output.Machine() && o.watch:
		return errors.New("--output prints one sample, which --watch would repeat: keep one")
	case o.interval.Std() < shortest:
		return fmt.Errorf("--interval %v is too short: write %v or more", o.interval, shortest)
	case !given && !o.output.Machine():
		_, o.watch = cli.IsTerminal(o.streams.Out)
	}
	if _, terminal := cli.IsTerminal(o.streams.Out); terminal && o.watch && o.output.NoHeaders {
		return errors.New("--no-headers is about tables that are printed once, and --watch repaints one: write --watch=false")
	}
	return nil
}

// A watchedSystem is a system whose replicas `top` asks for their figures.
type watchedSystem struct {
	name     string
	replicas func(context.Context) ([]runner.Replica, error)
	// denied returns why the user may not ask them, after a try.
	denied func() error
	end    func() error
}

func nothing() error { return nil }

// find returns the system that the arguments and flags mean.
func (o *topOptions) find(ctx context.Context, name string) (*watchedSystem, error) {
	if !o.target.OnCluster() {
		client, err := local.Find(name)
		if err != nil {
			return nil, err
		}
		return &watchedSystem{client.Name(), client.Replicas, nothing, nothing}, nil
	}
	c, err := o.target.Cluster(ctx, o.streams)
	if err != nil {
		return nil, err
	}
	d, err := c.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	end, err := d.Reach()
	if err != nil {
		return nil, err
	}
	return &watchedSystem{d.System().Name, d.Replicas, d.Denied, end}, nil
}

func (o *topOptions) run(ctx context.Context, args []string) (err error) {
	system, err := o.find(ctx, cmp.Or(append(args, "")...))
	if err != nil {
		return cli.Cause(ctx, err)
	}
	defer func() { err = errors.Join(err, system.end()) }()
	t := &topTable{top: report.Top{System: system.name}, changed: make(chan struct{}, 1)}
	options := collect.Options{Interval: o.interval.Std()}
	if o.watch {
		scraper := collect.New(options)
		if err := scraper.Start(ctx, system.replicas, t.add); err != nil {
			return cli.Cause(ctx, err)
		}
		if err := system.denied(); err != nil {
			return errors.Join(fmt.Errorf("reading the figures of system %q: %w", system.name, err), scraper.Stop())
		}
		o.live(ctx, t)
		return scraper.Stop()
	}
	options.Timeout = max(options.Interval, time.Second) // services do not answer faster for a shorter interval
	samples, err := collect.Sample(ctx, options, system.replicas)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if err := system.denied(); err != nil {
		return fmt.Errorf("reading the figures of system %q: %w", system.name, err)
	}
	for i := range samples {
		t.add(samples[i])
	}
	return o.print(t)
}

// A topTable gathers samples as they come.
type topTable struct {
	mu      sync.Mutex
	top     report.Top
	changed chan struct{}
}

func (t *topTable) add(s measure.Sample) {
	t.mu.Lock()
	t.top.Add(&s)
	t.mu.Unlock()
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// print prints the table once.
func (o *topOptions) print(t *topTable) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.output.Machine() {
		return o.output.Object(o.streams.Out, &t.top)
	}
	out, style := cli.Styled(o.streams.Out)
	if style.Width == 0 {
		const wide = 160 // if the output is not a terminal
		style.Width = wide
	}
	lines := t.top.Table(style)
	if o.output.NoHeaders {
		lines = lines[min(1, len(lines)):]
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// roundPause is the longest time between two samples of one round.
const roundPause = 30 * time.Millisecond

// live repaints the table until the context ends.
func (o *topOptions) live(ctx context.Context, t *topTable) {
	screen := newScreen(o.streams)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.changed:
		}
		// Wait for the other samples of the round, to show all services at once.
		select {
		case <-ctx.Done():
			return
		case <-time.After(roundPause):
		}
		select {
		case <-t.changed:
		default:
		}
		if screen == nil {
			if o.print(t) != nil {
				return
			}
			fmt.Fprintln(o.streams.Out)
			continue
		}
		t.mu.Lock()
		screen.Paint(t.top.Frame)
		t.mu.Unlock()
	}
}

// newScreen returns a screen on stdout, or nil if stdout is not a terminal.
func newScreen(streams cli.Streams) *report.Screen {
	f, ok := cli.IsTerminal(streams.Out)
	if !ok {
		return nil
	}
	return report.NewScreen(cli.Raw(streams.Out), cli.SizeOf(f), os.Getenv("NO_COLOR") == "")
}
