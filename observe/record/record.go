// Package record writes a run into a directory: its result, a row per second and
// service, a row per second and edge, the ground truth of the faults, and the
// inputs.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// The files of a record.
const (
	ResultFile   = "result.json"
	TimelineFile = "timeline.csv"
	EdgesFile    = "edges.csv"
	FaultsFile   = "faults.jsonl"
	// TracesFile has a line for each trace, in OTLP's JSON; ChromeFile has them in
	// the format of Chrome and Perfetto.
	TracesFile = "traces.jsonl"
	ChromeFile = "trace.json"
	// LogsFile has the lines that services logged, as JSON.
	LogsFile = "logs.jsonl"
)

// Options say where to record, and which files to add to the run's own.
type Options struct {
	// Dir is created if it does not exist. An earlier record in it is overwritten
	// file by file. A directory with other files is refused unless Force is set;
	// then the other files stay.
	Dir   string
	Force bool
	// Inputs are files to keep beside the results, by name.
	Inputs map[string][]byte
	// More returns further files, by name, with their writers; they are written at
	// the end of each run. It may be nil.
	More func() map[string]func(io.Writer) error
	// Removed is called with the path of each half-written record of a killed
	// program that was found and removed; it may be nil.
	Removed func(path string)
}

// A Recorder writes a run while it goes on. It writes to a hidden directory first;
// only Finish changes Dir itself, so that Dir never holds half a record that looks
// whole. One goroutine at a time may call its methods.
type Recorder struct {
	options Options
	partial *partial.Dir
	// existed is set if Dir existed before.
	existed  bool
	timeline *table
	edges    *table
	state    state
	err      error
	// create creates a file; tests replace it by a full disk.
	create func(path string) (io.WriteCloser, error)
}

// New checks that the directory can be written, and prepares it. Call it before
// anything is started, so that no run is made in vain. End the recorder by Finish
// or Discard.
func New(options Options) (*Recorder, error) {
	return newRecorder(options, func(path string) (io.WriteCloser, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	})
}

func newRecorder(options Options, create func(string) (io.WriteCloser, error)) (*Recorder, error) {
	existed, err := checkDir(options)
	if err != nil {
		return nil, fmt.Errorf("recording into %q: %w", options.Dir, err)
	}
	for name := range options.Inputs {
		if name != filepath.Base(name) || name == "." || slices.Contains(ownFiles(), name) {
			return nil, fmt.Errorf("recording into %q: an input cannot be named %q", options.Dir, name)
		}
	}
	r := &Recorder{options: options, existed: existed, create: create}
	if r.partial, err = makePartial(options, existed); err != nil {
		return nil, fmt.Errorf("recording into %q: %w", options.Dir, err)
	}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.Discard())
	}
	return r, nil
}

// makePartial makes the hidden directory: beside Dir or, if Dir exists, inside it,
// because Dir may be a file system of its own.
func makePartial(options Options, existed bool) (*partial.Dir, error) {
	dir := filepath.Clean(options.Dir)
	parent, name := filepath.Dir(dir), filepath.Base(dir)
	if !existed {
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return nil, err
		}
		return partial.Make(parent, name, options.Removed)
	}
	if err := partial.Sweep(parent, name, options.Removed); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	return partial.Make(dir, "", options.Removed)
}

func ownFiles() []string {
	return []string{ResultFile, TimelineFile, EdgesFile, FaultsFile, TracesFile, ChromeFile, LogsFile}
}

// checkDir reports whether the directory exists, and refuses one that must not be
// overwritten.
func checkDir(options Options) (existed bool, err error) {
	if options.Dir == "" {
		return false, errors.New("the directory has no name")
	}
	entries, err := os.ReadDir(options.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(entries) == 0 || options.Force || isOurs(filepath.Join(options.Dir, ResultFile), result.ResultKind) {
		return true, nil
	}
	return false, errors.New("it holds files that do not belong to a record of a run; name another directory, or use --force to keep them beside the record")
}

// CheckDir returns why a run cannot be recorded into the directory of the options,
// or nil.
func CheckDir(options Options) error {
	if _, err := checkDir(options); err != nil {
		return fmt.Errorf("recording into %q: %w", options.Dir, err)
	}
	return nil
}

// CheckParent refuses, for the records of several experiments, a directory that
// holds anything but directories with records.
func CheckParent(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recording into %q: %w", dir, err)
	}
	for _, e := range entries {
		if !hasRecord(filepath.Join(dir, e.Name())) {
			return fmt.Errorf("recording into %q: it holds %q, which is not a record of an experiment; name another directory, or use --force to keep it beside the records", dir, e.Name())
		}
	}
	return nil
}

// Below lists the directories with records right below a directory.
func Below(dir string) (paths []string) {
	entries, _ := os.ReadDir(dir) // a directory that cannot be read has no records to show
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); hasRecord(path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// hasRecord reports whether a directory holds a record of a run or of a comparison.
func hasRecord(dir string) bool {
	return isOurs(filepath.Join(dir, ResultFile), result.ResultKind) || isOurs(filepath.Join(dir, ComparisonFile), result.ComparisonKind)
}

// isOurs reports whether a JSON file has a kind, as this program writes it.
func isOurs(path, kind string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // nothing was written
	// The kind is among the first fields; a result may be long.
	head := make([]byte, 512)
	n, _ := io.ReadFull(f, head)
	return bytes.Contains(head[:n], []byte(`"kind": "`+kind+`"`))
}

func (r *Recorder) path(name string) string { return filepath.Join(r.partial.Path, name) }

func (r *Recorder) open() (err error) {
	for name, content := range r.options.Inputs {
		if err := r.write(name, content); err != nil {
			return err
		}
	}
	if r.timeline, err = r.table(TimelineFile, timelineColumns()); err != nil {
		return err
	}
	r.edges, err = r.table(EdgesFile, edgeColumns())
	return err
}

func (r *Recorder) write(name string, content []byte) error {
	f, err := r.create(r.path(name))
	if err == nil {
		_, err = f.Write(content)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return r.wrap(name, err)
	}
	return nil
}

// writeBy writes a file by a function.
func (r *Recorder) writeBy(name string, write func(io.Writer) error) error {
	f, err := r.create(r.path(name))
	if err == nil {
		err = errors.Join(write(f), f.Close())
	}
	if err != nil {
		return r.wrap(name, err)
	}
	return nil
}

// wrap wraps an error with the path of the file in Dir, because the user does not
// know the hidden one.
func (r *Recorder) wrap(name string, err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("writing %q: %w", filepath.Join(r.options.Dir, name), err)
}

// Observe writes the rows of an event. It keeps errors for Err and Finish, so that
// a full disk does not end the run.
func (r *Recorder) Observe(e runner.Event) {
	if r.err != nil {
		return
	}
	r.state.observe(e)
	if sampled, ok := e.(runner.ServiceSampled); ok {
		r.err = r.sample(sampled)
	}
}

// Err returns the first error so far.
func (r *Recorder) Err() error { return r.err }

// Finish completes the record and moves it to Dir. On an error nothing of this
// record is in Dir.
func (r *Recorder) Finish(result *result.Result) error {
	err := r.err
	if err == nil {
		err = r.complete(result)
	}
	if err != nil {
		return errors.Join(err, r.Discard())
	}
	if err := r.place(); err != nil {
		return errors.Join(fmt.Errorf("putting the record into %q: %w", r.options.Dir, err), r.Discard())
	}
	return nil
}

// complete writes the files that are known only at the end.
func (r *Recorder) complete(result *result.Result) error {
	if err := r.clientRows(result); err != nil {
		return err
	}
	for _, t := range []*table{r.timeline, r.edges} {
		if err := t.close(); err != nil {
			return err
		}
	}
	var faults bytes.Buffer
	encoder := json.NewEncoder(&faults)
	encoder.SetEscapeHTML(false)
	for i := range result.Faults {
		if err := encoder.Encode(&result.Faults[i]); err != nil {
			return r.wrap(FaultsFile, err)
		}
	}
	if err := r.write(FaultsFile, faults.Bytes()); err != nil {
		return err
	}
	if r.options.More != nil {
		more := r.options.More()
		for _, name := range slices.Sorted(maps.Keys(more)) {
			if err := r.writeBy(name, more[name]); err != nil {
				return err
			}
		}
	}
	var text bytes.Buffer
	if err := result.Encode(&text); err != nil {
		return r.wrap(ResultFile, err)
	}
	return r.write(ResultFile, text.Bytes())
}

// place moves the record to Dir. In an existing directory it removes the old
// result.json first and moves the new one last, because that file marks a complete
// record.
func (r *Recorder) place() error {
	if !r.existed {
		return errors.Join(os.Rename(r.partial.Path, r.options.Dir), r.partial.Remove())
	}
	if err := os.Remove(filepath.Join(r.options.Dir, ResultFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(r.partial.Path)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if e.Name() != ResultFile {
			names = append(names, e.Name())
		}
	}
	for _, name := range append(names, ResultFile) {
		if err := os.Rename(r.path(name), filepath.Join(r.options.Dir, name)); err != nil {
			return err
		}
	}
	return r.partial.Remove()
}

// Discard removes what was written. After Finish it does nothing.
func (r *Recorder) Discard() error {
	for _, t := range []*table{r.timeline, r.edges} {
		if t != nil {
			_ = t.close() // the file is removed below
		}
	}
	if err := r.partial.Remove(); err != nil {
		return fmt.Errorf("removing the half-written record %q: %w", r.partial.Path, err)
	}
	return nil
}
