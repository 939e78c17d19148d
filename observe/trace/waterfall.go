package trace

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Row is a line of a waterfall.
type Row struct {
	// Depth is how far the row is indented.
	Depth int
	// The replica of the span, or the callee of an attempt, and the request.
	Who, What string
	// Service is that of the replica, or the callee of an attempt; empty for the load.
	Service string
	// Start counts from the start of the trace.
	Start, Duration time.Duration
	// End says how it ended: a status, a class of outcome.
	End    string
	Failed bool
	// Events are what happened, as text.
	Events []string
	Kind   span.Kind
}

// Rows are the spans of the trace as a tree: each below the one that led to it.
func (t *Trace) Rows() []Row {
	children := map[span.ID][]*span.Span{}
	known := map[span.ID]bool{}
	for i := range t.Spans {
		known[t.Spans[i].ID] = true
	}
	var tops []*span.Span
	for i := range t.Spans {
		s := &t.Spans[i]
		if known[s.Parent] {
			children[s.Parent] = append(children[s.Parent], s)
		} else {
			tops = append(tops, s)
		}
	}
	var rows []Row
	zero := t.Spans[0].Start
	var draw func(s *span.Span, depth int)
	draw = func(s *span.Span, depth int) {
		row := Row{
			Depth: depth, Who: who(s), What: what(s), Start: time.Duration(s.Start - zero), Duration: s.Duration,
			End: Ending(s), Service: serviceOf(s), Failed: s.Failed(), Kind: s.Kind,
		}
		for _, e := range s.Events {
			row.Events = append(row.Events, eventText(e))
		}
		if s.Failed() && s.Error != "" {
			row.Events = append(row.Events, s.Error)
		}
		rows = append(rows, row)
		for _, c := range children[s.ID] {
			draw(c, depth+1)
		}
	}
	for _, s := range tops {
		draw(s, 0)
	}
	return rows
}

func who(s *span.Span) string {
	switch s.Kind {
	case span.Root:
		return "load"
	case span.Client:
		return "-> " + s.Callee
	case span.Server:
	}
	return fmt.Sprintf("%s/%d", s.Service, s.Replica)
}

func serviceOf(s *span.Span) string {
	switch s.Kind {
	case span.Client:
		return s.Callee
	case span.Server:
		return s.Service
	case span.Root:
	}
	return ""
}

func what(s *span.Span) string {
	if s.Attempt > 1 {
		return fmt.Sprintf("%s, attempt %d", Name(s), s.Attempt)
	}
	return Name(s)
}

// Ending says how a span ended: its status, or the class of its outcome.
func Ending(s *span.Span) string {
	switch {
	case s.Status > 0 && (s.Class == "" || s.Class == outcome.OK || s.Class == outcome.HTTPError):
		return fmt.Sprint(s.Status)
	case s.Class != "":
		return string(s.Class)
	}
	return "no answer"
}

// eventText says for people what happened.
func eventText(e span.Event) string {
	switch e.Name {
	case span.FaultActed:
		return fmt.Sprintf("fault %s acted (%s)", e.Subject, e.Detail)
	case span.FellBack:
		return fmt.Sprintf("a fallback (%s) replaced the answer of %s", e.Detail, e.Subject)
	case span.NotSent:
		return fmt.Sprintf("the call to %s was not sent: %s", e.Subject, e.Detail)
	case span.Opened:
		return fmt.Sprintf("the breaker of the calls to %s opened", e.Subject)
	case span.Sent:
		return "sent late"
	}
	return string(e.Name)
}

// WriteWaterfall draws the trace for a terminal of a width: the tree at the left,
// time to the right.
func (t *Trace) WriteWaterfall(w io.Writer, width int) error {
	rows := t.Rows()
	label, end := 0, time.Duration(1)
	for i := range rows {
		label = max(label, unit.Columns(rows[i].label()))
		end = max(end, rows[i].Start+rows[i].Duration)
	}
	label = min(label, max(width/2, 20))
	bar := max(width-label-28, 10)
	var b strings.Builder
	fmt.Fprintf(&b, "trace %s, %s\n", t.ID, unit.Count(len(t.Spans), "span"))
	for i := range rows {
		r := &rows[i]
		from := int(int64(bar) * int64(r.Start) / int64(end))
		n := max(int(int64(bar)*int64(r.Start+r.Duration)/int64(end))-from, 1)
		from = min(from, bar-n)
		line := unit.Cut(r.label(), label)
		line += strings.Repeat(" ", label-unit.Columns(line))
		mark := "█"
		switch {
		case r.Failed:
			mark = "▒"
		case r.Kind == span.Client:
			mark = "─"
		}
		fmt.Fprintf(&b, "%s  %s%s%s %9s  %s\n", line, strings.Repeat(" ", from), strings.Repeat(mark, n), strings.Repeat(" ", bar-from-n), millis(r.Duration), r.End)
		for _, e := range r.Events {
			fmt.Fprintf(&b, "%s! %s\n", strings.Repeat("  ", r.Depth+1), e)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Row) label() string { return strings.Repeat("  ", r.Depth) + r.Who + " " + r.What }

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }

// Pick returns a slow and a failed trace, for a page: of those with a root the
// slowest that ended well, and the earliest that did not. Either may be nil.
func Pick(traces []Trace) (slow, failed *Trace) {
	for i := range traces {
		t := &traces[i]
		if !slices.ContainsFunc(t.Spans, func(s span.Span) bool { return s.Kind == span.Root }) {
			continue
		}
		root := t.Root()
		switch {
		case root.Failed() && (failed == nil || len(t.Spans) > len(failed.Spans)):
			failed = t
		case !root.Failed() && (slow == nil || root.Duration > slow.Root().Duration):
			slow = t
		}
	}
	return slow, failed
}
