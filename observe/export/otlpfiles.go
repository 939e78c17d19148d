package export

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"time"

	"github.com/microsim-dev/kubectl-microsim/observe/otlp"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
)

// otlpFormat is that of OpenTelemetry's file exporter: JSON lines, a file for each
// signal (opentelemetry.io/docs/specs/otel/protocol/file-exporter).
func otlpFormat() Format {
	return Format{
		Name:   "otlp",
		Layout: "CASE/traces.jsonl, metrics.jsonl, logs.jsonl",
		Doc:    "a request of OTLP in its JSON encoding on each line; times of spans and log records are not moved; logs.jsonl is missing where the run kept no log",
		traces: true,
		place:  func(c *Case) string { return c.Name },
		write:  writeOTLPFiles,
	}
}

func writeOTLPFiles(c *Case, dir string) error {
	origin := trace.Origin{System: c.Run.Result.Name, Run: c.Name, Target: c.Run.Result.Target, Version: c.Run.Result.Versions["kubectl-microsim"]}
	if err := c.writeTraces(origin, filepath.Join(dir, "traces.jsonl")); err != nil {
		return err
	}
	if err := writeBy(filepath.Join(dir, "metrics.jsonl"), func(w io.Writer) error { return otlp.WriteGauges(w, origin, c.gauges()) }); err != nil {
		return err
	}
	lines, err := c.Run.lines()
	if err != nil || lines == nil {
		return err
	}
	return writeBy(filepath.Join(dir, "logs.jsonl"), func(w io.Writer) error { return otlp.WriteLogs(w, origin, lines) })
}

// writeTraces writes the traces of a run without what gives a cause away.
func (c *Case) writeTraces(origin trace.Origin, path string) error {
	hide := newHider()
	return writeBy(path, func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		for i := range c.Run.keptTraces {
			one := origin.Encode(c.Run.keptTraces[i].Spans)
			hide.traces(&one)
			if err := encoder.Encode(one); err != nil {
				return err
			}
		}
		if c.Run.Traces == "" {
			return nil
		}
		return c.Run.eachTrace(func(e *trace.Export) error {
			hide.traces(e)
			return encoder.Encode(e)
		})
	})
}

// writeBy has a function write a file.
func writeBy(path string, write func(io.Writer) error) error {
	var failed error
	return errors.Join(writeFile(path, func(w *bufio.Writer) { failed = write(w) }), failed)
}

// gauges are the figures of services in each step.
func (c *Case) gauges() []otlp.Gauge {
	t := NewTable(c.Run, c.Grid, Metrics()...)
	var list []otlp.Gauge
	for step := range c.Grid.Steps {
		at := time.Unix(c.Grid.Time(step), 0)
		for i := range t.Columns {
			col := &t.Columns[i]
			if v := col.Values[step]; isKnown(v) {
				list = append(list, otlp.Gauge{Service: col.Service, Name: "microsim." + col.Metric.Name, Unit: col.Metric.Unit, Description: col.Metric.Meaning, At: at, Value: v})
			}
		}
	}
	return list
}
