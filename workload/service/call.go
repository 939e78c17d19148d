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
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
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
		{headerRequestID, o.id}, {headerTrace, o.trace}, {headerTraceState, o.traceState}, {headerHop, o.hop}, {headerFrom, o.from},
		{TimesHeader, o.times}, {headerAuthorization, o.authorization}, {"Content-Type", o.contentType},
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

// whole is the body, or nothing where it was too long to be kept.
func (a *answer) whole() []byte {
	if a.length > int64(len(a.body)) {
		return nil
	}
	return a.body
}

// What the senders say of an answer that can not be understood, and of a call
// that the service's own end has broken off.
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

// outgoing starts a call, the n-th request sent for it, with what all calls of
// the request carry. The timeout counts from start.
func (x *exchange) outgoing(index, n int, start time.Time, timeout time.Duration) *outgoing {
	h := x.r.Header
	o := &outgoing{
		id: x.request.ID, hop: behave.AttemptHop(behave.Hop(x.request.Hop, index), n), from: x.service.Name(),
		deadline: x.deadline, told: x.deadline, authorization: value(h, headerAuthorization, maxAuthorization),
	}
	incoming := value(h, headerTrace, maxID)
	o.trace = newTraceparent(incoming)
	if incoming != "" {
		o.traceState = value(h, headerTraceState, maxTraceState)
	}
	if timeout > 0 {
		if end := start.Add(timeout); o.deadline.IsZero() || end.Before(o.deadline) {
			o.deadline = end
		}
	}
	return o
}

// keepBody is how much of an answer is looked at, for a call of an endpoint.
const keepBody = 64 << 10

// call makes one call of an endpoint, as its policies say, and does to the
// request what its outcome asks for.
func (x *exchange) call(op *behave.Op) verdict {
	site := x.service.sites[op.Call.Site]
	start := time.Now()
	if site.caller == nil {
		return x.finish(op, site, start, x.attempt(op, site, 1, start, x.cancelled()))
	}
	return x.finish(op, site, start, x.managed(op, site, start))
}

// attempt sends one request, the n-th for the call, and counts it. Its timeout
// counts from the start, which for a hedge is that of the first.
func (x *exchange) attempt(op *behave.Op, site *callSite, n int, start time.Time, cancel context.Context) ending {
	a, class, err := x.sendCall(op, n, start, cancel)
	site.metrics.attempt(class)
	return ending{answer: a, class: class, err: err, at: time.Now()}
}

var errUnreachable = errors.New("a fault lets nobody answer")

func (x *exchange) sendCall(op *behave.Op, n int, start time.Time, cancel context.Context) (answer, outcome.Class, error) {
	s, call := x.service, op.Call
	replicas := s.peers.Load().replicas(call.To)
	if len(replicas) == 0 {
		return answer{}, outcome.ConnectionError, errors.New("no address of it is known")
	}
	chosen := 0
	if len(replicas) > 1 {
		key := s.plan.ReplicaKey(x.request, op.Index)
		if n > 1 {
			key = key.WithInt(n)
		}
		chosen = key.IntN(len(replicas))
	}
	if x.unreachable(call.To, call.Path, chosen+1, op.Index, n) {
		return answer{}, outcome.ConnectionError, errUnreachable
	}
	o := x.outgoing(op.Index, n, start, call.Policy.Timeout.Std())
	o.to, o.method, o.target, o.keep, o.cancel = replicas[chosen], call.Method, requestTarget(call.Path), keepBody, cancel
	if len(call.Names) > 0 {
		o.target = x.values.FillPath(call.Path, url.PathEscape)
	}
	if call.RequestBytes > 0 {
		o.body, _ = payload(call.RequestBytes)
		o.contentType = "application/octet-stream"
	}
	a, err := s.caller.send(o)
	if err == nil && a.contentType == jsonType && a.length > 0 && !looksLikeJSON(a) {
		err = fmt.Errorf("%w: it is no JSON", errMalformed)
	}
	class := outcome.Of(a.status, err)
	if class == outcome.HTTPError {
		err = fmt.Errorf("it answered %d %s", a.status, http.StatusText(a.status))
	}
	return a, class, err
}

// unreachable reports whether a fault lets the call fail before it is sent.
func (x *exchange) unreachable(to, path string, replica, index, n int) bool {
	if x.faults == nil {
		return false
	}
	fault := x.faults.set.Unreachable(x.service.plan.Key(x.request), x.service.Name(), to, path, replica, index, n)
	if fault == 0 {
		return false
	}
	x.faults.running[fault-1].hits.Add(1)
	return true
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
	chosen := s.plan.ReplicaKey(x.request, op.Index).IntN(len(replicas))
	to, start := replicas[chosen], time.Now()
	o := x.outgoing(op.Index, 1, start, 0)
	o.to, o.method, o.target, o.contentType, o.body = to, http.MethodPost, to.url.RequestURI(), jsonType, op.Route.Append(nil)
	o.keep, o.strict, o.cancel = maxResponse, true, x.cancelled()
	o.times = value(x.r.Header, TimesHeader, maxTimes)
	if name == external {
		o.authorization = "" // it is for the system's own services
	}
	var a answer
	if x.unreachable(name, topology.DefaultPath, chosen+1, op.Index, 1) {
		err = errUnreachable
	} else {
		a, err = s.caller.send(o)
	}
	if err == nil && a.status < 400 && !isObject(a.body) {
		err = fmt.Errorf("%w: it is no JSON object", errMalformed)
	}
	class := outcome.Of(a.status, err)
	s.metrics.callee(name).attempt(class)
	s.metrics.callee(name).count(class, time.Since(start))
	switch {
	case class == outcome.HTTPError:
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
	var told chain.Response
	if json.Unmarshal(body, &told) != nil || len(told.Errors) == 0 {
		return ""
	}
	return ": " + shorten(told.Errors[0])
}

// timeLeft is what Microsim-Deadline says: whole milliseconds, rounded up.
func timeLeft(deadline time.Time) string {
	return strconv.FormatInt(max(int64((time.Until(deadline)+time.Millisecond-1)/time.Millisecond), 0), 10)
}
