package explore

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A player plays experiments in virtual time, as many at once as there are
// processors.
type player struct {
	ctx  context.Context //nolint:containedctx // a search calls back without one
	line *line
	// machine is what the runs are played on; its zero value is the usual one.
	machine virtual.Machine
	costs   *result.Costs
	limits  virtual.Limits
}

// play plays one experiment with several seeds.
func (p *player) play(e experiment.Experiment, seeds []uint64) ([]search.Run, error) {
	list := make([]experiment.Experiment, len(seeds))
	for i, seed := range seeds {
		list[i] = e
		list[i].Seed = seed
	}
	runs, err := p.playAll(list)
	if err != nil {
		return nil, err
	}
	return runs, nil
}

// playAll plays experiments and returns what they showed, in their order. After an
// error no other is begun, and those that did not end have no result; of several
// errors that of the first in order is returned.
func (p *player) playAll(list []experiment.Experiment) ([]search.Run, error) {
	ctx, stop := context.WithCancel(p.ctx)
	defer stop()
	runs, errs := make([]search.Run, len(list)), make([]error, len(list))
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.NumCPU(), runtime.GOMAXPROCS(0), len(list)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(list); i = int(next.Add(1)) - 1 {
				if runs[i], errs[i] = p.playOne(ctx, list[i]); errs[i] != nil {
					stop()
				}
			}
		})
	}
	wait.Wait()
	if err := p.ctx.Err(); err != nil {
		return runs, context.Cause(p.ctx)
	}
	for _, err := range errs {
		// Those that only ended because another failed say nothing.
		if err != nil && ctx.Err() != nil && !isCancelled(err) {
			return runs, err
		}
	}
	return runs, nil
}

func (p *player) playOne(ctx context.Context, e experiment.Experiment) (search.Run, error) {
	usage := &search.Usage{}
	// Only the last phase is judged, and not what services do when it is over.
	var begin, end time.Duration
	for _, p := range e.Load.Phases {
		begin, end = end, end+p.Duration.Std()
	}
	var last virtual.Progress
	res, err := virtual.Run(ctx, e, virtual.Options{
		Machine: p.machine, Costs: p.costs, Limits: p.limits,
		Versions: map[string]string{"kubectl-microsim": version.String()},
		Observer: func(event runner.Event) {
			s, ok := event.(runner.ServiceSampled)
			if !ok || s.At <= begin || s.At > end {
				return
			}
			usage.Add(search.Sample{
				At: s.At, Elapsed: s.Sample.Elapsed, Service: s.Sample.Service,
				InWork: s.Sample.InFlight, Queue: s.Sample.QueueLength, CPUSeconds: s.Sample.CPUSeconds.Value, Memory: s.Sample.MemoryBytes,
			})
		},
		Disk: func(at, elapsed, busy time.Duration) {
			if at > begin && at <= end {
				usage.AddDisk(elapsed, busy)
			}
		},
		Progress: func(now virtual.Progress) {
			p.line.add(now.Virtual-last.Virtual, now.Events-last.Events)
			last = now
		},
	})
	if err != nil {
		return search.Run{}, err
	}
	p.line.ended()
	return search.Run{Result: res, Usage: usage}, nil
}

// A line tells how far a search is: on a terminal in one line that is painted
// again, elsewhere when it is over.
type line struct {
	out   io.Writer
	line  *cli.Line
	began time.Time

	mu      sync.Mutex
	what    string
	runs    int
	virtual time.Duration
	events  uint64
	painted time.Time
}

func newLine(out io.Writer) *line {
	return &line{out: out, line: cli.NewLine(out), began: time.Now()}
}

// say changes what is being tried.
func (l *line) say(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.what = what
	l.paint()
}

func (l *line) add(virtual time.Duration, events uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.virtual += virtual
	l.events += events
	l.paint()
}

func (l *line) ended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs++
	l.paint()
}

func (l *line) paint() {
	if !l.line.Shown() || time.Since(l.painted) < 100*time.Millisecond {
		return
	}
	l.painted = time.Now()
	text := l.text()
	if l.what != "" {
		text = l.what + "; " + text
	}
	l.line.Show(text)
}

// close ends the line.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line.Clear()
	if l.runs > 0 {
		fmt.Fprintln(l.out, l.text())
	}
}

func (l *line) text() string {
	return fmt.Sprintf("%s, %s of virtual time in %s", unit.Count(l.runs, "run"),
		unit.Duration(l.virtual.Round(time.Second)), unit.Duration(time.Since(l.began).Round(10*time.Millisecond)))
}
