package export

import (
	"bufio"
	"fmt"
	"path"
	"path/filepath"
	"time"
)

// rcaevalFormat is the layout of RCAEval's sets with metrics (Pham and others,
// RCAEval: A Benchmark for Root Cause Analysis of Microservice Systems with
// Telemetry Data, 2025). Its readers split columns and directories at the underscore
// into exactly two parts.
func rcaevalFormat() Format {
	return Format{
		Name:   "rcaeval",
		Layout: "SET/SERVICE_KIND/CASE/data.csv and inject_time.txt; normal cases in SET-normal/CASE/data.csv",
		Doc:    "beside data.csv, of runs that kept them, logs.csv, traces.csv, logts.csv (lines by template in steps of 15 s), tracets_err.csv and tracets_lat.csv (failed requests, mean duration in microseconds); wide tables with a column time and columns SERVICE_METRIC in a drawn order; inject_time.txt is the effective start of the fault, in seconds since 1970",
		check: func(c *Case) error {
			if c.Grid.Step != time.Second {
				return fmt.Errorf("RCAEval's rows are of 1 s: leave out --step, or name another --format")
			}
			_, err := c.cause()
			return err
		},
		place: func(c *Case) string {
			if c.Normal() {
				return path.Join(c.Set+"-normal", c.Name)
			}
			l := &c.Labels[0]
			return path.Join(c.Set, plainName(l.Service)+"_"+l.Kind, c.Name)
		},
		write: writeRCAEval,
	}
}

// rcaevalMetrics are the figures that RCAEval has a name for and runs know.
func rcaevalMetrics() []Metric {
	return metrics("cpu", "mem", "latency-50", "latency-90", "workload", "error")
}

func writeRCAEval(c *Case, dir string) error {
	t := NewTable(c.Run, c.Grid, rcaevalMetrics()...)
	if err := writeWide(filepath.Join(dir, "data.csv"), c.Grid, c.shuffled(t.Columns)); err != nil {
		return err
	}
	if err := c.writeSources(dir); err != nil || c.Normal() {
		return err
	}
	return writeFile(filepath.Join(dir, "inject_time.txt"), func(w *bufio.Writer) {
		fmt.Fprintf(w, "%d\n", c.Labels[0].InjectTime)
	})
}
