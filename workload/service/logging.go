package service

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// The formats of logs.
const (
	TextLogs = "text"
	JSONLogs = "json"
)

// NewLogger returns a logger that writes JSON objects, or key=value pairs for
// people. At debug level it has a line for each request.
func NewLogger(w io.Writer, format string, level slog.Level) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case JSONLogs:
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case TextLogs, "":
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q is not known: write %s or %s", format, TextLogs, JSONLogs)
}

// logRequest writes the line of a request that has ended.
func (x *exchange) logRequest(took time.Duration) {
	log := x.service.log
	if !log.Enabled(x.r.Context(), slog.LevelDebug) {
		return
	}
	h := x.r.Header
	attributes := []slog.Attr{
		slog.String("request", x.id), slog.String("trace", x.traceContext().Trace.String()), slog.String("method", x.r.Method), slog.String("path", problem.Excerpt(x.r.URL.Path)),
	}
	if x.status > 0 {
		attributes = append(attributes, slog.Int("status", x.status))
	} else {
		attributes = append(attributes, slog.String("outcome", control.CodeAborted))
	}
	attributes = append(attributes, slog.Float64("duration", took.Seconds()))
	for _, optional := range []struct{ key, value string }{{"caller", value(h, control.FromHeader, maxID)}, {"hop", value(h, control.HopHeader, maxHop)}, {"error", x.failedWith()}} {
		if optional.value != "" {
			attributes = append(attributes, slog.String(optional.key, optional.value))
		}
	}
	log.LogAttrs(x.r.Context(), slog.LevelDebug, "request", attributes...)
}

// failedWith returns why the request was not answered well, or "" if it was.
func (x *exchange) failedWith() string {
	if x.status > 0 && x.status < 400 {
		return ""
	}
	return x.failureText()
}
