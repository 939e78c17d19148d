package loadgen

import (
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// A tracer makes the root spans of a load.
type tracer struct {
	buffer  *span.Buffer
	traces  span.Traces
	sampler span.Sampler
	// began is the start of the load, in nanoseconds since 1970.
	began int64
}

// A rootTrace is the trace of one request of the load.
type rootTrace struct {
	span.Parent
	// request is the id that the request has.
	request string
	// tells says that the request needs a header. A request that is not sampled
	// needs none, because services derive its trace from its id.
	tells bool
}

// of returns the trace of a request with the given id. If the file has an id or a
// trace for its requests, those apply instead.
func (t *tracer) of(s *source, id []byte) rootTrace {
	own := string(id)
	r := rootTrace{request: own, Parent: span.Parent{Trace: t.traces.Of(own)}}
	r.Sampled = t.sampler.Keeps(r.Trace)
	r.tells = r.Sampled || s.ownID
	if s.ownID {
		r.request = s.header(control.RequestIDHeader)
	}
	if given := s.header(control.TraceHeader); given != "" {
		if parent, ok := span.ParseParent(given); ok {
			r.Parent, r.tells = parent, false
		}
	}
	r.Span = span.IdsOf(r.Trace, r.request).Root()
	return r
}

// header returns the value of a header in the file.
func (s *source) header(name string) string {
	for given, value := range s.spec.Headers {
		if strings.EqualFold(given, name) {
			return value
		}
	}
	return ""
}

// add makes the span of a request that was sent and has ended.
func (t *tracer) add(r *rootTrace, s *source, m *message, j *job, started, sentAt time.Time, end time.Time, res *ended) {
	root := span.Span{
		Trace: r.Trace, Kind: span.Root, Request: r.request, Path: s.name, Callee: s.spec.Service, Method: m.method,
		Start: t.began + int64(j.intended.Sub(started)), Duration: end.Sub(j.intended), Status: res.status, Class: res.class, Sampled: r.Sampled,
	}
	if m.tree != nil {
		root.Callee = problem.CleanURL(m.tree.Designation)
	}
	if res.degraded {
		root.Degraded = 1
	}
	if f := res.failure; f != nil && res.class != outcome.OK {
		root.Error = string(f.Reason)
		if f.Hop != "" {
			root.Error += " at " + f.Hop
		}
	}
	if late := sentAt.Sub(j.intended); late > time.Millisecond {
		root.Events = []span.Event{{At: root.Start + int64(late), Name: span.Sent}}
	}
	spans := [1]span.Span{root}
	t.buffer.Add(spans[:])
}

// newTracer returns nil if no spans are wanted.
func (g *Generator) newTracer(seed uint64) *tracer {
	if g.Spans == nil {
		return nil
	}
	return &tracer{buffer: g.Spans, traces: span.NewTraces(seed), sampler: span.NewSampler(g.TraceSample)}
}
