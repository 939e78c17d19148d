package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/observe/page"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// pageWriter gathers what the runs of an experiment show, for the page of
// --report. A nil one gathers nothing.
type pageWriter struct {
	path       string
	experiment experiment.Experiment
	recorder   *page.Recorder
	// of is how many runs there will be.
	of   int
	runs []page.Run
	// comparison is that of the variants, once it is known.
	comparison *result.Comparison
}

// newPageWriter checks, before anything is started, that the page can be
// written. It is nil where no page is wanted.
func newPageWriter(path string, e experiment.Experiment) (*pageWriter, error) {
	if path == "" {
		return nil, nil
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return nil, fmt.Errorf("writing the page of --report: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return nil, fmt.Errorf("writing the page of --report: %w", err)
	}
	return &pageWriter{path: path, experiment: e, recorder: &page.Recorder{}, of: 1}, nil
}

// Observe takes in what happens in a run.
func (w *pageWriter) Observe(event runner.Event) {
	if w == nil {
		return
	}
	switch event := event.(type) {
	case runner.RunBegun:
		w.recorder, w.of = &page.Recorder{}, event.Of
	case runner.RunEnded:
		w.add(event.Result)
	default:
		w.recorder.Observe(event)
	}
}

// add ends a run with its result.
func (w *pageWriter) add(result *result.Result) {
	if w == nil || result == nil {
		return
	}
	applied := w.experiment
	if v, ok := w.experiment.Variant(result.Variant); ok {
		applied, _ = w.experiment.Apply(v)
	}
	w.runs = append(w.runs, page.Run{Variant: result.Variant, Seed: result.Seed, Result: result, Series: w.recorder.Finish(w.of), System: &applied.System})
}

// compare takes in how the variants did.
func (w *pageWriter) compare(c *result.Comparison) {
	if w != nil {
		w.comparison = c
	}
}

// write writes the page of all runs that have ended; what was there before is
// replaced only by a whole page.
func (w *pageWriter) write() (err error) {
	if w == nil || len(w.runs) == 0 {
		return nil
	}
	inputs, err := spec.FormatExperiment(&w.experiment)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(w.path), ".report-*")
	if err != nil {
		return fmt.Errorf("writing the page of --report: %w", err)
	}
	defer func() { _ = os.Remove(temp.Name()) }() // moved away where all went well
	err = page.Write(temp, page.Page{Title: w.experiment.Name, Inputs: string(stored(inputs)), Runs: w.runs, Experiment: &w.experiment, Comparison: w.comparison})
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return fmt.Errorf("writing the page of --report: %w", err)
	}
	if err := os.Rename(temp.Name(), w.path); err != nil {
		return fmt.Errorf("writing the page of --report: %w", err)
	}
	return nil
}
