package run

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/calibrate"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A pace is the factor by which a run in virtual time is shown faster than real
// time, such as 10x; 0 means as fast as possible.
type pace float64

func (p *pace) Type() string { return "pace" }

func (p *pace) String() string {
	if *p == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*p), 'g', -1, 64) + "x"
}

func (p *pace) Set(text string) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "x"), 64)
	if err != nil || !(v > 0) || v > 1e6 {
		return fmt.Errorf("%q is not a pace: write a factor such as 10x, or leave it out to be as fast as possible", text)
	}
	*p = pace(v)
	return nil
}

// playVirtual runs an experiment in virtual time, and shows its progress.
func (o *runOptions) playVirtual(ctx context.Context, e *experiment.Experiment, observe runner.Observer) (*result.Result, error) {
	options, err := o.virtualOptions()
	if err != nil {
		return nil, err
	}
	if options.Observer = observe; o.pace == 0 {
		line := newProgressLine(o.streams.Err)
		defer line.close()
		options.Progress = line.show
		return virtual.Run(ctx, *e, options)
	}
	screen := cli.NewRunScreen(o.streams.Err)
	screen.Begin()
	defer screen.Close()
	options.Observer = func(event runner.Event) {
		screen.Observe(event)
		observe(event)
	}
	return virtual.Run(ctx, *e, options)
}

// playAllVirtual is playVirtual for variants with seeds.
func (o *runOptions) playAllVirtual(ctx context.Context, e *experiment.Experiment, seeds []uint64, observe runner.Observer) (*result.Comparison, error) {
	options, err := o.virtualOptions()
	if err != nil {
		return nil, err
	}
	if options.Observer = observe; o.pace == 0 {
		line := newProgressLine(o.streams.Err)
		defer line.close()
		options.Progress = line.show
		return virtual.RunAll(ctx, *e, o.series.names(), seeds, options)
	}
	watcher := &seriesView{cli.NewRunScreen(o.streams.Err)}
	defer watcher.Close()
	options.Observer = func(event runner.Event) {
		watcher.observe(event)
		observe(event)
	}
	return virtual.RunAll(ctx, *e, o.series.names(), seeds, options)
}

// virtualOptions returns the options of runs in virtual time, as the flags say.
func (o *runOptions) virtualOptions() (virtual.Options, error) {
	machine, costs, err := o.costs.Load()
	if err != nil {
		return virtual.Options{}, err
	}
	calibrate.Note(o.streams.Err, costs)
	options := virtual.Options{Machine: machine, Costs: costs, Limits: o.bounds.Limits(), Pace: float64(o.pace), Versions: map[string]string{"kubectl-microsim": version.String()}}
	if o.signals.wanted {
		options.LostSpans = o.signals.lose
		options.Spans, options.TraceSample = o.signals.add, float64(o.signals.share)
	}
	if logs := &o.signals.logs; logs.wanted() || logs.requests {
		logs.show(o.streams.Err)
		options.Logs, options.LogRequests = logs.takeAll, logs.requests
	}
	return options, nil
}

// A progressLine shows the progress of a run in virtual time: in one line of a
// terminal, or else once at the end.
type progressLine struct {
	out  io.Writer
	line *cli.Line
	last virtual.Progress
}

func newProgressLine(out io.Writer) *progressLine {
	return &progressLine{out: out, line: cli.NewLine(out)}
}

func (p *progressLine) show(now virtual.Progress) {
	p.last = now
	p.line.Show(p.text())
}

// close prints the line a last time, so that it stays.
func (p *progressLine) close() {
	p.line.Clear()
	if p.last.Events > 0 {
		fmt.Fprintln(p.out, p.text())
	}
	p.last = virtual.Progress{}
}

func (p *progressLine) text() string {
	l := &p.last
	rate := float64(l.Events) / max(l.Real.Seconds(), 1e-9)
	return fmt.Sprintf("%s of virtual time in %s: %d events, %.1f million a second",
		unit.Duration(l.Virtual.Round(time.Millisecond)), unit.Duration(l.Real.Round(time.Millisecond)), l.Events, rate/1e6)
}
