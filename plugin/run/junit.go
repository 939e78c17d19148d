package run

import (
	"io"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// junitWriter gathers the results of runs for the file of --junit. A nil junitWriter
// does nothing.
type junitWriter struct {
	file oneFile
	runs []*result.Result
	// whole is set if the file has all runs so far.
	whole bool
}

// newJUnitWriter checks, before anything is started, that the file can be written. It
// returns nil if the path is empty.
func newJUnitWriter(path string) (*junitWriter, error) {
	if path == "" {
		return nil, nil
	}
	w := &junitWriter{file: oneFile{path, "the file of --junit"}}
	return w, w.file.probe()
}

// junitWriter returns the writer of --junit, which several experiments share.
func (o *runOptions) junitWriter() (*junitWriter, error) {
	if o.several != nil {
		return o.several.tests, nil
	}
	return newJUnitWriter(o.junit)
}

// Observe notes the events that the file needs.
func (w *junitWriter) Observe(event runner.Event) {
	if ended, ok := event.(runner.RunEnded); ok {
		w.add(ended.Result)
	}
}

// add adds the result of a run.
func (w *junitWriter) add(r *result.Result) {
	if w != nil && r != nil {
		w.runs = append(w.runs, r)
	}
}

// write writes the file of all runs that have ended, and reports whether there is one.
func (w *junitWriter) write() (bool, error) {
	if w == nil || len(w.runs) == 0 {
		return false, nil
	}
	err := w.file.write(func(to io.Writer) error { return report.JUnit(to, w.runs) })
	w.whole = err == nil
	return w.whole, err
}
