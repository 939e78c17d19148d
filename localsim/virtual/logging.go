package virtual

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// A logger writes the lines that real services would log, with virtual times. A nil
// logger writes none.
type logger struct {
	system   string
	requests bool
	traces   span.Traces
	store    *logline.Store
	text     bytes.Buffer
	handler  slog.Handler
}

func newLogger(system string, seed uint64, o *Options) *logger {
	if o.Logs == nil {
		return nil
	}
	l := &logger{system: system, requests: o.LogRequests, traces: span.NewTraces(seed), store: logline.NewStore()}
	l.handler = slog.NewJSONHandler(&l.text, &slog.HandlerOptions{Level: slog.LevelDebug})
	return l
}

// log writes a line of a replica.
func (w *world) log(r *replica, level slog.Level, message string, attributes ...slog.Attr) {
	if w.logger != nil {
		w.logger.write(w, r, span.TraceID{}, level, message, attributes)
	}
}

func (l *logger) write(w *world, r *replica, trace span.TraceID, level slog.Level, message string, attributes []slog.Attr) {
	line := logline.Line{Time: Epoch.Add(w.now()), Level: level, Service: w.services[r.service].name, Replica: r.number, Trace: trace}
	record := slog.NewRecord(line.Time, level, message, 0)
	record.AddAttrs(slog.String("system", l.system), slog.String("service", line.Service), slog.Int("replica", r.number))
	record.AddAttrs(attributes...)
	l.text.Reset()
	_ = l.handler.Handle(context.Background(), record) // a buffer takes everything
	line.Text = bytes.Clone(bytes.TrimSpace(l.text.Bytes()))
	l.store.Add(line)
}

// logServed writes the line of a request that its server has answered.
func (w *world) logServed(sv *serving, res *response) {
	l, r := w.logger, w.replicas[sv.replica]
	if l == nil || !l.requests || r.store != nil {
		return // stores log no operations
	}
	trace := l.traces.Of(sv.identity.ID)
	attributes := []slog.Attr{
		slog.String("request", sv.identity.ID), slog.String("trace", trace.String()), slog.String("method", sv.message.method), slog.String("path", problem.Excerpt(sv.message.path)),
	}
	if res.status > 0 {
		attributes = append(attributes, slog.Int("status", res.status))
	} else {
		attributes = append(attributes, slog.String("outcome", control.CodeAborted))
	}
	attributes = append(attributes, slog.Float64("duration", (w.now()-sv.start).Seconds()))
	var failed string
	if res.status == 0 || res.status >= 400 {
		failed = sv.failureText(res)
	}
	for _, optional := range []struct{ key, value string }{{"caller", sv.identity.From}, {"hop", sv.identity.Hop}, {"error", failed}} {
		if optional.value != "" {
			attributes = append(attributes, slog.String(optional.key, optional.value))
		}
	}
	l.write(w, r, trace, slog.LevelDebug, "request", attributes)
}

// logFault writes that the replicas of a fault inside services have been told of it,
// or that it is over. The number of hits on each replica is not known here.
func (w *world) logFault(a *acting, over bool) {
	if w.logger == nil || a.layer != fault.InService && a.layer != fault.InStore {
		return
	}
	replicas := a.replicas
	if a.fault.Type == fault.Unreachable {
		replicas = w.callersOf(a)
	}
	for _, i := range replicas {
		if over {
			w.log(w.replicas[i], slog.LevelInfo, "fault cleared", slog.String("fault", a.id), slog.String("type", string(a.fault.Type)))
		} else {
			w.log(w.replicas[i], slog.LevelInfo, "fault applied", slog.String("fault", a.id), slog.String("type", string(a.fault.Type)), slog.Float64("probability", float64(a.fault.Probability)))
		}
	}
}
