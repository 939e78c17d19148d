package export

import (
	"bufio"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// vecrosimFormat is the layout of VECROsim's collector: a CSV for each metric, with
// a column for each service. Its files have neither times nor labels; ours have.
func vecrosimFormat() Format {
	return Format{
		Name:   "vecrosim",
		Layout: "CASE/NAME_METRIC.csv for each metric, CASE/NAME_merged.csv and CASE/labels.csv",
		Doc:    "first an index from 0, then time, then a column for each service; merged has columns SERVICE:METRIC. The windows are those of VECROsim: latency_avg 10 s, latency_p95 1 min, cpu_usage and network 1 min, throughput 10 s",
		place:  func(c *Case) string { return c.Name },
		write:  writeVECROsim,
	}
}

// A vecrosimMetric is a metric of VECROsim's collector.
type vecrosimMetric struct {
	name   string
	of     string // the name among Metrics
	window time.Duration
}

func vecrosimMetrics() []vecrosimMetric {
	return []vecrosimMetric{
		{"latency_avg", "latency-mean", 10 * time.Second},
		{"latency_p95", "latency-95", time.Minute},
		{"request_rate", "workload", 10 * time.Second},
		{"error_rate", "error", 10 * time.Second},
		{"cpu_usage", "cpu", time.Minute},
		{"memory_usage", "mem", 0},
		{"network_receive_bytes", "network-in", time.Minute},
		{"network_transmit_bytes", "network-out", time.Minute},
	}
}

func writeVECROsim(c *Case, dir string) error {
	t := NewTable(c.Run, c.Grid, Metrics()...)
	byName := map[string]map[string][]float64{}
	for i := range t.Columns {
		col := &t.Columns[i]
		if byName[col.Metric.Name] == nil {
			byName[col.Metric.Name] = map[string][]float64{}
		}
		byName[col.Metric.Name][col.Service] = col.Values
	}
	var merged []series
	for _, m := range vecrosimMetrics() {
		var one []series
		for _, service := range c.Run.Services() {
			values, ok := byName[m.of][service]
			if !ok {
				continue
			}
			weights := byName["workload"][service]
			if m.of != "latency-mean" && m.of != "latency-95" {
				weights = nil
			}
			smooth := trailing(values, weights, int(m.window/c.Grid.Step))
			one = append(one, series{plainName(service), smooth})
			merged = append(merged, series{plainName(service) + ":" + m.name, smooth})
		}
		if len(one) == 0 {
			continue // unknown everywhere
		}
		if err := writeIndexed(filepath.Join(dir, fileName(c.Run.Result.Name)+"_"+m.name+".csv"), c.Grid, one); err != nil {
			return err
		}
	}
	if err := writeIndexed(filepath.Join(dir, fileName(c.Run.Result.Name)+"_merged.csv"), c.Grid, merged); err != nil {
		return err
	}
	var failed error
	err := writeFile(filepath.Join(dir, "labels.csv"), func(w *bufio.Writer) { failed = WriteLabels(w, c.Labels) })
	if failed != nil {
		return failed
	}
	return err
}

// fileName is the name of an experiment in those of files. It may have any letters, and
// must not lead out of the directory.
func fileName(name string) string {
	if problem.IsFileName(name) {
		return name
	}
	return "x" + strings.NewReplacer("/", "-", `\`, "-", ":", "-").Replace(name)
}

// A series is a named column.
type series struct {
	name   string
	values []float64
}

func writeIndexed(path string, g Grid, columns []series) error {
	return writeFile(path, func(w *bufio.Writer) {
		_, _ = w.WriteString(",time")
		for i := range columns {
			_ = w.WriteByte(',')
			_, _ = w.WriteString(columns[i].name)
		}
		_ = w.WriteByte('\n')
		var row []byte
		for step := range g.Steps {
			row = strconv.AppendInt(row[:0], int64(step), 10)
			row = strconv.AppendInt(append(row, ','), g.Time(step), 10)
			for i := range columns {
				row = appendNumber(append(row, ','), columns[i].values[step])
			}
			_, _ = w.Write(append(row, '\n'))
		}
	})
}

// trailing is the mean of each step and those before it within a window, weighted
// where weights are given; unknown where none of them is known.
func trailing(values, weights []float64, window int) []float64 {
	if window <= 1 {
		return values
	}
	smooth := make([]float64, len(values))
	for i := range values {
		var sum, weight float64
		for j := max(0, i-window+1); j <= i; j++ {
			w := 1.0
			if weights != nil {
				w = weights[j]
			}
			if isKnown(values[j]) && isKnown(w) {
				sum += values[j] * w
				weight += w
			}
		}
		if smooth[i] = unknown(); weight > 0 {
			smooth[i] = sum / weight
		}
	}
	return smooth
}
