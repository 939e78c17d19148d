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

// PrintSent says what a collector has got; nothing for nil.
func PrintSent(w io.Writer, o *result.OTLP) {
	if o != nil {
		fmt.Fprintf(w, "%s\n%s\n", sentTitle(o), strings.Join(sentLines(o), "\n"))
	}
}

func sentTitle(o *result.OTLP) string { return "Collector " + o.URL }

// sentLines say what a collector got.
func sentLines(o *result.OTLP) (lines []string) {
	lines = append(lines, fmt.Sprintf("  %s, %s and %s sent", plural64(o.Spans.Sent, "span"), plural64(o.Logs.Sent, "log line"), plural64(o.Points.Sent, "data point")))
	for _, signal := range []struct {
		name   string
		counts *result.SentCounts
	}{{"spans", &o.Spans}, {"log lines", &o.Logs}, {"data points", &o.Points}} {
		c := signal.counts
		text := ""
		switch {
		case c.Dropped > 0 && c.Refused > 0:
			text = fmt.Sprintf("  %s: %s dropped, %s refused", signal.name, count(c.Dropped), count(c.Refused))
		case c.Dropped > 0:
			text = fmt.Sprintf("  %s: %s dropped", signal.name, count(c.Dropped))
		case c.Refused > 0:
			text = fmt.Sprintf("  %s: %s refused", signal.name, count(c.Refused))
		case c.Waiting > 0 && c.Trouble != "":
			text = fmt.Sprintf("  %s: %s waiting", signal.name, count(c.Waiting))
		default:
			continue
		}
		if c.Trouble != "" {
			text += ": " + c.Trouble
		}
		lines = append(lines, text)
	}
	return lines
}

func countOf(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
