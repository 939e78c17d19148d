package record

import (
	"bytes"
	"encoding/csv"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// figureColumns returns the columns of FiguresFile. A row is a figure of a variant;
// if service is empty, of the clients in the whole run. low and high are the ends of
// the interval over the runs; they are empty for one run. A figure that no run knows
// has no row.
func figureColumns() []string {
	return []string{"variant", "service", "runtime", "figure", "unit", "mean", "low", "high", "runs"}
}

// figureTable returns the text of FiguresFile.
func figureTable(c *result.Comparison) []byte {
	var text bytes.Buffer
	// Writing to a buffer never fails.
	t := &table{csv: csv.NewWriter(&text), row: figureColumns(), wrap: func(err error) error { return err }}
	_ = t.end()
	for i := range c.Variants {
		v := &c.Variants[i]
		add := func(service, runtime, name, unit string, f *result.Figure) {
			if f == nil {
				return
			}
			t.text(v.Name)
			t.text(service)
			t.text(runtime)
			t.text(name)
			t.text(unit)
			t.number(f.Mean)
			if f.Low != nil {
				t.number(*f.Low)
				t.number(*f.High)
			} else {
				t.empty(2)
			}
			t.count(int64(len(f.Values)))
			_ = t.end()
		}
		for _, f := range []struct {
			name, unit string
			of         *result.Figure
		}{
			{"requests", "requests", v.Requests}, {"offered", "per second", v.Offered}, {"rate", "per second", v.Rate}, {"goodput", "per second", v.Goodput},
			{"degraded", "share", v.Degraded}, {"p50", "seconds", v.P50}, {"p99", "seconds", v.P99}, {"tail", "seconds", v.Tail},
		} {
			add("", "", f.name, f.unit, f.of)
		}
		for _, class := range outcome.Classes() {
			add("", "", string(class), "share", v.Outcomes[class])
		}
		for j := range v.Processes {
			p := &v.Processes[j]
			for _, f := range []struct {
				name, unit string
				of         *result.Figure
			}{
				{"cpu_per_request", "seconds", p.CPUPerRequest}, {"peak_memory", "bytes", p.PeakMemory}, {"memory", "bytes", p.Memory},
				{"address", "seconds", p.Address}, {"ready", "seconds", p.Ready},
			} {
				add(p.Service, string(p.Runtime), f.name, f.unit, f.of)
			}
			if p.ImageBytes != nil {
				add(p.Service, string(p.Runtime), "image", "bytes", &result.Figure{Mean: float64(*p.ImageBytes), Values: []float64{float64(*p.ImageBytes)}})
			}
		}
	}
	t.csv.Flush()
	return text.Bytes()
}
