package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// keptLines say what is missing from the traces and logs of a run; none if nothing is
// known to be.
func keptLines(r *result.Result) (lines []string) {
	if t := r.Traces; t != nil && t.Lost > 0 {
		lines = append(lines, fmt.Sprintf("  %s missing from the traces", countOf(t.Lost, "span is", "spans are")))
	}
	l := r.Logs
	if l == nil {
		return lines
	}
	if l.Dropped > 0 {
		lines = append(lines, fmt.Sprintf("  %s dropped: the log has those of %s of the requests", countOf(l.Dropped, "log line was", "log lines were"), fmt.Sprintf("%.3g%%", l.Share*100)))
	}
	if l.Trouble != "" {
		lines = append(lines, "  the log is not whole: "+l.Trouble)
	}
	return lines
}

// PrintSent says what a collector and a receiver of logs have got; nothing of nil.
func PrintSent(w io.Writer, o *result.OTLP, f *result.Fluent) {
	if o != nil {
		fmt.Fprintf(w, "%s\n%s\n", sentTitle(o), strings.Join(sentLines(o), "\n"))
	}
	if f != nil {
		fmt.Fprintf(w, "%s\n%s\n", forwardedTitle(f), strings.Join(forwardedLines(f), "\n"))
	}
}

func sentTitle(o *result.OTLP) string { return "Collector " + o.URL }

func forwardedTitle(f *result.Fluent) string { return "Logs to " + f.Address }

// forwardedLines say what a receiver of logs got.
func forwardedLines(f *result.Fluent) []string {
	lines := []string{fmt.Sprintf("  %s acknowledged", plural64(f.Lines.Sent, "log line"))}
	if text := missing(&f.Lines); text != "" {
		lines = append(lines, "  log lines: "+text)
	}
	return lines
}

// sentLines say what a collector got.
func sentLines(o *result.OTLP) (lines []string) {
	lines = append(lines, fmt.Sprintf("  %s, %s and %s sent", plural64(o.Spans.Sent, "span"), plural64(o.Logs.Sent, "log line"), plural64(o.Points.Sent, "data point")))
	for _, signal := range []struct {
		name   string
		counts *result.SentCounts
	}{{"spans", &o.Spans}, {"log lines", &o.Logs}, {"data points", &o.Points}} {
		if text := missing(signal.counts); text != "" {
			lines = append(lines, "  "+signal.name+": "+text)
		}
	}
	return lines
}

// missing says how many items were not taken, and why; "" if all is well. Those that
// wait are told of only if there is trouble: some always do.
func missing(c *result.SentCounts) string {
	var words []string
	if c.Dropped > 0 {
		words = append(words, count(c.Dropped)+" dropped")
	}
	if c.Refused > 0 {
		words = append(words, count(c.Refused)+" refused")
	}
	if c.Waiting > 0 && c.Trouble != "" {
		words = append(words, count(c.Waiting)+" waiting")
	}
	if len(words) == 0 {
		return ""
	}
	text := strings.Join(words, ", ")
	if c.Trouble != "" {
		text += ": " + c.Trouble
	}
	return text
}

func countOf(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
