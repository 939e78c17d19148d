package run

import (
	"io"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/observe/page"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// pageWriter gathers the runs of an experiment for the page of --report. A nil
// pageWriter does nothing.
type pageWriter struct {
	file       oneFile
	experiment experiment.Experiment
	recorder   *page.Recorder
	// of is the number of runs.
	of   int
	runs []page.Run
	// comparison compares the variants; nil until it is known.
	comparison *result.Comparison
}

// newPageWriter checks, before anything is started, that the page can be written.
// It returns nil if the path is empty.
func newPageWriter(path string, e experiment.Experiment) (*pageWriter, error) {
	if path == "" {
		return nil, nil
	}
	w := &pageWriter{file: oneFile{path, "the page of --report"}, experiment: e, recorder: &page.Recorder{}, of: 1}
	return w, w.file.probe()
}

// Observe notes the events that the page needs.
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

// add adds the result of a run.
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

// compare adds the comparison of the variants.
func (w *pageWriter) compare(c *result.Comparison) {
	if w != nil {
		w.comparison = c
	}
}

// write writes the page of all runs that have ended, and reports whether there is one.
// An older page is replaced only by a whole one.
func (w *pageWriter) write() (bool, error) {
	if w == nil || len(w.runs) == 0 {
		return false, nil
	}
	inputs, err := spec.FormatExperiment(&w.experiment)
	if err != nil {
		return false, err
	}
	err = w.file.write(func(to io.Writer) error {
		return page.Write(to, page.Page{Title: w.experiment.Name, Inputs: string(stored(inputs)), Runs: w.runs, Experiment: &w.experiment, Comparison: w.comparison})
	})
	return err == nil, err
}
