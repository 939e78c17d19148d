package export

import (
	"fmt"
	"math"
	"time"
)

// A Metric is a figure of a service, as columns have it.
type Metric struct {
	// Name is what columns end in; it has no underscore, at which readers of data
	// sets split names.
	Name string `json:"name"`
	Unit string `json:"unit"`
	// Meaning says what it is, and Over how the seconds of a step make it.
	Meaning string `json:"meaning"`
	Over    string `json:"over"`

	of func(*serviceRow) float64
	// kind says how rows become a step.
	kind merging
}

type merging int

const (
	// counted figures are added and divided by the step.
	counted merging = iota
	// weighted figures are means, weighted by requests.
	weighted
	// held figures are means over time.
	held
)

func (k merging) words() string {
	return map[merging]string{
		counted:  "the count of the step, divided by its length",
		weighted: "the mean of the step's seconds, weighted by requests; exact for a step of 1 s, and for means",
		held:     "the mean over the step",
	}[k]
}

// Metrics lists the figures of services that exports may have.
func Metrics() []Metric {
	list := []Metric{
		{Name: "cpu", Unit: "cores", Meaning: "processor time per second", kind: held, of: func(r *serviceRow) float64 { return r.cpu }},
		{Name: "mem", Unit: "bytes", Meaning: "memory of the service's processes, or else what the service itself holds", kind: held, of: func(r *serviceRow) float64 { return r.memory }},
		{Name: "latency-mean", Unit: "seconds", Meaning: "mean time from a request's arrival to its answer", kind: weighted, of: func(r *serviceRow) float64 { return r.mean }},
		{Name: "latency-50", Unit: "seconds", Meaning: "median of the same", kind: weighted, of: func(r *serviceRow) float64 { return r.p50 }},
		{Name: "latency-90", Unit: "seconds", Meaning: "90th percentile of the same", kind: weighted, of: func(r *serviceRow) float64 { return r.p90 }},
		{Name: "latency-95", Unit: "seconds", Meaning: "95th percentile of the same", kind: weighted, of: func(r *serviceRow) float64 { return r.p95 }},
		{Name: "latency-99", Unit: "seconds", Meaning: "99th percentile of the same", kind: weighted, of: func(r *serviceRow) float64 { return r.p99 }},
		{Name: "workload", Unit: "requests per second", Meaning: "requests answered or given up", kind: counted, of: func(r *serviceRow) float64 { return r.requests }},
		{Name: "error", Unit: "requests per second", Meaning: "requests with a status of 400 or more, or none", kind: counted, of: func(r *serviceRow) float64 { return r.errors }},
		{Name: "in-flight", Unit: "requests", Meaning: "requests in work at the end of the second", kind: held, of: func(r *serviceRow) float64 { return r.inFlight }},
		{Name: "queue-length", Unit: "requests", Meaning: "requests that wait for a worker at the end of the second", kind: held, of: func(r *serviceRow) float64 { return r.queue }},
		{Name: "network-in", Unit: "bytes per second", Meaning: "bytes received", kind: held, of: func(r *serviceRow) float64 { return r.netIn }},
		{Name: "network-out", Unit: "bytes per second", Meaning: "bytes sent", kind: held, of: func(r *serviceRow) float64 { return r.netOut }},
	}
	for i := range list {
		list[i].Over = list[i].kind.words()
	}
	return list
}

// A Grid is time in steps of one length. Steps begin with the load; their times
// are moved back to full seconds, by less than one.
type Grid struct {
	Step  time.Duration
	Steps int
	// Start is the time of the first step, in seconds since 1970 in UTC. Moved is by
	// how many seconds all times were moved back to come there.
	Start int64
	Moved float64
}

// MaxSteps bounds the rows of a table.
const MaxSteps = 1 << 22

// NewGrid makes the steps of a run.
func NewGrid(r *Run, step time.Duration) (Grid, error) {
	if step < time.Second || step%time.Second != 0 {
		return Grid{}, fmt.Errorf("a step of %s is not possible: write full seconds, because a run has a row for each second", step)
	}
	began := r.Began().UTC()
	g := Grid{Step: step, Start: began.Unix(), Moved: float64(began.Nanosecond()) / 1e9}
	// Less than half a step at the end belongs to the one before, as in results.
	steps := math.Round(r.length() / step.Seconds())
	if steps < 2 {
		return Grid{}, fmt.Errorf("its rows reach %.0f s, which is less than two steps of %s: write a shorter --step", r.length(), step)
	}
	if steps > MaxSteps {
		return Grid{}, fmt.Errorf("it has %.0f steps of %s, more than %d: write a longer --step", steps, step, MaxSteps)
	}
	g.Steps = int(steps)
	return g, nil
}

// Time is when a step begins, in seconds since 1970.
func (g Grid) Time(step int) int64 { return g.Start + int64(step)*int64(g.Step/time.Second) }

// at is the step that an elapsed time lies in.
func (g Grid) at(elapsed float64) int {
	return min(max(int(math.Floor(elapsed/g.Step.Seconds())), 0), g.Steps-1)
}

// OfElapsed is the time of an elapsed moment on the grid, as full seconds before it.
func (g Grid) OfElapsed(elapsed float64) int64 { return g.Start + int64(math.Floor(elapsed)) }

// share yields the steps that a row belongs to, each with its part of the row: the
// step that holds its middle. A row of more than one step, which follows on seconds
// without an answer, is spread over those.
func (g Grid) share(s span, yield func(step int, part float64)) {
	n := max(1, int(math.Round(s.seconds/g.Step.Seconds())))
	each := s.seconds / float64(n)
	for i := range n {
		yield(g.at(s.at-s.seconds+(float64(i)+0.5)*each), 1/float64(n))
	}
}

// A Table has a column for each figure of each service, and a row for each step.
type Table struct {
	Grid
	Columns []Column
}

// A Column is a figure of a service; Values are unknown where NaN.
type Column struct {
	Service string
	Metric  Metric
	Values  []float64
}

// Name is service_metric, with hyphens for underscores within either.
func (c *Column) Name() string { return plainName(c.Service) + "_" + c.Metric.Name }

// NewTable makes the table of a run with the figures that are named; those without
// any value are left out.
func NewTable(r *Run, g Grid, metrics ...Metric) *Table {
	t := &Table{Grid: g}
	byService := map[string][]*serviceRow{}
	for i := range r.services {
		row := &r.services[i]
		byService[row.service] = append(byService[row.service], row)
	}
	for _, service := range r.Services() {
		for _, m := range metrics {
			if values, known := g.column(byService[service], m); known {
				t.Columns = append(t.Columns, Column{service, m, values})
			}
		}
	}
	return t
}

// column merges the rows of a service into steps. It reports whether any is known.
func (g Grid) column(rows []*serviceRow, m Metric) (values []float64, known bool) {
	values = make([]float64, g.Steps)
	weights := make([]float64, g.Steps)
	for _, row := range rows {
		v := m.of(row)
		if !isKnown(v) {
			continue
		}
		known = true
		g.share(row.span, func(step int, part float64) {
			switch m.kind {
			case counted:
				values[step] += v * part
				weights[step] = g.Step.Seconds()
			case weighted:
				values[step] += v * row.requests * part
				weights[step] += row.requests * part
			case held:
				values[step] += v * row.seconds * part
				weights[step] += row.seconds * part
			}
		})
	}
	for i := range values {
		if weights[i] == 0 {
			values[i] = unknown()
		} else {
			values[i] /= weights[i]
		}
	}
	return values, known
}
