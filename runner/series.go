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
// its own, and compares them. It plays all variants with the first seed, then all
// with the next, so that a machine whose speed drifts favours no variant. Without
// names it plays all variants, or the experiment itself if it has none. Without
// seeds it uses the experiment's own.
//
// It goes on after a check that fails and after a run that abortOn has ended. It
// stops at an error, which the next run would probably meet, too. Then it compares
// the runs until there, the last one included, and returns the comparison, marked
// incomplete, beside the error. The comparison is nil only if nothing was started.
// The observer gets every run's events between a RunBegun and a RunEnded.
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

// CheckAll asks, before the first of several runs begins, whether each is possible.
// Its error names each reason once, with the first variant that has it.
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

// A series is one call of RunAll.
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

// play runs the planned experiments until one returns an error, or ctx ends.
func (s *series) play(ctx context.Context) error {
	var around time.Duration // what all runs so far took beside their loads and tails
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
