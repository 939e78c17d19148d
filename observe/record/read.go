package record

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A Row is a row of timeline.csv or edges.csv.
type Row struct {
	columns map[string]int
	cells   []string
}

// Text returns the text in a column, or "" if there is no such column.
func (r *Row) Text(column string) string {
	if i, ok := r.columns[column]; ok && i < len(r.cells) {
		return r.cells[i]
	}
	return ""
}

// Number returns the number in a column, or NaN if it is not known.
func (r *Row) Number(column string) float64 {
	v, err := strconv.ParseFloat(r.Text(column), 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// ReadRows calls each with the rows of a table of a record, in their order. A row
// is valid only during the call.
func ReadRows(dir, name string, each func(*Row)) error {
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading a record: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	rows := csv.NewReader(f)
	rows.ReuseRecord = true
	row := &Row{columns: map[string]int{}}
	for line := 1; ; line++ {
		cells, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %q: %w", path, err)
		}
		if line == 1 {
			for i, c := range cells {
				row.columns[c] = i
			}
			continue
		}
		row.cells = cells
		each(row)
	}
}

// ReadResult reads the result of a record. It has no Timeline.
func ReadResult(dir string) (*result.Result, error) {
	path := filepath.Join(dir, ResultFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the record in %q: there is no %s; `kubectl microsim run --out DIR` makes one, and a series of runs has one in each of its directories", dir, ResultFile)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	r := &result.Result{}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(r); err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if r.Kind != result.ResultKind {
		return nil, fmt.Errorf("reading %q: its kind is %q, not %q", path, r.Kind, result.ResultKind)
	}
	return r, nil
}
