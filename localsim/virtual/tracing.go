package virtual

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// A tracer makes the same spans as real services and the real load, with the same
// ids and with virtual times. Unlike those, it sees a request as a whole, so it
// keeps every span of a request that failed anywhere.
type tracer struct {
	traces  span.Traces
	sampler span.Sampler
	sink    func([]span.Span)
	free    []*trace
}

// A trace is the trace of one request under way.
type trace struct {
	id      span.TraceID
	sampled bool
	failed  bool
	spans   []span.Span
	// open counts the request of the load, and the requests at servers, that have
	// not ended.
	open int
}

func newTracer(seed uint64, o *Options) *tracer {
	if o.Spans == nil || o.TraceSample <= 0 {
		return nil
	}
	return &tracer{traces: span.NewTraces(seed), sampler: span.NewSampler(o.TraceSample), sink: o.Spans}
}

// begin begins the trace of a request. It returns nil if no spans are made.
func (t *tracer) begin(request string) *trace {
	if t == nil {
		return nil
	}
	tr := &trace{}
	if n := len(t.free); n > 0 {
		tr, t.free = t.free[n-1], t.free[:n-1]
	}
	id := t.traces.Of(request)
	*tr = trace{id: id, sampled: t.sampler.Keeps(id), spans: tr.spans[:0]}
	return tr
}

// add adds a span.
func (tr *trace) add(s span.Span) {
	s.Trace, s.Sampled = tr.id, tr.sampled
	s.SetIDs()
	tr.failed = tr.failed || s.Failed()
	tr.spans = append(tr.spans, s)
}

// leave ends one of the requests for which a trace waits. The last one passes the
// spans on.
func (t *tracer) leave(tr *trace) {
	if tr == nil {
		return
	}
	if tr.open--; tr.open > 0 {
		return
	}
	if tr.sampled || tr.failed {
		t.sink(slices.Clone(tr.spans))
	}
	clear(tr.spans)
	t.free = append(t.free, tr)
}

// stamp converts a virtual time to the calendar, in nanoseconds since 1970.
func stamp(at time.Duration) int64 { return Epoch.UnixNano() + int64(at) }

// note adds an event to the span of a request at a server.
func (w *world) note(sv *serving, name span.EventName, subject, detail string) {
	if sv.trace != nil {
		sv.events = append(sv.events, span.Event{At: stamp(w.now()), Name: name, Subject: subject, Detail: detail})
	}
}

// hitFault counts that a fault has acted on a request. place counts from 1, as
// Op.Fault does.
func (w *world) hitFault(sv *serving, place int) {
	sv.faults.hit(place)
	a := sv.faults.running[place-1]
	w.note(sv, span.FaultActed, a.id, string(a.fault.Type))
}

// traceServed makes the span of a request that its server has answered.
func (w *world) traceServed(sv *serving, res *response) {
	if sv.trace == nil {
		return
	}
	r := w.replicas[sv.replica]
	s := span.Span{
		Kind: span.Server, Service: w.services[r.service].name, Replica: r.number, Request: sv.identity.ID, Hop: sv.identity.Hop,
		Method: sv.message.method, Path: control.EndpointOther, Caller: sv.identity.From,
		Start: stamp(sv.start), Duration: w.now() - sv.start, Status: res.status, Degraded: res.degraded,
	}
	switch {
	case sv.message.chain != nil:
		s.Path = control.EndpointChain
	case sv.message.endpoint != nil:
		s.Path = sv.message.endpoint.Path
	}
	if len(sv.events) > 0 {
		s.Events = slices.Clone(sv.events)
	}
	if s.Failed() {
		s.Error = sv.failureText(res)
	}
	sv.trace.add(s)
}

// failureText returns why the request is not answered well.
func (sv *serving) failureText(res *response) string {
	switch end := sv.machine.Ending(); {
	case end.Kind == behave.OpFail:
		return end.Failure.Text(&sv.machine)
	case res.status == 0:
		return "no answer was given"
	default:
		return fmt.Sprintf("%d %s", res.status, http.StatusText(res.status))
	}
}

// traceAttempt makes the span of an attempt of a call that has ended, or that was
// not sent because of a fault.
func (w *world) traceAttempt(c *calling, number int, began time.Duration, e *exec.Event, fault int) {
	sv := w.servings.at(w.strands.at(c.strand).serving)
	if sv.trace == nil {
		return
	}
	r := w.replicas[sv.replica]
	s := span.Span{
		Kind: span.Client, Service: w.services[r.service].name, Replica: r.number, Request: sv.identity.ID, Hop: c.machine.Hop(number),
		Method: http.MethodPost, Path: control.EndpointChain, Callee: c.counts.name, Attempt: number,
		Start: stamp(began), Duration: w.now() - began, Status: e.Status, Class: e.Class, Degraded: e.Degraded,
	}
	if c.op.Call != nil {
		s.Method, s.Path = c.op.Call.Method, c.op.Call.Path
	}
	if e.Err != nil && e.Class != outcome.OK {
		s.Error = e.Err.Error()
	}
	if fault > 0 {
		a := sv.faults.running[fault-1]
		s.Events = []span.Event{{At: s.Start, Name: span.FaultActed, Subject: a.id, Detail: string(a.fault.Type)}}
	}
	sv.trace.add(s)
}

// traceRoot makes the span of a request of the load.
func (c *clients) traceRoot(j *job, end *jobEnd) {
	if j.trace == nil {
		return
	}
	r := &c.profile.Requests[j.request]
	s := span.Span{
		Kind: span.Root, Request: j.who.ID, Method: j.message.method, Path: r.Name, Callee: r.Service,
		Start: stamp(j.intended), Duration: c.w.now() - j.intended, Status: end.status, Class: end.Class,
	}
	if j.message.chain != nil {
		s.Callee, s.Method = j.message.chain.Designation, http.MethodPost
	}
	if end.degraded {
		s.Degraded = 1
	}
	if end.Class != outcome.OK {
		if s.Error = string(end.Reason); end.Hop != "" {
			s.Error += " at " + end.Hop
		}
	}
	if late := j.sentAt - j.intended; late > time.Millisecond {
		s.Events = []span.Event{{At: stamp(j.sentAt), Name: span.Sent}}
	}
	j.trace.add(s)
}
