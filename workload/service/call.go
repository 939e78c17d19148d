package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
)

// An outgoing is one request to another service.
type outgoing struct {
	to *replica
	// method and target are those of the request line.
	method, target string
	contentType    string
	body           []byte
	// deadline bounds the call; zero means without bound.
	deadline time.Time
	// keep is how many bytes of the answer are returned; strict makes a longer
	// answer an error.
	keep   int64
	strict bool

	id, hop, from, trace, traceState, times string
}

// A header is one line of a request's header; without a value it is left out.
type header struct{ name, value string }

// headers are those of the request but for its deadline and length.
func (o *outgoing) headers() [7]header {
	return [...]header{
		{headerRequestID, o.id}, {headerTrace, o.trace}, {headerTraceState, o.traceState}, {headerHop, o.hop}, {headerFrom, o.from},
		{TimesHeader, o.times}, {"Content-Type", o.contentType},
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
	// times are those of TimesHeader.
	times string
}

// errMalformed marks an answer that could not be understood.
var errMalformed = errors.New("the answer is malformed")

// A sender sends one request and reads the whole answer.
type sender interface {
	send(o *outgoing) (answer, error)
	// keepOnly lets go of idle connections to other than these base URLs.
	keepOnly(peers map[string][]string)
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
	own := &http.Transport{ForceAttemptHTTP2: false, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTime}
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

// classify tells what became of a call.
func classify(a answer, err error) behave.Class {
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		return behave.ClassOf(a.status)
	case errors.Is(err, errStopping), errors.Is(err, context.Canceled):
		return behave.Cancelled
	case errors.Is(err, errMalformed):
		return behave.Malformed
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return behave.Timeout
	}
	return behave.ConnectionError
}

// outgoing starts a call with what all calls of the request carry.
func (x *exchange) outgoing(index int, timeout time.Duration) *outgoing {
	h := x.r.Header
	o := &outgoing{
		id: x.request.ID, hop: behave.Hop(x.request.Hop, index), from: x.service.Name(), deadline: x.deadline,
	}
	incoming := value(h, headerTrace, maxID)
	o.trace = newTraceparent(incoming)
	if incoming != "" {
		o.traceState = value(h, headerTraceState, maxTraceState)
	}
	if timeout > 0 {
		if end := time.Now().Add(timeout); o.deadline.IsZero() || end.Before(o.deadline) {
			o.deadline = end
		}
	}
	return o
}

// keepBody is how much of an answer is looked at, for a call of an endpoint.
const keepBody = 64 << 10

// call makes one call of an endpoint, and does to the request what its outcome
// asks for. What a caller does about failure has its place here: attempt makes
// one attempt.
func (x *exchange) call(op *behave.Op) verdict {
	class, err := x.attempt(op)
	if x.service.stopping() {
		return abandoned
	}
	status := behave.Consequence(class, op.Call.OnError)
	if status == 0 {
		return x.goesOn()
	}
	return verdict{behave.OpFail, status, fmt.Sprintf("calling %s: %s: %v", op.Call.To, class, err)}
}

func (x *exchange) attempt(op *behave.Op) (behave.Class, error) {
	s, call := x.service, op.Call
	start := time.Now()
	class, err := x.sendCall(op)
	s.metrics.callee(call.To).count(class, time.Since(start))
	return class, err
}

func (x *exchange) sendCall(op *behave.Op) (behave.Class, error) {
	s, call := x.service, op.Call
	replicas := s.peers.Load().replicas(call.To)
	if len(replicas) == 0 {
		return behave.ConnectionError, errors.New("no address of it is known")
	}
	to := replicas[0]
	if len(replicas) > 1 {
		to = replicas[s.plan.ReplicaKey(x.request, op.Index).IntN(len(replicas))]
	}
	o := x.outgoing(op.Index, call.Timeout)
	o.to, o.method, o.target, o.keep = to, call.Method, requestTarget(call.Path), keepBody
	if call.RequestBytes > 0 {
		o.body, _ = payload(call.RequestBytes)
		o.contentType = "application/octet-stream"
	}
	a, err := s.caller.send(o)
	if err == nil && a.contentType == jsonType && a.length > 0 && !looksLikeJSON(a) {
		err = fmt.Errorf("%w: it is no JSON", errMalformed)
	}
	class := classify(a, err)
	if class == behave.HTTPError {
		err = fmt.Errorf("it answered %d %s", a.status, http.StatusText(a.status))
	}
	return class, err
}

// requestTarget is a path as a request line has it.
func requestTarget(path string) string {
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '?' || c == '"' {
			return (&url.URL{Path: path}).RequestURI()
		}
	}
	return path
}

// looksLikeJSON checks an answer that was read whole; of a longer one, only the
// first byte.
func looksLikeJSON(a answer) bool {
	if a.length > int64(len(a.body)) {
		return a.body[0] < 0x80
	}
	return json.Valid(a.body)
}

// maxResponse bounds the response document of a route.
const maxResponse = 16 << 20

// callRoute sends a route of a chain on and returns the response document that
// came back; null beside the reason where none came. A status from 400 up is a
// failure, too.
func (x *exchange) callRoute(op *behave.Op) (response json.RawMessage, times string, err error) {
	null := json.RawMessage("null")
	s := x.service
	name, replicas, err := s.locate(op.Route.Designation)
	if err != nil {
		return null, "", err
	}
	to := replicas[s.plan.ReplicaKey(x.request, op.Index).IntN(len(replicas))]
	o := x.outgoing(op.Index, 0)
	o.to, o.method, o.target, o.contentType, o.body = to, http.MethodPost, to.url.RequestURI(), jsonType, op.Route.Append(nil)
	o.keep, o.strict = maxResponse, true
	o.times = value(x.r.Header, TimesHeader, maxTimes)
	start := time.Now()
	a, err := s.caller.send(o)
	if err == nil && a.status < 400 && !isObject(a.body) {
		err = fmt.Errorf("%w: it is no JSON object", errMalformed)
	}
	class := classify(a, err)
	s.metrics.callee(name).count(class, time.Since(start))
	switch {
	case class == behave.HTTPError:
		return null, "", fmt.Errorf("it answered %d %s%s", a.status, http.StatusText(a.status), reasons(a.body))
	case err != nil:
		return null, "", fmt.Errorf("%s: %w", class, err)
	}
	return a.body, a.times, nil
}

func isObject(body []byte) bool {
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return json.Valid(body)
		}
		return false
	}
	return false
}

// reasons are the errors that an answer with an error status tells, for the
// caller's text.
func reasons(body []byte) string {
	var told behave.Response
	if json.Unmarshal(body, &told) != nil || len(told.Errors) == 0 {
		return ""
	}
	return ": " + shorten(told.Errors[0])
}

// timeLeft is what Microsim-Deadline says: whole milliseconds, rounded up.
func timeLeft(deadline time.Time) string {
	return strconv.FormatInt(max(int64((time.Until(deadline)+time.Millisecond-1)/time.Millisecond), 0), 10)
}
