package export

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// The files of a run's directory that an export reads.
const (
	resultFile   = "result.json"
	timelineFile = "timeline.csv"
	edgesFile    = "edges.csv"
	tracesFile   = "traces.jsonl"
	logsFile     = "logs.jsonl"
)

// FindRuns lists the directories of runs at or below a directory, in the order of
// their names; one that is a run itself stands for itself.
func FindRuns(dir string) ([]string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for runs in %q: %w", dir, plain(err))
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("looking for runs in %q: it is a file; name the directory that 'run --out' has written", dir)
	}
	var runs []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir // half a record
		case !d.IsDir() && d.Name() == resultFile:
			runs = append(runs, filepath.Dir(path))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for runs in %q: %w", dir, err)
	}
	if len(runs) == 0 {
		return nil, fmt.Errorf("looking for runs in %q: no %s is in it or below; 'run --out DIRECTORY' writes one", dir, resultFile)
	}
	return runs, nil
}

func plain(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// Read reads the directory of a run. A run that was cut off, or of which a file is
// missing or broken, is an error.
func Read(dir, name string) (*Run, error) {
	run, err := read(dir, name)
	if err != nil {
		return nil, fmt.Errorf("reading the run in %q: %w", dir, err)
	}
	return run, nil
}

func read(dir, name string) (*Run, error) {
	text, err := os.ReadFile(filepath.Join(dir, resultFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", resultFile, plain(err))
	}
	run := &Run{Name: name, Result: &result.Result{}}
	if err := json.Unmarshal(text, run.Result); err != nil {
		return nil, fmt.Errorf("%s: %w; run the experiment again", resultFile, err)
	}
	if run.Result.Kind != result.ResultKind {
		return nil, fmt.Errorf("%s: its kind is %q, not %q", resultFile, run.Result.Kind, result.ResultKind)
	}
	if err := whole(run.Result); err != nil {
		return nil, err
	}
	if err := readRows(filepath.Join(dir, timelineFile), run.timelineRow); err != nil {
		return nil, err
	}
	if err := readRows(filepath.Join(dir, edgesFile), run.edgeRow); err != nil {
		return nil, err
	}
	for path, file := range map[*string]string{&run.Traces: tracesFile, &run.Logs: logsFile} {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			*path = filepath.Join(dir, file)
		}
	}
	return run, nil
}

// whole refuses results of runs that did not reach their end.
func whole(r *result.Result) error {
	switch {
	case r.Aborted != nil:
		return fmt.Errorf("the run was aborted: %s; a data set needs whole runs, so run it again without abortOn", r.Aborted.Why)
	case r.Incomplete:
		return fmt.Errorf("the run was cut off: %s; a data set needs whole runs, so run it again", r.Why)
	case r.LoadStarted.IsZero():
		return errors.New("the run ended before its load began; run it again")
	}
	return nil
}

// A record is a row of a CSV file, by the names of its columns.
type record struct {
	columns map[string]int
	cells   []string
	err     error
}

func (r *record) text(column string) string {
	i, ok := r.columns[column]
	if !ok {
		r.fail(column, errors.New("the column is missing; the run is of an older version, so run it again"))
		return ""
	}
	return strings.TrimPrefix(r.cells[i], "'")
}

func (r *record) fail(column string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("column %q: %w", column, err)
	}
}

// number is unknown where the cell is empty.
func (r *record) number(column string) float64 {
	text := r.text(column)
	if text == "" {
		return unknown()
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		r.fail(column, fmt.Errorf("%q is not a number", text))
	}
	return v
}

// optional is unknown where there is no such column, too.
func (r *record) optional(column string) float64 {
	if _, ok := r.columns[column]; !ok {
		return unknown()
	}
	return r.number(column)
}

func readRows(path string, row func(*record)) error {
	name := filepath.Base(path)
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", name, plain(err))
	}
	defer f.Close() //nolint:errcheck // nothing was written
	rows := csv.NewReader(f)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return fmt.Errorf("%s: it has no header: %w", name, err)
	}
	r := record{columns: map[string]int{}}
	for i, column := range header {
		r.columns[strings.Clone(column)] = i
	}
	for line := 2; ; line++ {
		r.cells, err = rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			row(&r)
			err = r.err
		}
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", name, line, err)
		}
	}
}

func (r *record) span() span { return span{r.number("elapsed_s"), r.number("interval_s")} }

func (r *record) latencies() latencies {
	return latencies{
		r.number("latency_mean_s"), r.number("latency_p50_s"), r.number("latency_p90_s"), r.number("latency_p95_s"), r.number("latency_p99_s"),
	}
}

func (r *Run) timelineRow(c *record) {
	s := c.span()
	switch kind := c.text("kind"); kind {
	case "client":
		r.clients = append(r.clients, clientRow{
			span: s, requests: c.number("requests"), errors: c.number("errors"), degraded: c.number("degraded"),
			offered: c.number("offered_per_s") * s.seconds, ended: c.number("ended"), good: c.number("goodput_per_s") * s.seconds,
			latencies: c.latencies(),
		})
	case "service":
		r.services = append(r.services, serviceRow{
			span: s, service: strings.Clone(c.text("service")), up: c.number("replicas_up"), replicas: c.number("replicas"),
			requests: c.number("requests"), errors: c.number("errors"), degraded: c.number("degraded"), latencies: c.latencies(),
			inFlight: c.number("in_flight"), queue: c.number("queue_length"), cpu: c.optional("cpu_cores"), memory: c.number("memory_bytes"),
			netIn: c.optional("network_in_per_s"), netOut: c.optional("network_out_per_s"),
		})
	default:
		c.fail("kind", fmt.Errorf("%q is not known", kind))
	}
}

func (r *Run) edgeRow(c *record) {
	r.edges = append(r.edges, edgeRow{
		span: c.span(), caller: strings.Clone(c.text("caller")), callee: strings.Clone(c.text("callee")),
		calls: c.number("calls"), errors: c.number("errors"), attempts: c.number("attempts"), latencies: c.latencies(),
	})
}
