// Package span is what a trace consists of: the spans of one request at the
// services it came to, their ids, which of them are kept, and the buffer in
// which a service keeps them until they are fetched.
//
// Ids follow from the seed, the request and the hop. So a run that is repeated
// has the same traces, on every target.
package span

import (
	"fmt"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// Kind says from which side a span sees a request.
type Kind uint8

// The kinds of spans.
const (
	// Server is a request as the service sees it that answers it.
	Server Kind = iota + 1
	// Client is one attempt of a call, as the service sees it that calls.
	Client
	// Root is a request of the load, as its client sees it: from its intended
	// start to its end.
	Root
)

func (k Kind) String() string {
	switch k {
	case Server:
		return "server"
	case Client:
		return "client"
	case Root:
		return "root"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText writes the kind's word.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the kind's word.
func (k *Kind) UnmarshalText(text []byte) error {
	for known := Server; known <= Root; known++ {
		if known.String() == string(text) {
			*k = known
			return nil
		}
	}
	return fmt.Errorf("reading a span: kind %.32q is not known; write server, client or root", text)
}

// A Span is one stretch of time in the life of a request. Its JSON is part of
// the service contract.
type Span struct {
	Trace  TraceID `json:"trace"`
	ID     ID      `json:"id"`
	Parent ID      `json:"parent,omitzero"`
	Kind   Kind    `json:"kind"`
	// Service and Replica (from 1) are where the span was made; empty for Root.
	Service string `json:"service,omitempty"`
	Replica int    `json:"replica,omitempty"`
	// Request is its X-Request-ID, and Hop the place in its tree of calls: for
	// Client the one that the attempt leads to.
	Request string `json:"request"`
	Hop     string `json:"hop,omitempty"`
	Method  string `json:"method,omitempty"`
	// Path is that of the endpoint, "chain" or "other"; for Root it is the name of
	// the load's request.
	Path string `json:"path,omitempty"`
	// Caller is, for Server, the service that calls; Callee, for Client and Root,
	// the one that is called.
	Caller string `json:"caller,omitempty"`
	Callee string `json:"callee,omitempty"`
	// Attempt counts the attempts of one call, from 1.
	Attempt int `json:"attempt,omitempty"`
	// Start is in nanoseconds since 1970, by the clock of who made the span.
	Start    int64         `json:"start,string"`
	Duration time.Duration `json:"duration"`
	// Status is that of the answer; 0 means that there was none.
	Status int `json:"status,omitempty"`
	// Class is, for Client and Root, what became of the request.
	Class outcome.Class `json:"class,omitempty"`
	// Error says what went wrong.
	Error string `json:"error,omitempty"`
	// Degraded counts the parts of a good answer that are not what they should be.
	Degraded int `json:"degraded,omitempty"`
	// Sampled says that the trace is kept whatever becomes of it.
	Sampled bool    `json:"sampled,omitempty"`
	Events  []Event `json:"events,omitempty"`
}

// An Event is something that happened during a span.
type Event struct {
	// At is in nanoseconds since 1970.
	At   int64     `json:"at,string"`
	Name EventName `json:"name"`
	// Subject and Detail are what the name says they are.
	Subject string `json:"subject,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// EventName says what happened.
type EventName string

// The names of events, with their Subject and Detail.
const (
	// FaultActed: the id and type of a fault that has acted on the request.
	FaultActed EventName = "fault"
	// FellBack: the callee of a call whose answer a fallback replaced, and the
	// fallback's kind.
	FellBack EventName = "fallback"
	// NotSent: the callee of a call that a policy held back, and its outcome:
	// breaker_open or rejected.
	NotSent EventName = "not_sent"
	// Opened: the callee of a call whose failure opened the breaker.
	Opened EventName = "breaker_opened"
	// Sent: a client sent the request later than it was meant to.
	Sent EventName = "sent"
)

// MaxError bounds, in bytes, the error that a span tells.
const MaxError = 256

// Failed reports whether the request did not end well for who made the span. An
// attempt that its own service has broken off, because another was faster, did
// not fail.
func (s *Span) Failed() bool {
	if s.Kind == Server {
		return s.Status == 0 || s.Status >= 400
	}
	return s.Class != outcome.OK && s.Class != outcome.Cancelled
}

// End is when the span ended, in nanoseconds since 1970.
func (s *Span) End() int64 { return s.Start + int64(s.Duration) }

// SetIDs gives the span its own id, and that of its parent unless it has one. The
// parent of a request at the first hop is known only to who sent it.
func (s *Span) SetIDs() {
	ids := IdsOf(s.Trace, s.Request)
	switch s.Kind {
	case Root:
		s.ID = ids.Root()
	case Client:
		s.ID, s.Parent = ids.Attempt(s.Hop), ids.Served(s.Hop[:max(strings.LastIndexByte(s.Hop, '.'), 0)])
	default:
		s.ID = ids.Served(s.Hop)
		if s.Parent.IsZero() && s.Hop != "" {
			s.Parent = ids.Attempt(s.Hop)
		}
	}
}
