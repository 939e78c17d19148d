package dataset

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
	"github.com/microsim-dev/kubectl-microsim/model/dataset"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/export"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/run"
)

// A maker makes the cases of a data set that are not finished.
type maker struct {
	set    *export.Set
	data   *dataset.Dataset
	cases  []dataset.Case
	hash   string
	player *run.Player
	line   *line
	// traces says that a format has the traces and logs of runs.
	traces bool
}

// traceShare is the share of the traces that are kept, of runs whose data set has
// traces.
const traceShare = 0.1

// make makes them, as many at once as the target can, and returns the first error.
func (m *maker) make(ctx context.Context) error {
	var left []int
	for i := range m.cases {
		if !m.set.Has(export.CaseName(i + 1)) {
			left = append(left, i)
		}
	}
	if m.traces && !m.player.Virtual() {
		m.player.KeepSignals(traceShare)
	}
	m.line.begin(len(m.cases), len(m.cases)-len(left))
	defer m.line.close()
	workers := 1
	if m.player.Virtual() {
		workers = min(runtime.NumCPU(), runtime.GOMAXPROCS(0), len(left))
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(left) && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				if err := m.one(ctx, left[n]); err != nil {
					stop(err) // the first is kept
					return
				}
				m.line.ended()
			}
		})
	}
	wait.Wait()
	return cli.Cause(ctx, context.Cause(ctx))
}

// one runs a case and adds it to the set.
func (m *maker) one(ctx context.Context, i int) error {
	name := export.CaseName(i + 1)
	recorder := &export.Recorder{}
	res, err := m.play(ctx, i, recorder)
	if err != nil {
		return fmt.Errorf("running %s, %s: %w", name, describe(&m.cases[i]), err)
	}
	r := recorder.Finish(describe(&m.cases[i]), res)
	r.SystemHash = m.hash
	c, err := export.NewCase(r, name, m.data.Name, time.Second, m.data.Seed)
	if err != nil {
		return err
	}
	return m.set.Add(c)
}

func (m *maker) play(ctx context.Context, i int, recorder *export.Recorder) (*result.Result, error) {
	e := m.cases[i].Experiment
	if !m.player.Virtual() {
		res, err := m.player.Run(ctx, e, io.Discard, recorder.Observe)
		if err == nil && m.traces {
			recorder.Spans(m.player.Traces())
			recorder.Lines(m.player.Lines())
		}
		return res, err
	}
	options := virtual.Options{Versions: map[string]string{"kubectl-microsim": version.String()}, Observer: recorder.Observe}
	if !m.traces {
		return virtual.Run(ctx, e, options)
	}
	store := trace.NewStore(nil)
	options.Spans, options.TraceSample = store.Add, traceShare
	options.Logs, options.LogRequests = func(lines *logline.Store) { recorder.Lines(lines.Lines()) }, true
	res, err := virtual.Run(ctx, e, options)
	recorder.Spans(trace.Origin{System: e.System.Name, Target: virtual.Target, Version: version.String()}, store.Traces())
	return res, err
}

// describe names the run of a case.
func describe(c *dataset.Case) string {
	e := &c.Experiment
	if len(e.Faults) == 0 {
		return fmt.Sprintf("no fault, seed %d", e.Seed)
	}
	return fmt.Sprintf("%s, seed %d", e.Faults[0].Label(), e.Seed)
}

// A line tells how far a set is: on a terminal in one line that is painted again,
// elsewhere each ten seconds.
type line struct {
	out  io.Writer
	line *cli.Line

	mu             sync.Mutex
	began, painted time.Time
	all, had, done int
}

func newLine(out io.Writer) *line {
	return &line{out: out, line: cli.NewLine(out)}
}

func (l *line) begin(all, had int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began, l.painted, l.all, l.had = time.Now(), time.Now(), all, had
	if had > 0 {
		fmt.Fprintf(l.out, "%d of %d cases are finished already\n", had, all)
	}
}

func (l *line) ended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	now := time.Now()
	pause := 10 * time.Second
	if l.line.Shown() {
		pause = 100 * time.Millisecond
	}
	if now.Sub(l.painted) < pause {
		return
	}
	l.painted = now
	text := l.text(now)
	if !l.line.Shown() {
		fmt.Fprintln(l.out, text)
		return
	}
	l.line.Show(text)
}

func (l *line) text(now time.Time) string {
	took := now.Sub(l.began)
	left := time.Duration(float64(took) / float64(l.done) * float64(l.all-l.had-l.done))
	return fmt.Sprintf("case %d of %d after %s, %s left", l.had+l.done, l.all, unit.Duration(took.Round(time.Second)), unit.Duration(left.Round(time.Second)))
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line.Clear()
	if l.done > 0 {
		fmt.Fprintf(l.out, "%s made in %s\n", unit.Count(l.done, "case"), unit.Duration(time.Since(l.began).Round(10*time.Millisecond)))
	}
}
