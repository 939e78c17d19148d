package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// RunAll plays variants of an experiment one after another, each on a deployment of
// its own: all with the first seed, then all with the next, so that a machine whose
// speed drifts is as fast for each of them. It compares them. Without names all
// variants are played, or the experiment itself where it has none; without seeds
// the experiment's own is used.
//
// It goes on after checks that fail and runs that abortOn has ended, but not
// after an error, which is likely to meet the next run, too. What was finished
// until then, and what there is of the last run, is compared and returned beside
// the error, marked incomplete; the comparison is nil only where nothing was
// started. The observer is told of every run's events between a RunBegun and a
// RunEnded.
func RunAll(ctx context.Context, e experiment.Experiment, names []string, seeds []uint64, deps Deps, observer Observer) (*result.Comparison, error) {
	e.Load = e.Load.WithDefaults()
	if err := e.Validate().Err(); err != nil {
		return nil, fmt.Errorf("checking experiment %q: %w", e.Name, err)
	}
	if len(seeds) == 0 {
		seeds = []uint64{e.Seed}
	}
	variants, err := e.Select(names)
	if err != nil {
		return nil, err
	}
	if len(seeds) > experiment.MaxSeeds {
		return nil, fmt.Errorf("running experiment %q: %d seeds are more than the %d possible", e.Name, len(seeds), experiment.MaxSeeds)
	}
	deps = deps.withDefaults()
	s := &series{deps: deps, observer: observer}
	started := deps.Clock.Now()
	for _, seed := range seeds {
		for _, v := range variants {
			applied, problems := e.Apply(v)
			if err := problems.Err(); err != nil {
				return nil, fmt.Errorf("checking variant %q of experiment %q: %w", v.Name, e.Name, err)
			}
			applied.Seed = seed
			s.planned = append(s.planned, applied)
		}
	}
	if err := CheckAll(s.planned[:len(variants)], func(e *experiment.Experiment) error { return Possible(ctx, e, deps.Deployer, deps.Target) }); err != nil {
		return nil, err
	}
	err = s.play(ctx)
	if len(s.results) == 0 && err != nil {
		return nil, err
	}
	c := result.Compare(&e, variants, seeds, s.results, err)
	c.Target, c.Started, c.Ended = deps.Target, started.UTC(), deps.Clock.Now().UTC()
	return c, err
}

// CheckAll asks before the first of several runs whether each is possible. It names
// each reason once, with the first variant that has it.
func CheckAll(planned []experiment.Experiment, possible func(*experiment.Experiment) error) error {
	var errs []error
	told := map[string]bool{}
	for i := range planned {
		err := possible(&planned[i])
		if err == nil || told[err.Error()] {
			continue
		}
		told[err.Error()] = true
		errs = append(errs, runError(planned[i].AppliedVariant, planned[i].Seed, err))
	}
	return errors.Join(errs...)
}

// A series is the runs of RunAll.
type series struct {
	planned  []experiment.Experiment
	deps     Deps
	observer Observer
	results  []*result.Result
}

func (s *series) emit(e Event) {
	if s.observer != nil {
		s.observer(e)
	}
}

// play runs what is planned until an error, or until ctx ends between two runs.
func (s *series) play(ctx context.Context) error {
	var around time.Duration // of all runs so far
	for i, e := range s.planned {
		if ctx.Err() != nil {
			return fmt.Errorf("the runs were interrupted after %d of %d: %w", i, len(s.planned), context.Cause(ctx))
		}
		var left time.Duration
		for _, later := range s.planned[i:] {
			left += later.Longest()
		}
		s.emit(RunBegun{Index: i, Of: len(s.planned), Variant: e.AppliedVariant, Seed: e.Seed, AtMost: left, Around: around / time.Duration(max(i, 1)) * time.Duration(len(s.planned)-i)})
		began := s.deps.Clock.Now()
		result, err := Run(ctx, e, s.deps, s.observer)
		around += max(0, s.deps.Clock.Now().Sub(began)-e.Longest())
		if result != nil {
			s.results = append(s.results, result)
		}
		s.emit(RunEnded{Index: i, Of: len(s.planned), Result: result, Err: err})
		if err != nil {
			return runError(e.AppliedVariant, e.Seed, err)
		}
	}
	return nil
}

func runError(variant string, seed uint64, err error) error {
	if cleanup := (*CleanupError)(nil); variant == "" && errors.As(err, &cleanup) {
		return err
	}
	if variant == "" {
		return fmt.Errorf("running with seed %d: %w", seed, err)
	}
	return fmt.Errorf("running variant %q with seed %d: %w", variant, seed, err)
}
