package export

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rcaevalStep is the distance of rows in the tables that RCAEval makes of logs and
// traces.
const rcaevalStep = 15 * time.Second

// writeSources writes the other sources of RCAEval's second set: the log, the traces,
// and what it counts of both in steps of 15 s. A run without a log or traces has none.
func (c *Case) writeSources(dir string) error {
	lines, err := c.logRows()
	if err != nil {
		return err
	}
	if len(lines) > 0 {
		if err := c.writeLogSources(dir, lines); err != nil {
			return err
		}
	}
	spans, err := c.Run.spans()
	if err != nil || len(spans) == 0 {
		return err
	}
	return c.writeTraceSources(dir, spans)
}

// writeTable writes rows of CSV; write yields them.
func writeTable(path string, header []string, write func(row func(...string))) error {
	var failed error
	err := writeFile(path, func(w *bufio.Writer) {
		out := csv.NewWriter(w)
		_ = out.Write(header) // Error tells
		write(func(cells ...string) { _ = out.Write(cells) })
		out.Flush()
		failed = out.Error()
	})
	if failed != nil {
		return failed
	}
	return err
}

// within reports whether a time lies in the time of the tables.
func (c *Case) within(at int64) bool {
	return window{c.Grid.Start, c.Grid.Time(c.Grid.Steps)}.has(at)
}

// slotOf is the step of 15 s that a time lies in.
func (c *Case) slotOf(at int64) int { return int((at - c.Grid.Start*1e9) / int64(rcaevalStep)) }

// slots is how many steps of 15 s there are.
func (c *Case) slots() int {
	length := time.Duration(c.Grid.Steps) * c.Grid.Step
	return int((length + rcaevalStep - 1) / rcaevalStep)
}

func (c *Case) writeLogSources(dir string, lines []logRow) error {
	err := writeTable(filepath.Join(dir, "logs.csv"), []string{"time", "timestamp", "container_name", "message", "level", "req_path", "error"}, func(row func(...string)) {
		for i := range lines {
			l := &lines[i]
			if at := c.moved(l.Time.UnixNano()); c.within(at) {
				moment := time.Unix(0, at).UTC()
				row(moment.Format("2006-01-02 15:04:05"), strconv.FormatInt(at, 10), plainName(l.Service), l.message, strings.ToLower(l.Level.String()), l.path, l.failure)
			}
		}
	})
	if err != nil {
		return err
	}
	// Templates have numbers in the order of their words, which say nothing of a cause.
	numbers := map[string]int{}
	for i := range lines {
		numbers[lines[i].template] = 0
	}
	for i, template := range slices.Sorted(maps.Keys(numbers)) {
		numbers[template] = i + 1
	}
	table := c.newSlots()
	for i := range lines {
		l := &lines[i]
		if at := c.moved(l.Time.UnixNano()); c.within(at) {
			table.add(fmt.Sprintf("%s_%d", plainName(l.Service), numbers[l.template]), c.slotOf(at), 1)
		}
	}
	return table.write(filepath.Join(dir, "logts.csv"), false)
}

func (c *Case) writeTraceSources(dir string, spans []spanRow) error {
	header := []string{"time", "traceID", "spanID", "serviceName", "methodName", "operationName", "startTimeMillis", "startTime", "duration", "statusCode", "parentSpanID"}
	err := writeTable(filepath.Join(dir, "traces.csv"), header, func(row func(...string)) {
		for i := range spans {
			s := &spans[i]
			at := c.moved(s.start)
			if !c.within(at) {
				continue
			}
			parent, code := "", "0"
			if !s.parent.IsZero() {
				parent = s.parent.String()
			}
			if s.failed {
				code = "2"
			}
			row(time.Unix(0, at).UTC().Format("2006-01-02 15:04:05"), s.trace.String(), s.id.String(), plainName(s.service), plainName(s.name), plainName(s.name),
				strconv.FormatInt(at/1e6, 10), strconv.FormatInt(at/1e3, 10), strconv.FormatInt((s.end-s.start)/1e3, 10), code, parent)
		}
	})
	if err != nil {
		return err
	}
	failed, took := c.newSlots(), c.newSlots()
	for i := range spans {
		s := &spans[i]
		at := c.moved(s.start)
		// Traces that are kept because they failed would not be a fair sample.
		if !c.within(at) || !s.sampled || s.kind != "Server" {
			continue
		}
		// The header of a wide table has no quotes.
		name := plainName(s.service) + "_" + strings.NewReplacer("_", "-", ",", "-", `"`, "-", "\n", "-").Replace(s.name)
		bad := 0.0
		if s.failed {
			bad = 1
		}
		failed.add(name, c.slotOf(at), bad)
		took.add(name, c.slotOf(at), float64(s.end-s.start)/1e3)
	}
	if err := failed.write(filepath.Join(dir, "tracets_err.csv"), false); err != nil {
		return err
	}
	return took.write(filepath.Join(dir, "tracets_lat.csv"), true)
}

// A slotTable adds up values by column and by step of 15 s.
type slotTable struct {
	c      *Case
	sums   map[string][]float64
	counts map[string][]float64
}

func (c *Case) newSlots() *slotTable {
	return &slotTable{c, map[string][]float64{}, map[string][]float64{}}
}

func (t *slotTable) add(column string, slot int, v float64) {
	if t.sums[column] == nil {
		t.sums[column], t.counts[column] = make([]float64, t.c.slots()), make([]float64, t.c.slots())
	}
	t.sums[column][slot] += v
	t.counts[column][slot]++
}

// write writes the sums, or the means, which are unknown where nothing was added, with
// columns in a drawn order.
func (t *slotTable) write(path string, means bool) error {
	var columns []Column
	for _, name := range slices.Sorted(maps.Keys(t.sums)) {
		values := slices.Clone(t.sums[name])
		for i := range values {
			if means {
				if values[i] /= t.counts[name][i]; t.counts[name][i] == 0 {
					values[i] = unknown()
				}
			}
		}
		service, metric, _ := strings.Cut(name, "_")
		columns = append(columns, Column{service, Metric{Name: metric}, values})
	}
	grid := t.c.Grid
	grid.Step, grid.Steps = rcaevalStep, t.c.slots()
	return writeWide(path, grid, t.c.shuffled(columns))
}
