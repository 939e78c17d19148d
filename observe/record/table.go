package record

import (
	"bufio"
	"encoding/csv"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A table is a CSV file that grows.
type table struct {
	file   io.WriteCloser
	buffer *bufio.Writer
	csv    *csv.Writer
	row    []string
	wrap   func(error) error
	closed bool
}

func (r *Recorder) table(name string, columns []string) (*table, error) {
	wrap := func(err error) error { return r.wrap(name, err) }
	file, err := r.create(r.path(name))
	if err != nil {
		return nil, wrap(err)
	}
	t := &table{file: file, buffer: bufio.NewWriterSize(file, 64<<10), wrap: wrap}
	t.csv = csv.NewWriter(t.buffer)
	t.row = append(t.row, columns...)
	return t, t.end()
}

// text writes a text of the user.
func (t *table) text(s string) { t.row = append(t.row, problem.Cell(s)) }

func (t *table) count(n int64) { t.row = append(t.row, strconv.FormatInt(n, 10)) }

// number writes a number with up to nine decimals, without trailing zeros.
func (t *table) number(v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		t.empty(1)
		return
	}
	s := strconv.FormatFloat(v, 'f', 9, 64)
	t.row = append(t.row, strings.TrimSuffix(strings.TrimRight(s, "0"), "."))
}

// amount writes an amount per second, or an empty cell if it is not known.
func (t *table) amount(a measure.Amount, interval time.Duration) {
	if v, known := a.PerSecond(interval); known {
		t.number(v)
		return
	}
	t.empty(1)
}

// empty writes n empty cells, for values that are not known.
func (t *table) empty(n int) {
	for range n {
		t.row = append(t.row, "")
	}
}

// end ends the row.
func (t *table) end() error {
	err := t.csv.Write(t.row)
	t.row = t.row[:0]
	if err != nil {
		return t.wrap(err)
	}
	return nil
}

func (t *table) close() error {
	if t.closed {
		return nil
	}
	t.closed = true
	t.csv.Flush()
	err := t.csv.Error()
	if err == nil {
		err = t.buffer.Flush()
	}
	if closeErr := t.file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return t.wrap(err)
	}
	return nil
}
