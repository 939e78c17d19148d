package service

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/workload/service/metrics"
	"github.com/microsim-dev/kubectl-microsim/workload/service/peer"
)

// call drives the machine of an endpoint's call to its end, and counts how it
// ended.
func (x *exchange) call(b *exec.Branch, op *behave.Op) exec.Event {
	s := x.service
	series := x.by.callees[op.Call.Site]
	var c exec.Call
	a := c.Begin(b, op, s.now())
	for a.Kind == exec.Coalesce {
		a = c.Next(x.coalesce(op, a.Until))
	}
	if c.Hedged() && a.Kind != exec.End {
		x.race(&c, a, series)
	} else {
		for a.Kind != exec.End {
			var e exec.Event
			if a.Kind == exec.Send {
				e = x.attempt(series, x.prepare(&c, op, a.Number, x.cancelled()))
			} else { // Pause
				e = x.pause(a.For)
			}
			a = c.Next(e)
		}
	}
	e := c.Called()
	if c.Leads() {
		x.tellOthers(op, &e)
	}
	series.Count(e.Class, c.Took())
	if e.Class == outcome.OK && e.Degraded > 0 {
		series.Degraded()
	}
	fellBack := e.Fallback != nil && !x.gone()
	if fellBack {
		series.FellBack()
	}
	x.traceCall(&c, op.Call.To, &e, fellBack)
	return e
}

// pause waits before another attempt.
func (x *exchange) pause(d time.Duration) exec.Event {
	x.sleep(d)
	return exec.Event{Kind: exec.Done, Now: x.service.now(), Gone: x.gone()}
}

// cancelled returns the context that ends the calls of a request when its client
// leaves, or nil if the service finishes such requests.
func (x *exchange) cancelled() context.Context {
	if x.left == nil {
		return nil
	}
	return x.r.Context()
}

// keepBody is how many bytes of the answer of an endpoint's call are kept.
const keepBody = 64 << 10

// prepare makes the n-th attempt of a call. If it is not to be sent, it has the
// reason and the fault.
func (x *exchange) prepare(c *exec.Call, op *behave.Op, n int, cancel context.Context) sending {
	call := op.Call
	a := sending{number: n, callee: call.To, method: call.Method, path: call.Path, hop: c.Hop(n), cancel: cancel}
	replicas := x.service.peers.Load().Replicas(call.To)
	attempt := c.Attempt(n, call.To, call.Path, len(replicas))
	if attempt.Err != nil {
		a.fault, a.err = attempt.Fault, attempt.Err
		return a
	}
	if call.ToStore() {
		a.toStore, a.address, a.until = op, replicas[attempt.Replica].Addr(), x.service.clock(attempt.Until)
		return a
	}
	o := x.outgoing(&attempt, a.hop)
	a.out = o
	o.To, o.Method, o.Target, o.Keep, o.Cancel = replicas[attempt.Replica], call.Method, requestTarget(call.Path), keepBody, cancel
	if len(call.Names) > 0 {
		o.Target = x.machine.Values().FillPath(call.Path, url.PathEscape)
	}
	if call.RequestBytes > 0 {
		o.Body, _ = payload(call.RequestBytes)
		o.ContentType = "application/octet-stream"
	}
	return a
}

// outgoing returns the request of an attempt with the headers that all calls of a
// request carry.
func (x *exchange) outgoing(a *exec.Attempt, hop string) *peer.Request {
	s, h := x.service, x.r.Header
	o := &peer.Request{
		Trace: x.traceparent(hop),
		ID:    x.machine.Who().ID, Hop: hop, From: s.Name(), Deadline: s.clock(a.Until), Told: s.clock(a.Told),
		Authorization: value(h, control.AuthorizationHeader, maxAuthorization),
	}
	if len(h[control.TraceHeader]) > 0 {
		o.TraceState = value(h, control.TraceStateHeader, maxTraceState)
	}
	return o
}

// attempt sends an attempt, unless it has a reason not to, and counts it.
func (x *exchange) attempt(series *metrics.Callee, sent sending) exec.Event {
	s, start := x.service, x.service.now()
	e := exec.Event{Kind: exec.Answered, Class: outcome.ConnectionError, Err: sent.err}
	if sent.fault > 0 {
		x.faults.hit(sent.fault)
	}
	if sent.toStore != nil {
		e.Missed, e.Err = x.operate(&sent)
		e.Class = store.Class(e.Err)
	} else if o := sent.out; o != nil {
		a, err := s.client.Send(o)
		if err == nil && a.ContentType == jsonType && a.Length > 0 && !looksLikeJSON(a) {
			err = fmt.Errorf("%w: it is no JSON", outcome.ErrMalformed)
		}
		e.Class, e.Status, e.Body, e.Degraded, e.Err = outcome.Of(a.Status, err), a.Status, a.Whole(), a.Degraded, err
		if e.Class == outcome.HTTPError {
			e.RetryAfter = a.RetryAfter
			e.Err = fmt.Errorf("it answered %d %s", a.Status, http.StatusText(a.Status))
		}
	}
	series.Attempt(e.Class)
	e.Now, e.Gone = s.now(), e.Class != outcome.OK && x.gone()
	x.traceAttempt(&sent, start, &e)
	return e
}

// A race has the attempts of a call that are under way at once.
type race struct {
	parent, ctx context.Context
	cancel      context.CancelFunc
	ends        chan exec.Event
	// hedge is the timer of the next attempt; nil if there is none to come.
	hedge *time.Timer
}

// race drives the machine of a call that may have several attempts under way at
// once.
func (x *exchange) race(c *exec.Call, a exec.Action, series *metrics.Callee) {
	r := race{parent: x.cancelled(), ends: make(chan exec.Event, 1)}
	if r.parent == nil {
		r.parent = context.Background()
	}
	r.ctx, r.cancel = context.WithCancel(r.parent)
	defer func() { r.breakOff() }()
	for a.Kind != exec.End {
		switch a.Kind {
		case exec.Send:
			sent := x.prepare(c, a.Op, a.Number, r.next(a.For))
			go func() { r.ends <- x.attempt(series, sent) }()
		case exec.BreakOff:
			r.breakOff()
		case exec.Pause:
			r.breakOff()
			a = c.Next(x.pause(a.For))
			continue
		default: // Await
		}
		a = c.Next(r.wait(x.service))
	}
}

// next returns the context of another attempt. If hedge is not 0, it sets the timer
// for the attempt after that one.
func (r *race) next(hedge time.Duration) context.Context {
	if r.ctx.Err() != nil { // this try begins after one that was broken off
		r.ctx, r.cancel = context.WithCancel(r.parent)
	}
	r.stopHedge()
	if hedge > 0 {
		r.hedge = time.NewTimer(hedge)
	}
	return r.ctx
}

// wait returns the event that comes first: the end of an attempt, or that of the
// timer.
func (r *race) wait(s *Service) exec.Event {
	var passed <-chan time.Time
	if r.hedge != nil {
		passed = r.hedge.C
	}
	select {
	case e := <-r.ends:
		return e
	case <-passed:
		return exec.Event{Kind: exec.Done, Now: s.now()}
	}
}

func (r *race) stopHedge() {
	if r.hedge != nil {
		r.hedge.Stop()
		r.hedge = nil
	}
}

func (r *race) breakOff() {
	r.stopHedge()
	r.cancel()
}

// requestTarget escapes a path for a request line, if it needs that.
func requestTarget(path string) string {
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '?' || c == '"' {
			return (&url.URL{Path: path}).RequestURI()
		}
	}
	return path
}

// looksLikeJSON reports whether an answer is valid JSON. Of an answer that was not
// kept as a whole, it checks only the first byte.
func looksLikeJSON(a peer.Answer) bool {
	if a.Length > int64(len(a.Body)) {
		return a.Body[0] < 0x80
	}
	return json.Valid(a.Body)
}
