package trace

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// The types below are those of OTLP 1.x in its JSON form: ids in hexadecimal
// digits, 64-bit integers as text, enums as numbers
// (opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
type (
	// Export is an ExportTraceServiceRequest.
	Export struct {
		ResourceSpans []ResourceSpans `json:"resourceSpans"`
	}
	// ResourceSpans are the spans of one replica.
	ResourceSpans struct {
		Resource   Resource     `json:"resource"`
		ScopeSpans []ScopeSpans `json:"scopeSpans"`
	}
	// A Resource is a replica.
	Resource struct {
		Attributes []Attribute `json:"attributes"`
	}
	// ScopeSpans are the spans that one library made.
	ScopeSpans struct {
		Scope Scope      `json:"scope"`
		Spans []OTLPSpan `json:"spans"`
	}
	// A Scope names who made spans, metrics or logs.
	Scope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	// An OTLPSpan is a span.
	OTLPSpan struct {
		TraceID    span.TraceID `json:"traceId"`
		SpanID     span.ID      `json:"spanId"`
		ParentID   span.ID      `json:"parentSpanId,omitzero"`
		Flags      uint32       `json:"flags,omitempty"`
		Name       string       `json:"name"`
		Kind       int          `json:"kind"`
		Start      int64        `json:"startTimeUnixNano,string"`
		End        int64        `json:"endTimeUnixNano,string"`
		Attributes []Attribute  `json:"attributes"`
		Events     []OTLPEvent  `json:"events,omitempty"`
		Status     OTLPStatus   `json:"status"`
	}
	// An OTLPEvent is something that happened during a span.
	OTLPEvent struct {
		Time       int64       `json:"timeUnixNano,string"`
		Name       string      `json:"name"`
		Attributes []Attribute `json:"attributes,omitempty"`
	}
	// An OTLPStatus says whether the span failed.
	OTLPStatus struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code,omitempty"`
	}
	// An Attribute is a key with a value.
	Attribute struct {
		Key   string `json:"key"`
		Value Value  `json:"value"`
	}
	// A Value has one of its fields.
	Value struct {
		String *string  `json:"stringValue,omitempty"`
		Int    *string  `json:"intValue,omitempty"`
		Double *float64 `json:"doubleValue,omitempty"`
		Bool   *bool    `json:"boolValue,omitempty"`
	}
)

// Kinds and status codes of OTLP.
const (
	kindServer  = 2
	kindClient  = 3
	statusError = 2
)

// Text is an attribute with text.
func Text(key, value string) Attribute { return Attribute{key, Value{String: &value}} }

// Number is an attribute with a whole number.
func Number(key string, value int64) Attribute {
	text := strconv.FormatInt(value, 10)
	return Attribute{key, Value{Int: &text}}
}

// TextOf is the text of an attribute; empty where there is none.
func TextOf(list []Attribute, key string) string {
	for i := range list {
		if list[i].Key == key && list[i].Value.String != nil {
			return *list[i].Value.String
		}
	}
	return ""
}

// NumberOf is the whole number of an attribute, if there is one.
func NumberOf(list []Attribute, key string) (n int64, known bool) {
	for i := range list {
		if list[i].Key == key && list[i].Value.Int != nil {
			n, err := strconv.ParseInt(*list[i].Value.Int, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// KindName is the word for the kind of a span.
func (s *OTLPSpan) KindName() string {
	switch s.Kind {
	case kindServer:
		return "Server"
	case kindClient:
		return "Client"
	}
	return "Unspecified"
}

// Failed reports whether the span failed.
func (s *OTLPSpan) Failed() bool { return s.Status.Code == statusError }

// LoadService is the service.name of the load's spans.
const LoadService = "microsim-load"

// An Origin says where spans come from; it is in the resource of each.
type Origin struct{ System, Run, Target, Version string }

// Resource describes a replica, by OpenTelemetry's semantic conventions.
func (o *Origin) Resource(service string, replica int) Resource {
	r := Resource{[]Attribute{Text("service.name", service)}}
	add := func(key, value string) {
		if value != "" {
			r.Attributes = append(r.Attributes, Text(key, value))
		}
	}
	add("service.namespace", o.System)
	if replica > 0 {
		add("service.instance.id", fmt.Sprintf("%s/%d", service, replica))
	}
	add("microsim.run", o.Run)
	add("microsim.target", o.Target)
	return r
}

// Scope names this program.
func (o *Origin) Scope() Scope { return Scope{"microsim", o.Version} }

// Encode makes one request of spans, of one trace or of several. Spans of one
// replica are together, in their order.
func (o *Origin) Encode(spans []span.Span) Export {
	type key struct {
		service string
		replica int
	}
	places, export := map[key]int{}, Export{ResourceSpans: []ResourceSpans{}}
	for i := range spans {
		s := &spans[i]
		k := key{s.Service, s.Replica}
		if s.Kind == span.Root {
			k = key{LoadService, 0}
		}
		at, known := places[k]
		if !known {
			at = len(export.ResourceSpans)
			places[k] = at
			export.ResourceSpans = append(export.ResourceSpans, ResourceSpans{o.Resource(k.service, k.replica), []ScopeSpans{{Scope: o.Scope()}}})
		}
		scope := &export.ResourceSpans[at].ScopeSpans[0]
		scope.Spans = append(scope.Spans, encode(s))
	}
	return export
}

func encode(s *span.Span) OTLPSpan {
	e := OTLPSpan{
		TraceID: s.Trace, SpanID: s.ID, ParentID: s.Parent, Name: Name(s), Kind: kindClient, Start: s.Start, End: s.End(),
		Attributes: attributes(s),
	}
	if s.Kind == span.Server {
		e.Kind = kindServer
	}
	if s.Sampled {
		e.Flags = 1
	}
	if s.Failed() {
		e.Status = OTLPStatus{Message: s.Error, Code: statusError}
	}
	for _, ev := range s.Events {
		e.Events = append(e.Events, encodeEvent(ev))
	}
	return e
}

// Name says in few words what a span is.
func Name(s *span.Span) string {
	if s.Kind == span.Root {
		return s.Path
	}
	name := s.Path
	if s.Method != "" {
		name = s.Method + " " + s.Path
	}
	return name
}

func attributes(s *span.Span) []Attribute {
	a := []Attribute{Text("microsim.request.id", s.Request)}
	text := func(key, value string) {
		if value != "" {
			a = append(a, Text(key, value))
		}
	}
	number := func(key string, value int) {
		if value > 0 {
			a = append(a, Number(key, int64(value)))
		}
	}
	text("http.request.method", s.Method)
	if s.Kind == span.Server {
		text("http.route", s.Path)
	}
	number("http.response.status_code", s.Status)
	text("peer.service", s.Callee)
	text("microsim.caller", s.Caller)
	text("microsim.hop", s.Hop)
	number("microsim.attempt", s.Attempt)
	number("http.request.resend_count", s.Attempt-1)
	text("microsim.outcome", string(s.Class))
	number("microsim.degraded", s.Degraded)
	if s.Failed() {
		switch {
		case s.Class != "" && s.Status < 400:
			text("error.type", string(s.Class))
		case s.Status > 0:
			text("error.type", strconv.Itoa(s.Status))
		default:
			text("error.type", "aborted")
		}
	}
	return a
}

func encodeEvent(e span.Event) OTLPEvent {
	o := OTLPEvent{Time: e.At, Name: string(e.Name)}
	subject, detail := keysOf(e.Name)
	if e.Subject != "" {
		o.Attributes = append(o.Attributes, Text(subject, e.Subject))
	}
	if e.Detail != "" {
		o.Attributes = append(o.Attributes, Text(detail, e.Detail))
	}
	return o
}

// keysOf are the attributes that hold the subject and the detail of an event.
func keysOf(name span.EventName) (subject, detail string) {
	subject, detail = "microsim.callee", "microsim.detail"
	switch name {
	case span.FaultActed:
		subject, detail = "microsim.fault.id", "microsim.fault.type"
	case span.FellBack:
		detail = "microsim.fallback.kind"
	case span.NotSent:
		detail = "microsim.outcome"
	case span.Opened, span.Sent:
	}
	return subject, detail
}

// WriteOTLP writes each trace as one line, an ExportTraceServiceRequest.
func (o *Origin) WriteOTLP(w io.Writer, traces []Trace) error {
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for i := range traces {
		if err := encoder.Encode(o.Encode(traces[i].Spans)); err != nil {
			return err
		}
	}
	return out.Flush()
}
