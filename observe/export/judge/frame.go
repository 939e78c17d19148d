package judge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/observe/export"
)

type edge = export.Edge

// A frame is a wide table: times, and columns by name.
type frame struct {
	times  []float64
	names  []string
	values [][]float64
}

// tables finds the wide table of each case, in a format that all have.
func tables(dir string, records []export.Record) (format string, paths map[string]string, err error) {
	for _, f := range []struct{ format, file string }{{"rcaeval", "data.csv"}, {"csv", "metrics.csv"}} {
		paths = map[string]string{}
		err := filepath.WalkDir(filepath.Join(dir, f.format), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == f.file {
				paths[filepath.Base(filepath.Dir(path))] = path
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
		missing := slices.IndexFunc(records, func(r export.Record) bool { return paths[r.Case] == "" })
		if missing < 0 {
			return f.format, paths, nil
		}
		if len(paths) > 0 {
			return "", nil, fmt.Errorf("%s of %s is missing", f.file, records[missing].Case)
		}
	}
	return "", nil, errors.New("it has neither the format rcaeval nor csv, whose tables are judged: make it with one of them")
}

// readFrame reads a wide table. An empty cell has the value before it, or 0, as
// RCAEval's reader has it.
func readFrame(path string) (*frame, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 1<<20), 1<<26)
	if !lines.Scan() {
		return nil, fmt.Errorf("reading %q: it is empty", path)
	}
	header := strings.Split(lines.Text(), ",")
	if header[0] != "time" || len(header) < 2 {
		return nil, fmt.Errorf("reading %q: it has no column time and others beside it", path)
	}
	t := &frame{names: header[1:], values: make([][]float64, len(header)-1)}
	for lines.Scan() {
		if err := t.row(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("reading %q, row %d: %w", path, len(t.times), err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if len(t.times) < 4 {
		return nil, fmt.Errorf("reading %q: it has %d rows, and four are needed", path, len(t.times))
	}
	return t, nil
}

func (t *frame) row(line []byte) error {
	last := len(t.times) - 1
	for i := -1; i < len(t.names); i++ {
		text, rest, more := bytes.Cut(line, []byte(","))
		if more != (i < len(t.names)-1) {
			return errors.New("it has another number of cells than the header")
		}
		line = rest
		v := 0.0
		if len(text) > 0 {
			var err error
			if v, err = strconv.ParseFloat(string(text), 64); err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%q is no number", text)
			}
		} else if i >= 0 && last >= 0 {
			v = t.values[i][last]
		}
		if i < 0 {
			t.times = append(t.times, v)
		} else {
			t.values[i] = append(t.values[i], v)
		}
	}
	return nil
}

// split parts the columns at a time.
func (t *frame) split(at float64) (before, from [][]float64) {
	n, _ := slices.BinarySearch(t.times, at)
	n = min(max(n, 1), len(t.times)-1)
	for _, values := range t.values {
		before, from = append(before, values[:n]), append(from, values[n:])
	}
	return before, from
}
