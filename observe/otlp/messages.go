package otlp

import (
	"fmt"
	"log/slog"
	"strconv"

	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
)

// belowRoots puts the requests at first services below the roots that their load makes:
// spans are sent before the whole trace is known.
func belowRoots(spans []span.Span) []span.Span {
	linked := make([]span.Span, len(spans))
	for i := range spans {
		linked[i] = spans[i]
		if s := &linked[i]; s.Kind == span.Server && s.Hop == "" && s.Parent.IsZero() {
			s.Parent = span.IdsOf(s.Trace, s.Request).Root()
		}
	}
	return linked
}

// spansOf are spans as traces.jsonl has them.
func spansOf(origin *trace.Origin, spans []span.Span) []*tracepb.ResourceSpans {
	export := origin.Encode(spans)
	messages := make([]*tracepb.ResourceSpans, len(export.ResourceSpans))
	for i := range export.ResourceSpans {
		from := &export.ResourceSpans[i]
		to := &tracepb.ResourceSpans{Resource: resourceOf(from.Resource)}
		for j := range from.ScopeSpans {
			scope := &tracepb.ScopeSpans{Scope: scopeOf(from.ScopeSpans[j].Scope)}
			for k := range from.ScopeSpans[j].Spans {
				scope.Spans = append(scope.Spans, spanOf(&from.ScopeSpans[j].Spans[k]))
			}
			to.ScopeSpans = append(to.ScopeSpans, scope)
		}
		messages[i] = to
	}
	return messages
}

func spanOf(s *trace.OTLPSpan) *tracepb.Span {
	to := &tracepb.Span{
		TraceId: s.TraceID[:], SpanId: s.SpanID[:], Flags: s.Flags, Name: s.Name, Kind: tracepb.Span_SpanKind(s.Kind),
		StartTimeUnixNano: uint64(s.Start), EndTimeUnixNano: uint64(s.End), Attributes: attributesOf(s.Attributes),
		Status: &tracepb.Status{Message: s.Status.Message, Code: tracepb.Status_StatusCode(s.Status.Code)},
	}
	if !s.ParentID.IsZero() {
		to.ParentSpanId = s.ParentID[:]
	}
	for i := range s.Events {
		e := &s.Events[i]
		to.Events = append(to.Events, &tracepb.Span_Event{TimeUnixNano: uint64(e.Time), Name: e.Name, Attributes: attributesOf(e.Attributes)})
	}
	return to
}

func resourceOf(r trace.Resource) *resourcepb.Resource {
	return &resourcepb.Resource{Attributes: attributesOf(r.Attributes)}
}

func scopeOf(s trace.Scope) *commonpb.InstrumentationScope {
	return &commonpb.InstrumentationScope{Name: s.Name, Version: s.Version}
}

func attributesOf(list []trace.Attribute) []*commonpb.KeyValue {
	to := make([]*commonpb.KeyValue, 0, len(list))
	for i := range list {
		v := &list[i].Value
		value := &commonpb.AnyValue{}
		switch {
		case v.String != nil:
			value.Value = &commonpb.AnyValue_StringValue{StringValue: *v.String}
		case v.Int != nil:
			n, _ := strconv.ParseInt(*v.Int, 10, 64) // we have written it
			value.Value = &commonpb.AnyValue_IntValue{IntValue: n}
		case v.Double != nil:
			value.Value = &commonpb.AnyValue_DoubleValue{DoubleValue: *v.Double}
		case v.Bool != nil:
			value.Value = &commonpb.AnyValue_BoolValue{BoolValue: *v.Bool}
		}
		to = append(to, &commonpb.KeyValue{Key: list[i].Key, Value: value})
	}
	return to
}

// logsOf returns the messages for log lines. The line of a request belongs to the
// span of the request at its service.
func logsOf(origin *trace.Origin, lines []logline.Line) []*logspb.ResourceLogs {
	type key struct {
		service string
		replica int
	}
	places, messages := map[key]*logspb.ScopeLogs{}, []*logspb.ResourceLogs{}
	for i := range lines {
		l := &lines[i]
		k := key{l.Service, l.Replica}
		scope := places[k]
		if scope == nil {
			scope = &logspb.ScopeLogs{Scope: scopeOf(origin.Scope())}
			places[k] = scope
			messages = append(messages, &logspb.ResourceLogs{Resource: resourceOf(origin.Resource(l.Service, l.Replica)), ScopeLogs: []*logspb.ScopeLogs{scope}})
		}
		scope.LogRecords = append(scope.LogRecords, recordOf(l))
	}
	return messages
}

func recordOf(l *logline.Line) *logspb.LogRecord {
	at := uint64(l.Time.UnixNano())
	to := &logspb.LogRecord{TimeUnixNano: at, ObservedTimeUnixNano: at, SeverityNumber: severityOf(l.Level), SeverityText: l.Level.String()}
	fields, err := l.Fields()
	if err != nil { // it was read before, so this does not happen
		to.Body = text(string(l.Text))
		return to
	}
	var request, hop string
	for _, f := range fields {
		switch f.Key {
		case slog.MessageKey:
			to.Body = text(fmt.Sprint(f.Value))
		case slog.TimeKey, slog.LevelKey, "system", "service", "replica", "trace": // told already
		default:
			to.Attributes = append(to.Attributes, &commonpb.KeyValue{Key: attributeName(f.Key), Value: valueOf(f.Value)})
			switch f.Key {
			case "request":
				request = fmt.Sprint(f.Value)
			case "hop":
				hop = fmt.Sprint(f.Value)
			}
		}
	}
	if !l.Trace.IsZero() {
		id := span.IdsOf(l.Trace, request).Served(hop)
		to.TraceId, to.SpanId = append([]byte(nil), l.Trace[:]...), id[:]
	}
	return to
}

// attributeName gives fields of lines the names that spans have for them.
func attributeName(field string) string {
	switch field {
	case "request":
		return "microsim.request.id"
	case "method":
		return "http.request.method"
	case "path":
		return "url.path"
	case "status":
		return "http.response.status_code"
	case "error":
		return "error.message"
	case "fault":
		return "microsim.fault.id"
	case "type":
		return "microsim.fault.type"
	}
	return "microsim." + field
}

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

// valueOf is a value of a line; whole numbers are such.
func valueOf(v any) *commonpb.AnyValue {
	switch v := v.(type) {
	case float64:
		if n := int64(v); float64(n) == v && n > -1<<53 && n < 1<<53 {
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v}}
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}
	case nil:
		return &commonpb.AnyValue{}
	default:
		return text(fmt.Sprint(v))
	}
}

// severityOf maps slog's levels, four apart, to those of OpenTelemetry, which are four
// apart as well (opentelemetry.io/docs/specs/otel/logs/data-model, "Mapping of
// SeverityNumber").
func severityOf(level slog.Level) logspb.SeverityNumber {
	n := int(level) + int(logspb.SeverityNumber_SEVERITY_NUMBER_INFO)
	return logspb.SeverityNumber(min(max(n, int(logspb.SeverityNumber_SEVERITY_NUMBER_TRACE)), int(logspb.SeverityNumber_SEVERITY_NUMBER_FATAL4)))
}
