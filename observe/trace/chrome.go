package trace

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// A chromeEvent is an event of the Chrome trace event format, which Perfetto and
// chrome://tracing open: "X" a stretch of time, "i" a moment, "M" a name, "s" and
// "f" the two ends of an arrow. Times are in microseconds
// (docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).
type chromeEvent struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"`
	Time     float64        `json:"ts"`
	Duration *float64       `json:"dur,omitempty"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	ID       string         `json:"id,omitempty"`
	Binding  string         `json:"bp,omitempty"`
	Scope    string         `json:"s,omitempty"`
	Args     map[string]any `json:"args,omitempty"`
}

// WriteChrome writes the traces as one document. Each replica is a process, and
// each request at it has a row (a thread) for as long as it takes; attempts that
// overlap have rows of their own. Arrows lead from attempts to the requests that
// they became. Times count from the first span.
func WriteChrome(w io.Writer, traces []Trace) error {
	c := chrome{out: bufio.NewWriter(w), processes: map[string]int{}, rows: map[int]*rows{}}
	var all []*span.Span
	for i := range traces {
		for k := range traces[i].Spans {
			all = append(all, &traces[i].Spans[k])
		}
	}
	slices.SortStableFunc(all, func(a, b *span.Span) int { return cmp.Compare(a.Start, b.Start) })
	c.put(`{"displayTimeUnit":"ms","traceEvents":[`)
	if len(all) > 0 {
		c.zero = all[0].Start
	}
	known := map[span.ID]*span.Span{}
	for _, s := range all {
		known[s.ID] = s
	}
	places := map[span.ID]place{}
	for _, s := range all {
		c.span(s, known[s.Parent], places)
	}
	c.put("]}\n")
	if c.err != nil {
		return c.err
	}
	return c.out.Flush()
}

type chrome struct {
	out       *bufio.Writer
	zero      int64
	processes map[string]int
	rows      map[int]*rows
	begun     bool
	err       error
}

// A place is where a span is drawn.
type place struct{ process, row int }

func (c *chrome) put(text string) {
	if c.err == nil {
		_, c.err = c.out.WriteString(text)
	}
}

func (c *chrome) event(e *chromeEvent) {
	if c.begun {
		c.put(",\n")
	}
	c.begun = true
	text, err := json.Marshal(e)
	if err != nil && c.err == nil {
		c.err = err
	}
	c.put(string(text))
}

func (c *chrome) at(ns int64) float64 { return float64(ns-c.zero) / 1e3 }

// span draws a span, with its events and the arrow that leads to it.
func (c *chrome) span(s, parent *span.Span, places map[span.ID]place) {
	process := c.process(s)
	inside := parent != nil && places[parent.ID].process == process
	row := c.row(process, s, inside, places[s.Parent])
	places[s.ID] = place{process, row}
	took := float64(s.Duration) / 1e3
	args := map[string]any{"trace": s.Trace.String(), "span": s.ID.String(), "request": s.Request}
	for _, a := range attributes(s)[1:] {
		switch v := a.Value; {
		case v.String != nil:
			args[a.Key] = *v.String
		case v.Int != nil:
			args[a.Key], _ = strconv.ParseInt(*v.Int, 10, 64)
		}
	}
	if s.Error != "" {
		args["error"] = s.Error
	}
	c.event(&chromeEvent{Name: chromeName(s), Category: s.Kind.String(), Phase: "X", Time: c.at(s.Start), Duration: &took, Process: process, Thread: row, Args: args})
	for _, e := range s.Events {
		c.event(&chromeEvent{Name: eventText(e), Category: string(e.Name), Phase: "i", Time: c.at(e.At), Process: process, Thread: row, Scope: "t"})
	}
	if from, drawn := places[s.Parent]; drawn && !inside {
		id := s.ID.String()
		c.event(&chromeEvent{Name: "call", Category: "call", Phase: "s", ID: id, Time: c.at(max(parent.Start, min(s.Start, parent.End()))), Process: from.process, Thread: from.row})
		c.event(&chromeEvent{Name: "call", Category: "call", Phase: "f", Binding: "e", ID: id, Time: c.at(s.Start), Process: process, Thread: row})
	}
}

func chromeName(s *span.Span) string {
	switch {
	case s.Kind == span.Client && s.Attempt > 1:
		return fmt.Sprintf("%s %s #%d", s.Callee, Name(s), s.Attempt)
	case s.Kind == span.Client:
		return s.Callee + " " + Name(s)
	}
	return Name(s)
}

// process is the number of the replica that made a span.
func (c *chrome) process(s *span.Span) int {
	name := LoadService
	if s.Kind != span.Root {
		name = fmt.Sprintf("%s/%d", s.Service, s.Replica)
	}
	n, known := c.processes[name]
	if !known {
		n = len(c.processes) + 1
		c.processes[name], c.rows[n] = n, &rows{}
		c.event(&chromeEvent{Name: "process_name", Phase: "M", Process: n, Args: map[string]any{"name": name}})
	}
	return n
}

// rows are the rows of a process with what is drawn on each at the moment: spans
// inside each other, the innermost last.
type rows struct{ open [][]*span.Span }

// row finds a row: that of its parent, if nothing but its ancestors is there, or one that
// is free. Spans on one row lie inside each other, as the format demands.
func (c *chrome) row(process int, s *span.Span, inside bool, parent place) int {
	r := c.rows[process]
	for i := range r.open {
		for n := len(r.open[i]); n > 0 && r.open[i][n-1].End() <= s.Start; n-- {
			r.open[i] = r.open[i][:n-1]
		}
	}
	take := func(i int) int {
		r.open[i] = append(r.open[i], s)
		return i
	}
	if inside {
		open := r.open[parent.row]
		if n := len(open); n > 0 && open[n-1].ID == s.Parent && open[n-1].End() >= s.End() {
			return take(parent.row)
		}
	}
	for i := range r.open {
		if len(r.open[i]) == 0 {
			return take(i)
		}
	}
	r.open = append(r.open, nil)
	return take(len(r.open) - 1)
}
