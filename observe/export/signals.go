package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	modelspan "github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
)

// A spanRow is a span as tables have it.
type spanRow struct {
	trace      modelspan.TraceID
	id, parent modelspan.ID
	service    string
	name       string
	kind       string // Server or Client
	root       bool   // of the load
	start, end int64  // in nanoseconds since 1970
	method     string
	status     int
	failed     bool
	// sampled says that the trace is kept whatever became of the request.
	sampled bool
}

// errNoTraces says why a format cannot have a run.
var errNoTraces = errors.New("it has no traces, which this format has: run it again with --out and --trace-sample 10%")

// spans are those of the run's traces, the earliest trace first.
func (r *Run) spans() ([]spanRow, error) {
	if r.keptSpans != nil || r.Traces == "" {
		return r.keptSpans, nil
	}
	rows := []spanRow{}
	err := r.eachTrace(func(e *trace.Export) error {
		rows = appendRows(rows, e)
		return nil
	})
	if err == nil {
		r.keptSpans = rows
	}
	return rows, err
}

// eachTrace reads the file of traces, and stops at the first error.
func (r *Run) eachTrace(do func(*trace.Export) error) error {
	f, err := os.Open(r.Traces)
	if err != nil {
		return fmt.Errorf("%s: %w", tracesFile, plain(err))
	}
	defer f.Close() //nolint:errcheck // nothing was written
	decoder := json.NewDecoder(bufio.NewReaderSize(f, 64<<10))
	for line := 1; ; line++ {
		var one trace.Export
		switch err := decoder.Decode(&one); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s, line %d: %w; run the experiment again", tracesFile, line, err)
		}
		if err := do(&one); err != nil {
			return err
		}
	}
}

// appendRows appends the spans of a trace.
func appendRows(rows []spanRow, e *trace.Export) []spanRow {
	for i := range e.ResourceSpans {
		service := trace.TextOf(e.ResourceSpans[i].Resource.Attributes, "service.name")
		for j := range e.ResourceSpans[i].ScopeSpans {
			for k := range e.ResourceSpans[i].ScopeSpans[j].Spans {
				s := &e.ResourceSpans[i].ScopeSpans[j].Spans[k]
				row := spanRow{
					trace: s.TraceID, id: s.SpanID, parent: s.ParentID, service: service, name: s.Name, kind: s.KindName(), root: service == trace.LoadService,
					start: s.Start, end: s.End, method: trace.TextOf(s.Attributes, "http.request.method"), failed: s.Failed(), sampled: s.Flags&1 == 1,
				}
				if status, known := trace.NumberOf(s.Attributes, "http.response.status_code"); known {
					row.status = int(status)
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// lines are what the services of the run logged, without what gives a cause away; none
// where it kept no log.
func (r *Run) lines() ([]logline.Line, error) {
	if r.keptLines != nil || r.Logs == "" {
		return r.keptLines, nil
	}
	f, err := os.Open(r.Logs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", logsFile, plain(err))
	}
	defer f.Close() //nolint:errcheck // nothing was written
	lines := []logline.Line{}
	scanner := bufio.NewScanner(f)
	scanner.Buffer(make([]byte, 64<<10), 2*logline.MaxText)
	for n := 1; scanner.Scan(); n++ {
		text := bytes.TrimSpace(scanner.Bytes())
		if len(text) == 0 {
			continue
		}
		l, ok := logline.Parse(text)
		if !ok {
			return nil, fmt.Errorf("%s, line %d: it is no line of a log; run the experiment again", logsFile, n)
		}
		lines = append(lines, l)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", logsFile, err)
	}
	r.keptLines = newHider().lines(lines)
	return r.keptLines, nil
}

// moved puts a time on the clock of the tables.
func (c *Case) moved(at int64) int64 { return at - int64(c.Grid.Moved*1e9) }

// A logRow is a line of a log as tables have it.
type logRow struct {
	*logline.Line
	// message is the line without what other columns have, template that of it which
	// lines of one kind have in common.
	message, template string
	path, failure     string
	span              string
}

// logRows are the lines of the run.
func (c *Case) logRows() ([]logRow, error) {
	lines, err := c.Run.lines()
	if err != nil {
		return nil, err
	}
	rows := make([]logRow, len(lines))
	for i := range lines {
		if rows[i], err = newLogRow(&lines[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", logsFile, err)
		}
	}
	return rows, nil
}

func newLogRow(l *logline.Line) (logRow, error) {
	fields, err := l.Fields()
	if err != nil {
		return logRow{}, err
	}
	row := logRow{Line: l}
	var message, template []string
	var request, hop string
	for _, f := range fields {
		value := fmt.Sprint(f.Value)
		switch f.Key {
		case slog.TimeKey, slog.LevelKey, "system", "service", "replica", "trace":
			continue
		case "request":
			request = value
			continue
		case "hop":
			hop = value
			continue
		case slog.MessageKey:
			message, template = append(message, value), append(template, value)
			continue
		case "path":
			row.path = value
		case "error":
			row.failure = value
		}
		message = append(message, f.Key+"="+value)
		if f.Key == "duration" || f.Key == "hits" {
			value = "<*>"
		}
		template = append(template, f.Key+"="+value)
	}
	if !l.Trace.IsZero() {
		row.span = modelspan.IdsOf(l.Trace, request).Served(hop).String()
	}
	row.message, row.template = strings.Join(message, " "), strings.Join(template, " ")
	return row, nil
}
