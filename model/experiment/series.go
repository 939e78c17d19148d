package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// RunAll plays variants of an experiment one after another, each with every
// seed, each on a deployment of its own, and compares them. Without names all
// variants are played, or the experiment itself where it has none; without seeds
// the experiment's own is used.
//
// It goes on after checks that fail and runs that abortOn has ended, but not
// after an error, which is likely to meet the next run, too. What was finished
// until then, and what there is of the last run, is compared and returned beside
// the error, marked incomplete; the comparison is nil only where nothing was
// started. The observer is told of every run's events between a RunBegun and a
// RunEnded.
func RunAll(ctx context.Context, e Experiment, names []string, seeds []uint64, deps Deps, observer Observer) (*Comparison, error) {
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
	if len(seeds) > MaxSeeds {
		return nil, fmt.Errorf("running experiment %q: %d seeds are more than the %d possible", e.Name, len(seeds), MaxSeeds)
	}
	s := &series{experiment: e, deps: deps, observer: observer, begun: time.Now()}
	for _, v := range variants {
		applied, problems := e.Apply(v)
		if err := problems.Err(); err != nil {
			return nil, fmt.Errorf("checking variant %q of experiment %q: %w", v.Name, e.Name, err)
		}
		for _, seed := range seeds {
			applied.Seed = seed
			s.planned = append(s.planned, applied)
		}
	}
	err = s.play(ctx)
	if len(s.results) == 0 && err != nil {
		return nil, err
	}
	return s.compare(variants, seeds, err), err
}

// Select returns the variants of the given names, in the order of the names, or
// all for none. The beginning of a name stands for it where no other begins so.
// An experiment without variants is its own only one, without a
// name.
func (e *Experiment) Select(names []string) ([]Variant, error) {
	if len(names) == 0 {
		if len(e.Variants) == 0 {
			return []Variant{{}}, nil
		}
		return e.Variants, nil
	}
	var known []string
	for _, v := range e.Variants {
		known = append(known, v.Name)
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("experiment %q has no variants", e.Name)
	}
	var selected []Variant
	for i, name := range names {
		v, ok := e.variantLike(name)
		if !ok {
			return nil, fmt.Errorf("experiment %q has no variant %q (%s)", e.Name, name,
				problem.DidYouMean(name, known, "known are "+strings.Join(known, ", ")))
		}
		if slices.ContainsFunc(selected[:i], func(before Variant) bool { return before.Name == v.Name }) {
			return nil, fmt.Errorf("variant %q is named twice: name each once, and take more seeds to repeat it", v.Name)
		}
		selected = append(selected, v)
	}
	return selected, nil
}

// variantLike returns the variant of that name, or the only one whose name
// begins with it.
func (e *Experiment) variantLike(name string) (v Variant, ok bool) {
	if v, ok = e.Variant(name); ok || name == "" {
		return v, ok
	}
	for _, other := range e.Variants {
		if !strings.HasPrefix(other.Name, name) {
			continue
		}
		if ok {
			return Variant{}, false
		}
		v, ok = other, true
	}
	return v, ok
}

// A series is the runs of RunAll.
type series struct {
	experiment Experiment
	planned    []Experiment
	deps       Deps
	observer   Observer
	begun      time.Time
	results    []*Result
}

func (s *series) emit(e Event) {
	if s.observer != nil {
		s.observer(e)
	}
}

// play runs what is planned until an error, or until ctx ends between two runs.
func (s *series) play(ctx context.Context) error {
	for i, e := range s.planned {
		if ctx.Err() != nil {
			return fmt.Errorf("the runs were interrupted after %d of %d: %w", i, len(s.planned), context.Cause(ctx))
		}
		var left time.Duration
		for _, later := range s.planned[i:] {
			left += later.longest()
		}
		s.emit(RunBegun{Index: i, Of: len(s.planned), Variant: e.AppliedVariant, Seed: e.Seed, AtMost: left})
		result, err := Run(ctx, e, s.deps, s.observer)
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
