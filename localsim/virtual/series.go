package virtual

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// RunAll plays variants of an experiment, each with every seed, and compares them,
// as runner.RunAll does in real time. It plays runs at once on all processors, but
// reports them to the observer, and compares them, in their order, so that the
// output does not depend on the number of processors. It reports the progress of
// all runs together.
//
// It goes on after a check that fails, but not after an error. Then it compares the
// runs that were finished and returns the comparison, marked incomplete, beside the
// error. The comparison is nil only if nothing was started.
func RunAll(ctx context.Context, e experiment.Experiment, names []string, seeds []uint64, o Options) (*result.Comparison, error) {
	e.Load = e.Load.WithDefaults()
	if err := e.Validate().Err(); err != nil {
		return nil, fmt.Errorf("checking experiment %q: %w", e.Name, err)
	}
	if len(seeds) == 0 {
		seeds = []uint64{e.Seed}
	}
	if len(seeds) > experiment.MaxSeeds {
		return nil, fmt.Errorf("running experiment %q: %d seeds are more than the %d possible", e.Name, len(seeds), experiment.MaxSeeds)
	}
	variants, err := e.Select(names)
	if err != nil {
		return nil, err
	}
	s := &series{options: o, began: time.Now()}
	for _, v := range variants {
		applied, problems := e.Apply(v)
		if err := problems.Err(); err != nil {
			return nil, fmt.Errorf("checking variant %q of experiment %q: %w", v.Name, e.Name, err)
		}
		for _, seed := range seeds {
			applied.Seed = seed
			s.planned = append(s.planned, applied)
			s.length += applied.Longest()
		}
	}
	var one []experiment.Experiment // of each variant
	for i := 0; i < len(s.planned); i += len(seeds) {
		one = append(one, s.planned[i])
	}
	if err := runner.CheckAll(one, func(e *experiment.Experiment) error { return Check(*e, o.Machine) }); err != nil {
		return nil, err
	}
	results, err := s.play(ctx)
	if len(results) == 0 && err != nil {
		return nil, err
	}
	c := result.Compare(&e, variants, seeds, results, err)
	c.Target, c.Started, c.Ended = Target, Epoch, results[len(results)-1].Ended
	return c, err
}

// A series is one call of RunAll.
type series struct {
	planned []experiment.Experiment
	options Options
	// length is the longest that all loads and tails may last.
	length time.Duration
	began  time.Time // of the real clock

	mu sync.Mutex
	// sum is the progress of all runs; guarded by mu.
	sum Progress
}

// progress adds the progress of a run since its last report.
func (s *series) progress(last *Progress, now Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Virtual += now.Virtual - last.Virtual
	s.sum.Events += now.Events - last.Events
	s.sum.Length, s.sum.Real = s.length, time.Since(s.began)
	*last = now
	s.options.Progress(s.sum)
}

// played is a run that has ended, or is under way.
type played struct {
	events []runner.Event
	// spans are passed on after the events. kept counts them, lost those for which
	// there was no room.
	spans  [][]span.Span
	kept   int
	lost   int64
	logs   *logline.Store
	result *result.Result
	err    error
	done   chan struct{}
}

// play plays the planned runs, at most as many at once as there are processors, and
// reports them in their order. It ends with the first error in that order.
func (s *series) play(ctx context.Context) ([]*result.Result, error) {
	if s.options.Pace > 0 {
		return s.playInTurn(ctx)
	}
	ctx, stop := context.WithCancel(ctx)
	runs := make([]played, len(s.planned))
	for i := range runs {
		runs[i].done = make(chan struct{})
	}
	workers := min(runtime.NumCPU(), runtime.GOMAXPROCS(0), len(runs))
	// A run may begin only when an earlier one has been reported, so that the
	// events that wait to be reported stay bounded.
	tickets := make(chan int, len(runs))
	ahead := 2 * workers
	for i := range min(ahead, len(runs)) {
		tickets <- i
	}
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := range tickets {
				s.playOne(ctx, i, &runs[i])
			}
		})
	}
	defer wait.Wait()
	defer close(tickets)
	defer stop()
	var results []*result.Result
	for i := range runs {
		<-runs[i].done
		s.tell(i, &runs[i])
		if runs[i].result != nil {
			results = append(results, runs[i].result)
		}
		if err := runs[i].err; err != nil {
			return results, s.errorOf(i, err)
		}
		runs[i] = played{}
		if next := i + ahead; next < len(runs) {
			tickets <- next
		}
	}
	return results, nil
}

// playInTurn plays the planned runs one after another, for users who watch them.
func (s *series) playInTurn(ctx context.Context) (results []*result.Result, err error) {
	tell := s.options.Observer
	if tell == nil {
		tell = func(runner.Event) {}
	}
	for i := range s.planned {
		tell(s.begun(i))
		r, err := Run(ctx, s.planned[i], s.options)
		if r != nil {
			results = append(results, r)
		}
		tell(runner.RunEnded{Index: i, Of: len(s.planned), Result: r, Err: err})
		if err != nil {
			return results, s.errorOf(i, err)
		}
	}
	return results, nil
}

// begun returns the event of the beginning of a run.
func (s *series) begun(i int) runner.RunBegun {
	e := &s.planned[i]
	var left time.Duration
	for j := i; j < len(s.planned); j++ {
		left += s.planned[j].Longest()
	}
	if s.options.Pace > 0 {
		left = time.Duration(float64(left) / s.options.Pace)
	}
	return runner.RunBegun{Index: i, Of: len(s.planned), Variant: e.AppliedVariant, Seed: e.Seed, AtMost: left}
}

// playOne plays a run, and keeps its events to report them later.
func (s *series) playOne(ctx context.Context, i int, p *played) {
	defer close(p.done)
	o := s.options
	if o.Observer != nil {
		o.Observer = func(e runner.Event) { p.events = append(p.events, e) }
	}
	if o.Spans != nil {
		o.Spans = p.keepSpans
	}
	if o.Logs != nil {
		o.Logs = func(lines *logline.Store) { p.logs = lines }
	}
	if o.Progress != nil {
		var last Progress
		o.Progress = func(now Progress) { s.progress(&last, now) }
	}
	if ctx.Err() != nil {
		p.err = fmt.Errorf("the runs were interrupted after %d of %d: %w", i, len(s.planned), context.Cause(ctx))
		return
	}
	p.result, p.err = Run(ctx, s.planned[i], o)
}

// maxSpans bounds the spans of a run that wait to be reported.
const maxSpans = 300_000

// keepSpans keeps spans to report them later, as far as there is room.
func (p *played) keepSpans(spans []span.Span) {
	if p.kept+len(spans) > maxSpans {
		p.lost += int64(len(spans))
		return
	}
	p.kept += len(spans)
	p.spans = append(p.spans, spans)
}

// tell reports a run to the observer.
func (s *series) tell(i int, p *played) {
	observe := s.options.Observer
	if observe == nil {
		observe = func(runner.Event) {}
	}
	observe(s.begun(i))
	for _, event := range p.events {
		observe(event)
	}
	if s.options.Spans != nil {
		for _, spans := range p.spans {
			s.options.Spans(spans)
		}
		if s.options.LostSpans != nil && p.lost > 0 {
			s.options.LostSpans(p.lost)
		}
	}
	if p.logs != nil {
		s.options.Logs(p.logs)
	}
	observe(runner.RunEnded{Index: i, Of: len(s.planned), Result: p.result, Err: p.err})
}

func (s *series) errorOf(i int, err error) error {
	e := &s.planned[i]
	if e.AppliedVariant == "" {
		return fmt.Errorf("running with seed %d: %w", e.Seed, err)
	}
	return fmt.Errorf("running variant %q with seed %d: %w", e.AppliedVariant, e.Seed, err)
}
