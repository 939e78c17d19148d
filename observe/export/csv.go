package export

import (
	"bufio"
	"path/filepath"
	"strconv"
	"strings"
)

// csvFormat is our own: all that runs know, in wide tables.
func csvFormat() Format {
	return Format{
		Name:   "csv",
		Layout: "CASE/metrics.csv, edges.csv, clients.csv, labels.csv",
		Doc:    "metrics.csv has a column time and columns SERVICE_METRIC in a drawn order; edges.csv a row for each step and edge; clients.csv what the load's clients saw",
		place:  func(c *Case) string { return c.Name },
		write:  writeCSV,
	}
}

func writeCSV(c *Case, dir string) error {
	t := NewTable(c.Run, c.Grid, Metrics()...)
	if err := writeWide(filepath.Join(dir, "metrics.csv"), c.Grid, c.shuffled(t.Columns)); err != nil {
		return err
	}
	if err := writeEdges(filepath.Join(dir, "edges.csv"), c); err != nil {
		return err
	}
	if err := writeClients(filepath.Join(dir, "clients.csv"), c); err != nil {
		return err
	}
	var failed error
	err := writeFile(filepath.Join(dir, "labels.csv"), func(w *bufio.Writer) { failed = WriteLabels(w, c.Labels) })
	if failed != nil {
		return failed
	}
	return err
}

// A cell adds up the rows of a step.
type cell struct {
	counts  [6]float64
	sums    [5]float64
	weights [5]float64
	seen    bool
}

// add adds a part of a row.
func (c *cell) add(part, requests float64, l latencies, counts ...float64) {
	c.seen = true
	for i, n := range counts {
		c.counts[i] += n * part
	}
	for i, v := range []float64{l.mean, l.p50, l.p90, l.p95, l.p99} {
		if isKnown(v) {
			c.sums[i] += v * requests * part
			c.weights[i] += requests * part
		}
	}
}

// write appends counts as rates, and latencies.
func (c *cell) write(row []byte, step float64, counts int) []byte {
	for i := range counts {
		row = appendNumber(append(row, ','), c.counts[i]/step)
	}
	for i := range c.sums {
		row = append(row, ',')
		if c.weights[i] > 0 {
			row = appendNumber(row, c.sums[i]/c.weights[i])
		}
	}
	return row
}

func latencyFigures() []string {
	return []string{"latency-mean", "latency-50", "latency-90", "latency-95", "latency-99"}
}

func edgeFigures() []string { return []string{"calls", "errors", "attempts"} }

func clientFigures() []string {
	return []string{"offered", "requests", "errors", "degraded", "ended", "goodput"}
}

// header is the first row of a table: what rows are of, counts, and latencies.
func header(of string, counts []string) string {
	return of + "," + strings.Join(append(counts, latencyFigures()...), ",") + "\n"
}

// edgeCells adds up the rows of edges in each step.
func (c *Case) edgeCells() map[Edge][]cell {
	cells := map[Edge][]cell{}
	for i := range c.Run.edges {
		r := &c.Run.edges[i]
		e := Edge{r.caller, r.callee}
		if cells[e] == nil {
			cells[e] = make([]cell, c.Grid.Steps)
		}
		c.Grid.share(r.span, func(step int, part float64) {
			cells[e][step].add(part, r.calls, r.latencies, r.calls, r.errors, r.attempts)
		})
	}
	return cells
}

// clientCells adds up the rows of clients in each step.
func (c *Case) clientCells() []cell {
	cells := make([]cell, c.Grid.Steps)
	for i := range c.Run.clients {
		r := &c.Run.clients[i]
		c.Grid.share(r.span, func(step int, part float64) {
			cells[step].add(part, r.requests, r.latencies, r.offered, r.requests, r.errors, r.degraded, r.ended, r.good)
		})
	}
	return cells
}

func writeEdges(path string, c *Case) error {
	cells := c.edgeCells()
	return writeFile(path, func(w *bufio.Writer) {
		_, _ = w.WriteString(header("time,caller,callee", edgeFigures()))
		edges := c.Run.Graph()
		var row []byte
		for step := range c.Grid.Steps {
			for _, e := range edges {
				if cell := &cells[e][step]; cell.seen {
					row = strconv.AppendInt(row[:0], c.Grid.Time(step), 10)
					row = append(row, ","+plainName(e.Caller)+","+plainName(e.Callee)...)
					_, _ = w.Write(append(cell.write(row, c.Grid.Step.Seconds(), 3), '\n'))
				}
			}
		}
	})
}

func writeClients(path string, c *Case) error {
	cells := c.clientCells()
	return writeFile(path, func(w *bufio.Writer) {
		_, _ = w.WriteString(header("time", clientFigures()))
		var row []byte
		for step := range cells {
			row = strconv.AppendInt(row[:0], c.Grid.Time(step), 10)
			if cells[step].seen {
				row = cells[step].write(row, c.Grid.Step.Seconds(), 6)
			} else {
				row = append(row, ",,,,,,,,,,,"...) // nothing was sent any more
			}
			_, _ = w.Write(append(row, '\n'))
		}
	})
}
