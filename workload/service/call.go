package service

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/http1"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// An outgoing is one request to another service.
type outgoing struct {
	to *replica
	// method and target are those of the request line.
	method, target string
	contentType    string
	body           []byte
	// deadline bounds the call; zero means without bound. told is what the callee
	// is told of it: the end of the whole request's time, for a caller does not
	// say how long it waits for one answer.
	deadline, told time.Time
	// cancel ends the call early; it may be nil.
	cancel context.Context
	// keep is how many bytes of the answer are returned; strict makes a longer
	// answer an error.
	keep   int64
	strict bool

	id, hop, from, trace, traceState, times, authorization string
}

// A header is one line of a request's header; without a value it is left out.
type header struct{ name, value string }

// headers are those of the request but for its deadline and length.
func (o *outgoing) headers() [8]header {
	return [...]header{
		{control.RequestIDHeader, o.id}, {control.TraceHeader, o.trace}, {control.TraceStateHeader, o.traceState}, {control.HopHeader, o.hop}, {control.FromHeader, o.from},
		{control.TimesHeader, o.times}, {control.AuthorizationHeader, o.authorization}, {"Content-Type", o.contentType},
	}
}

// An answer is what came back.
type answer struct {
	status      int
	contentType string
	// body is the answer's beginning, up to outgoing.keep bytes.
	body []byte
	// length is that of the whole answer.
	length int64
	// times are those of control.TimesHeader.
	times string
	// degraded is what control.DegradedHeader says.
	degraded int
}

// whole is the body, or nothing where it was too long to be kept.
func (a *answer) whole() []byte {
	if a.length > int64(len(a.body)) {
		return nil
	}
	return a.body
}

// Errors of the senders for an answer that cannot be understood, and for a call that
// the end of the service broke off.
var (
	errMalformed = outcome.ErrMalformed
	errStopping  = outcome.ErrStopping
)

// A sender sends one request and reads the whole answer.
type sender interface {
	send(o *outgoing) (answer, error)
	close()
}

// A caller sends the calls of one service.
type caller struct {
	own, foreign sender
}

func newCaller(s *Service) *caller {
	ctx, cancel := context.WithCancel(context.Background())
	c := &caller{}
	if s.cfg.Transport != nil {
		c.foreign = &transportSender{transport: s.cfg.Transport, ctx: ctx, cancel: cancel}
		c.own = c.foreign
		return c
	}
	own := &http.Transport{ForceAttemptHTTP2: false, MaxIdleConnsPerHost: http1.MaxIdle, IdleConnTimeout: http1.IdleTime}
	c.foreign = &transportSender{transport: own, ctx: ctx, cancel: cancel, idle: own.CloseIdleConnections}
	c.own = newClient()
	return c
}

func (c *caller) close() {
	c.own.close()
	c.foreign.close()
}

// send leaves https to the standard library's transport.
func (c *caller) send(o *outgoing) (answer, error) {
	if o.to.url.Scheme == "https" {
		return c.foreign.send(o)
	}
	return c.own.send(o)
}

// outgoing starts the request of an attempt, with what all calls of a request
// carry.
func (x *exchange) outgoing(a *exec.Attempt, hop string) *outgoing {
	s, h := x.service, x.r.Header
	o := &outgoing{
		trace: x.traceparent(hop),
		id:    x.machine.Who().ID, hop: hop, from: s.Name(), deadline: s.clock(a.Until), told: s.clock(a.Told),
		authorization: value(h, control.AuthorizationHeader, maxAuthorization),
	}
	if len(h[control.TraceHeader]) > 0 {
		o.traceState = value(h, control.TraceStateHeader, maxTraceState)
	}
	return o
}

// timeLeft is what Microsim-Deadline says.
func timeLeft(deadline time.Time) string {
	return strconv.FormatInt(exec.MillisLeft(time.Until(deadline)), 10)
}
