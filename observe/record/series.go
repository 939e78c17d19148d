package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// ComparisonFile is the file with the comparison of a series of runs, FiguresFile
// the table of the figures of its variants.
const (
	ComparisonFile = "comparison.json"
	FiguresFile    = "comparison.csv"
)

// A Series records several runs into sub-directories of one directory, with the
// comparison and the inputs beside them. A sub-directory is named variant/seed-N
// or, without variants, seed-N. Finished runs stay, whatever happens later.
type Series struct {
	options Options
	// inputs returns the files to keep beside the results of one run.
	inputs func(variant string, seed uint64) (map[string][]byte, error)
	// made is set if the directory was made for this series, begun when its first run
	// has begun.
	made, begun bool
	// kept counts the runs whose records are in their places.
	kept    int
	current *Recorder
	err     error
}

// NewSeries makes the directory; the inputs that are common to all runs are written
// when the first of them begins. A directory that holds anything but an earlier series
// is refused unless Force is set.
func NewSeries(options Options, inputs func(variant string, seed uint64) (map[string][]byte, error)) (*Series, error) {
	if err := CheckSeriesDir(options); err != nil {
		return nil, err
	}
	_, missing := os.Stat(options.Dir)
	if err := os.MkdirAll(options.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("recording into %q: %w", options.Dir, err)
	}
	return &Series{options: options, inputs: inputs, made: errors.Is(missing, os.ErrNotExist)}, nil
}

// CheckSeriesDir returns why runs cannot be recorded into the directory of the
// options, or nil.
func CheckSeriesDir(options Options) error {
	if err := checkSeriesDir(options); err != nil {
		return fmt.Errorf("recording into %q: %w", options.Dir, err)
	}
	return nil
}

func checkSeriesDir(options Options) error {
	if options.Dir == "" {
		return errors.New("the directory has no name")
	}
	entries, err := os.ReadDir(options.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) == 0 || options.Force || isOurs(filepath.Join(options.Dir, ComparisonFile), result.ComparisonKind) {
		return nil
	}
	return errors.New("it holds files that do not belong to a record of a comparison; name another directory, or use --force to keep them beside the record")
}

// Observe begins and ends the record of each run, and passes it the events between.
// It keeps errors for Err and Finish.
func (s *Series) Observe(e runner.Event) {
	switch e := e.(type) {
	case runner.RunBegun:
		s.begin(e)
	case runner.RunEnded:
		s.end(e.Result)
	default:
		if s.current != nil {
			s.current.Observe(e)
		}
	}
}

func (s *Series) begin(e runner.RunBegun) {
	if !s.begun {
		s.begun = true
		for name, content := range s.options.Inputs {
			s.note(s.write(name, content))
		}
	}
	options := Options{Dir: filepath.Join(s.options.Dir, RunDir(e.Variant, e.Seed)), Force: s.options.Force, More: s.options.More, Removed: s.options.Removed}
	var err error
	if options.Inputs, err = s.inputs(e.Variant, e.Seed); err == nil {
		s.current, err = New(options)
	}
	s.note(err)
}

// note keeps an error for Err and Finish.
func (s *Series) note(err error) {
	if err != nil {
		s.err = errors.Join(s.err, err)
	}
}

// RunDir returns the sub-directory of a run, with slashes.
func RunDir(variant string, seed uint64) string {
	dir := "seed-" + strconv.FormatUint(seed, 10)
	if variant == "" {
		return dir
	}
	return filepath.Join(variant, dir)
}

// end finishes the record of a run, or discards it if nothing was started.
func (s *Series) end(result *result.Result) {
	if s.current == nil {
		return
	}
	if result == nil {
		s.note(s.current.Discard())
	} else {
		err := s.current.Finish(result)
		if err == nil {
			s.kept++
		}
		s.note(err)
	}
	s.current = nil
}

// Kept counts the runs whose records are whole and in their places, whatever became of
// the comparison.
func (s *Series) Kept() int { return s.kept }

// Err returns the errors so far.
func (s *Series) Err() error { return s.err }

// Finish writes the comparison and its figures. If the comparison is nil and no run
// has begun, it removes the directory if NewSeries made it. It returns all errors, as
// Err does from then on.
func (s *Series) Finish(c *result.Comparison) error {
	if s.current != nil {
		s.note(s.current.Discard())
		s.current = nil
	}
	if c == nil {
		if s.made && !s.begun {
			s.note(os.Remove(s.options.Dir))
		}
		return s.err
	}
	var text bytes.Buffer
	err := c.Encode(&text)
	if err == nil {
		err = s.write(ComparisonFile, text.Bytes())
	}
	s.note(err)
	s.note(s.write(FiguresFile, figureTable(c)))
	return s.err
}

// write writes a file as a whole.
func (s *Series) write(name string, content []byte) error {
	path := filepath.Join(s.options.Dir, name)
	err := partial.WriteFile(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}
