package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/workload/service/peer"
)

// A tracer makes the spans of one replica.
type tracer struct {
	traces  span.Traces
	sampler span.Sampler
	// buffer keeps the spans. It is nil if none are made; trace contexts are passed
	// on nevertheless.
	buffer *span.Buffer
	// began is the service's start, in nanoseconds since 1970.
	began int64
}

func newTracer(cfg *Config, began time.Time) tracer {
	t := tracer{traces: span.NewTraces(cfg.Seed), sampler: span.NewSampler(cfg.TraceSample), began: began.UnixNano()}
	if cfg.TraceSample > 0 {
		t.buffer = span.NewBuffer(t.began)
	}
	return t
}

// A tracing gathers the spans and events of one request. Its buffers are reused, so
// that a request whose trace is not kept allocates nothing.
type tracing struct {
	// context is the trace context of the request. Its Span is the parent's, which
	// the request has brought, or zero.
	context    span.Parent
	hasContext bool
	// ids makes the ids of spans; it is set when the request makes its first call.
	ids   span.Ids
	hasID bool
	// attempts are the spans of attempts in the order of their ends. While branches
	// run, the exchange's mu guards all fields of tracing.
	attempts []span.Span
	events   []span.Event
}

func (t *tracing) reset() {
	if !t.hasContext && !t.hasID && len(t.events) == 0 {
		return
	}
	clear(t.attempts)
	clear(t.events)
	*t = tracing{attempts: t.attempts[:0], events: t.events[:0]}
}

// traceContext returns the trace context of the request. It is computed when first
// needed, because many requests need none. If branches run, the caller holds the
// exchange's mu.
func (x *exchange) traceContext() span.Parent {
	if x.trace.hasContext {
		return x.trace.context
	}
	x.trace.hasContext = true
	t := &x.service.tracer
	if text := value(x.r.Header, control.TraceHeader, maxID); text != "" {
		if parent, ok := span.ParseParent(text); ok {
			x.trace.context = parent
			return parent
		}
	}
	id := t.traces.Of(x.id)
	// If this service makes no spans, mark the trace as sampled, because others may
	// record it.
	x.trace.context = span.Parent{Trace: id, Sampled: t.buffer == nil || t.sampler.Keeps(id)}
	return x.trace.context
}

// traceparent returns the header traceparent for the attempt that leads to a hop.
func (x *exchange) traceparent(hop string) string {
	x.mu.Lock()
	t := &x.trace
	out := x.traceContext()
	if !t.hasID {
		t.ids, t.hasID = span.IdsOf(out.Trace, x.id), true
	}
	out.Span = t.ids.Attempt(hop)
	x.mu.Unlock()
	return out.String()
}

// traceFault notes that a fault has acted. place counts from 1, as Op.Fault does.
func (x *exchange) traceFault(place int) {
	f := x.faults.running[place-1]
	x.traceEvent(span.FaultActed, f.id, string(f.fault.Type))
}

func (x *exchange) traceEvent(name span.EventName, subject, detail string) {
	t := &x.service.tracer
	if t.buffer == nil {
		return
	}
	e := span.Event{At: t.began + int64(x.service.now()), Name: name, Subject: subject, Detail: detail}
	x.mu.Lock()
	x.trace.events = append(x.trace.events, e)
	x.mu.Unlock()
}

// A sending is one attempt of a call, from its preparation to its end.
type sending struct {
	// toStore is set if the attempt calls a data store: at address, until a time,
	// or until cancel, which may be nil, ends.
	toStore *behave.Op
	address string
	until   time.Time
	cancel  context.Context
	// out is the HTTP request; nil if none is sent, for the reason in err.
	out                       *peer.Request
	err                       error
	fault                     int
	number                    int
	callee, method, path, hop string
}

// traceAttempt notes the span of an attempt that has ended.
func (x *exchange) traceAttempt(a *sending, start time.Duration, e *exec.Event) {
	s := x.service
	t := &s.tracer
	if t.buffer == nil {
		return
	}
	at := span.Span{
		Trace: x.trace.context.Trace, Kind: span.Client, Service: s.Name(), Replica: s.cfg.Replica,
		Request: x.id, Hop: a.hop, Method: a.method, Path: a.path, Callee: a.callee, Attempt: a.number,
		Start: t.began + int64(start), Duration: e.Now - start, Status: e.Status, Class: e.Class, Degraded: e.Degraded, Sampled: x.trace.context.Sampled,
	}
	if e.Err != nil {
		at.Error = clip(e.Err.Error())
	}
	if a.fault > 0 {
		f := x.faults.running[a.fault-1]
		at.Events = []span.Event{{At: at.Start, Name: span.FaultActed, Subject: f.id, Detail: string(f.fault.Type)}}
	}
	x.mu.Lock()
	x.trace.attempts = append(x.trace.attempts, at)
	x.mu.Unlock()
}

// traceCall notes events of a call that its attempts do not show.
func (x *exchange) traceCall(c *exec.Call, callee string, e *exec.Event, fellBack bool) {
	switch {
	case e.Shared: // the request that made the call notes it
	case c.Sent() == 0:
		x.traceEvent(span.NotSent, callee, string(e.Class))
	case e.Class == outcome.BreakerOpen:
		x.traceEvent(span.Opened, callee, "")
	}
	if fellBack {
		x.traceEvent(span.FellBack, callee, string(e.Fallback.Kind))
	}
}

// endTrace passes the spans of the request to the buffer, if they are kept.
func (x *exchange) endTrace(took time.Duration) {
	s, h, t := x.service, x.r.Header, &x.trace
	if s.tracer.buffer == nil {
		return
	}
	served := span.Span{
		Trace: t.context.Trace, Parent: t.context.Span, Kind: span.Server, Service: s.Name(), Replica: s.cfg.Replica,
		Request: x.id, Hop: value(h, control.HopHeader, maxHop), Method: x.r.Method, Path: x.metrics.Label(), Caller: value(h, control.FromHeader, maxID),
		Start: s.tracer.began + int64(x.start), Duration: took, Status: x.status, Degraded: x.machine.Degraded(), Sampled: t.context.Sampled, Events: t.events,
	}
	if served.Failed() {
		served.Error = x.failureText()
	}
	t.attempts = append(t.attempts, served)
	s.tracer.buffer.Add(t.attempts)
}

// failureText returns why the request is not answered well.
func (x *exchange) failureText() string {
	switch end := x.machine.Ending(); {
	case end.Kind == behave.OpFail:
		return clip(end.Failure.Text(&x.machine))
	case x.status == 0:
		return "no answer was given"
	default:
		return fmt.Sprintf("%d %s", x.status, http.StatusText(x.status))
	}
}

// clip shortens the error of a span to its bound.
func clip(text string) string {
	if len(text) > span.MaxError {
		return text[:span.MaxError-3] + "..."
	}
	return text
}

// spans handles requests to control.SpansPath.
func (s *Service) spans(w http.ResponseWriter, r *http.Request) (any, error) {
	if s.tracer.buffer == nil {
		return nil, errors.New("reading the spans: the service makes none, because its traceSample is 0")
	}
	var q control.SpanQuery
	if err := controlhttp.ReadJSON(w, r, control.MaxBody, &q); err != nil {
		return nil, err
	}
	if len(q.Traces) > control.MaxTracesAsked {
		return nil, fmt.Errorf("reading the spans: %d traces are more than the %d that one request may ask for", len(q.Traces), control.MaxTracesAsked)
	}
	answer := s.tracer.buffer.Fetch(q)
	answer.Now = time.Now().UnixNano()
	return answer, nil
}
