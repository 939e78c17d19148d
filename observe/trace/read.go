package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// ReadOTLP reads what WriteOTLP has written, and hands over the spans of a line at a
// time. An error names the line.
func ReadOTLP(r io.Reader, take func([]span.Span)) error {
	decoder := json.NewDecoder(r)
	for line := 1; ; line++ {
		var e Export
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		take(e.decode())
	}
}

// decode is what encode has made of spans.
func (e *Export) decode() (spans []span.Span) {
	for i := range e.ResourceSpans {
		of := values(e.ResourceSpans[i].Resource.Attributes)
		for _, scope := range e.ResourceSpans[i].ScopeSpans {
			for j := range scope.Spans {
				spans = append(spans, scope.Spans[j].decode(of))
			}
		}
	}
	return spans
}

// attributeValues are attributes by their keys, as text.
type attributeValues map[string]string

func values(list []Attribute) attributeValues {
	v := attributeValues{}
	for _, a := range list {
		switch {
		case a.Value.String != nil:
			v[a.Key] = *a.Value.String
		case a.Value.Int != nil:
			v[a.Key] = *a.Value.Int
		}
	}
	return v
}

// number is 0 if there is none.
func (v attributeValues) number(key string) int {
	n, err := strconv.Atoi(v[key])
	if err != nil {
		return 0
	}
	return n
}

func (o *OTLPSpan) decode(of attributeValues) span.Span {
	v := values(o.Attributes)
	s := span.Span{
		Trace: o.TraceID, ID: o.SpanID, Parent: o.ParentID, Kind: span.Client,
		Request: v["microsim.request.id"], Hop: v["microsim.hop"], Method: v["http.request.method"], Path: o.Name,
		Caller: v["microsim.caller"], Callee: v["peer.service"], Attempt: v.number("microsim.attempt"),
		Start: o.Start, Duration: time.Duration(o.End - o.Start), Status: v.number("http.response.status_code"),
		Class: outcome.Class(v["microsim.outcome"]), Error: o.Status.Message, Degraded: v.number("microsim.degraded"), Sampled: o.Flags&1 != 0,
	}
	switch {
	case o.Kind == kindServer:
		s.Kind = span.Server
	case of["service.name"] == LoadService && of["service.instance.id"] == "":
		s.Kind = span.Root
	}
	if s.Kind != span.Root {
		s.Service = of["service.name"]
		if _, replica, found := strings.Cut(of["service.instance.id"], "/"); found {
			s.Replica, _ = strconv.Atoi(replica) // 0 is that of no replica
		}
		s.Path = strings.TrimPrefix(o.Name, s.Method+" ")
	}
	for _, e := range o.Events {
		s.Events = append(s.Events, e.decode())
	}
	return s
}

func (o *OTLPEvent) decode() span.Event {
	e, v := span.Event{At: o.Time, Name: span.EventName(o.Name)}, values(o.Attributes)
	subject, detail := keysOf(e.Name)
	e.Subject, e.Detail = v[subject], v[detail]
	return e
}
