package export

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/parquet-go/parquet-go"
)

// parquetFormat is all that runs know, as long tables: a row for each figure of each
// step. Unknown figures have no row.
func parquetFormat() Format {
	return Format{
		Name:   "parquet",
		Layout: "CASE/metrics.parquet, edges.parquet, clients.parquet",
		Doc:    "columns time (UTC), service or caller and callee, metric, value; the manifest has the units of metrics",
		place:  func(c *Case) string { return c.Name },
		write:  writeParquet,
	}
}

// The rows of the tables.
type (
	metricPoint struct {
		Time    time.Time `parquet:"time,timestamp(millisecond)"`
		Service string    `parquet:"service,dict"`
		Metric  string    `parquet:"metric,dict"`
		Value   float64   `parquet:"value"`
	}
	edgePoint struct {
		Time   time.Time `parquet:"time,timestamp(millisecond)"`
		Caller string    `parquet:"caller,dict"`
		Callee string    `parquet:"callee,dict"`
		Metric string    `parquet:"metric,dict"`
		Value  float64   `parquet:"value"`
	}
	clientPoint struct {
		Time   time.Time `parquet:"time,timestamp(millisecond)"`
		Metric string    `parquet:"metric,dict"`
		Value  float64   `parquet:"value"`
	}
)

func writeParquet(c *Case, dir string) error {
	at := func(step int) time.Time { return time.Unix(c.Grid.Time(step), 0).UTC() }
	table := NewTable(c.Run, c.Grid, Metrics()...)
	var metrics []metricPoint
	for step := range c.Grid.Steps {
		for i := range table.Columns {
			col := &table.Columns[i]
			if v := col.Values[step]; isKnown(v) {
				metrics = append(metrics, metricPoint{at(step), plainName(col.Service), col.Metric.Name, v})
			}
		}
	}
	if err := writeRows(filepath.Join(dir, "metrics.parquet"), metrics); err != nil {
		return err
	}
	var edges []edgePoint
	cells := c.edgeCells()
	for step := range c.Grid.Steps {
		for _, e := range c.Run.Graph() {
			cells[e][step].each(c.Grid.Step.Seconds(), edgeFigures(), func(metric string, v float64) {
				edges = append(edges, edgePoint{at(step), plainName(e.Caller), plainName(e.Callee), metric, v})
			})
		}
	}
	if err := writeRows(filepath.Join(dir, "edges.parquet"), edges); err != nil {
		return err
	}
	var clients []clientPoint
	for step, one := range c.clientCells() {
		one.each(c.Grid.Step.Seconds(), clientFigures(), func(metric string, v float64) {
			clients = append(clients, clientPoint{at(step), metric, v})
		})
	}
	return writeRows(filepath.Join(dir, "clients.parquet"), clients)
}

// each yields what is known of a step, counts as rates.
func (c *cell) each(step float64, counts []string, yield func(metric string, v float64)) {
	if !c.seen {
		return
	}
	for i, name := range counts {
		yield(name, c.counts[i]/step)
	}
	for i, name := range latencyFigures() {
		if c.weights[i] > 0 {
			yield(name, c.sums[i]/c.weights[i])
		}
	}
}

func writeRows[T any](path string, rows []T) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	w := parquet.NewGenericWriter[T](f, parquet.Compression(&parquet.Snappy))
	_, err = w.Write(rows)
	if err = errors.Join(err, w.Close(), f.Close()); err != nil {
		return fmt.Errorf("writing %q: %w", filepath.Base(path), plain(err))
	}
	return nil
}
