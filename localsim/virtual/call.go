package virtual

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A calling drives one call of a request.
type calling struct {
	machine exec.Call
	strand  int32
	op      *behave.Op
	counts  *callee
	under   []int32 // attempts
	timer   des.Timer
	// waits says that another request makes the call; told is how that ended.
	waits bool
	told  exec.Event
}

// failure says why an attempt has no answer.
type failure uint8

const (
	none failure = iota
	refused
	broken
	reset
	notConnected
	late
	garbled
	cancelled
	// unpooled is an operation on a data store that got no connection.
	unpooled
)

// class returns the class of an attempt with this failure.
func (f failure) class() outcome.Class {
	switch f {
	case late:
		return outcome.Timeout
	case garbled:
		return outcome.Malformed
	case cancelled:
		return outcome.Cancelled
	case unpooled:
		return outcome.Rejected
	default:
		return outcome.ConnectionError
	}
}

// The errors of attempts without an answer, for texts.
//
//nolint:gochecknoglobals // sentinels
var (
	errRefused   = errors.New("the connection was refused")
	errBroken    = errors.New("the connection ended before the answer")
	errReset     = errors.New("the connection was reset")
	errNoConn    = errors.New("no connection was made in time")
	errLate      = errors.New("no answer came in time")
	errMalformed = fmt.Errorf("%w: it is no JSON", outcome.ErrMalformed)
)

// An errorStatus is the error of an answer with an error status. It makes its text
// only when asked for it.
type errorStatus int

func (s errorStatus) Error() string {
	return fmt.Sprintf("it answered %d %s", int(s), http.StatusText(int(s)))
}

// reason returns the reason, for the load, of a failure.
func (f failure) reason() outcome.Reason {
	switch f {
	case refused:
		return outcome.Refused
	case broken:
		return outcome.Closed
	case reset:
		return outcome.Reset
	case notConnected:
		return outcome.ConnectTimeout
	case late:
		return outcome.AnswerTimeout
	case garbled:
		return outcome.Reason(outcome.Malformed)
	default:
		return outcome.Other
	}
}

func (f failure) err() error {
	switch f {
	case refused:
		return errRefused
	case broken:
		return errBroken
	case reset:
		return errReset
	case notConnected:
		return errNoConn
	case late:
		return errLate
	case garbled:
		return errMalformed
	case unpooled:
		return errPool
	case none, cancelled:
	}
	return nil
}

// An attempt is one request for which a call of a service, the load or a health
// check waits.
type attempt struct {
	// call is the call that sent it. If call is -1, job of the load did; if job is
	// -1, too, the health check check-1 did.
	call, job, check int32
	// id is that of the request.
	id     string
	number int
	// from and to are replicas; from is -1 for the load.
	from, to int32
	// served is the request at the server, if its generation is servedGen; -1 if
	// there is none.
	served    int32
	servedGen uint32
	timer     des.Timer
	connected bool
	fresh     bool
	// woke says that the processors were idle when the load sent this request, or the
	// request from which it follows.
	woke     bool
	synTries int
	// incarnation is that of the callee when the connection was made.
	incarnation int
	failure     failure
	response    response
	// breaks is the timer at which a fault breaks the connection, breaksAs what the
	// client then sees.
	breaks   des.Timer
	breaksAs failure
	hop      *hop
	// began is when it was sent.
	began time.Duration
	trace *trace
	// storing is the additional state of a call of a data store.
	storing storing
}

// makeCall begins a call of a branch.
func (w *world) makeCall(strand int32, op *behave.Op) {
	s := w.strands.at(strand)
	sv := w.servings.at(s.serving)
	service := w.serviceAt(sv.replica)
	i, c := w.callings.take()
	c.strand, c.op, c.under, c.waits = strand, op, c.under[:0], false
	s.call = i
	if op.Call != nil {
		c.counts = service.calls[op.Call.Site]
	} else if to, ok := w.designated(op.Route.Designation); ok {
		c.counts = w.calleeOf(service, to)
	} else {
		w.callRouteFails(i)
		return
	}
	w.stepCall(i, c.machine.Begin(s.branch, op, w.now()))
}

// designated returns the service that a chain designates. It must not be a data
// store.
func (w *world) designated(name string) (int32, bool) {
	i := w.index(name)
	if i < 0 {
		i = w.index(chain.ServiceName(name))
	}
	return i, i >= 0 && !w.exp.System.Services[i].Kind.IsStore()
}

// callRouteFails ends a call to a designation that leads nowhere.
func (w *world) callRouteFails(i int32) {
	c := w.callings.at(i)
	strand := c.strand
	w.strands.at(strand).call = -1
	w.callings.release(i)
	w.next(strand, exec.Event{Kind: exec.Called, Class: outcome.ConnectionError, Err: fmt.Errorf("designation %q is not a service of system %q", c.op.Route.Designation, w.exp.System.Name)})
}

// stepCall carries out an action of a call's machine.
func (w *world) stepCall(i int32, a exec.Action) {
	c := w.callings.at(i)
	for {
		switch a.Kind {
		case exec.End:
			w.endCall(i)
			return
		case exec.Send:
			if a.For > 0 {
				w.k.Cancel(c.timer)
				c.timer = w.k.After(a.For, event{callTimer, i, w.callings.gens[i]})
			} else if c.machine.Hedged() {
				w.k.Cancel(c.timer)
			}
			e, sent := w.attempt(i, a.Number)
			if sent {
				return
			}
			a = c.machine.Next(e)
		case exec.Coalesce:
			if !w.coalesce(i, a.Until) {
				return
			}
			a = c.machine.Next(exec.Event{Kind: exec.Done, Now: w.now(), Gone: w.goneCall(c)})
		case exec.Pause:
			w.k.Cancel(c.timer)
			c.timer = w.sleep(w.servings.at(w.strands.at(c.strand).serving), a.For, event{callTimer, i, w.callings.gens[i]})
			return
		case exec.BreakOff:
			w.k.Cancel(c.timer)
			n := len(c.under)
			if n == 0 {
				return
			}
			last := c.under[n-1]
			c.under = c.under[:n-1]
			e := exec.Event{Kind: exec.Answered, Class: outcome.Cancelled, Now: w.now(), Gone: w.goneCall(c)}
			att := w.attempts.at(last)
			w.traceAttempt(c, att.number, att.began, &e, 0)
			w.cancel(last)
			c.counts.attempts[classIndex(outcome.Cancelled)]++
			a = c.machine.Next(e)
			if a.Kind == exec.Await && len(c.under) > 0 {
				a.Kind = exec.BreakOff // the others, too
			}
		default: // Await, Wait
			return
		}
	}
}

func (w *world) goneCall(c *calling) bool {
	return w.gone(w.servings.at(w.strands.at(c.strand).serving))
}

// endCall counts a call that has ended, and tells the branch.
func (w *world) endCall(i int32) {
	c := w.callings.at(i)
	w.k.Cancel(c.timer)
	e := c.machine.Called()
	if c.machine.Leads() {
		w.tellOthers(i, e)
	}
	c.counts.outcomes[classIndex(e.Class)]++
	c.counts.latency.Add(c.machine.Took(), 1)
	sv := w.servings.at(w.strands.at(c.strand).serving)
	switch {
	case e.Shared: // another request made the call
	case c.machine.Sent() == 0:
		w.note(sv, span.NotSent, c.counts.name, string(e.Class))
	case e.Class == outcome.BreakerOpen:
		w.note(sv, span.Opened, c.counts.name, "")
	}
	if e.Class == outcome.BreakerOpen && c.counts.opened == 0 {
		c.counts.opened = w.now()
	}
	if e.Fallback != nil && !w.goneCall(c) {
		c.counts.fallbacks++
		w.note(sv, span.FellBack, c.counts.name, string(e.Fallback.Kind))
	}
	if e.Class == outcome.OK && e.Degraded > 0 {
		c.counts.degraded++
	}
	strand := c.strand
	s := w.strands.at(strand)
	s.call = -1
	w.callings.release(i)
	w.next(strand, e)
}

// attempt sends the n-th request of a call. If it sends nothing, it returns how the
// attempt ended.
func (w *world) attempt(i int32, n int) (e exec.Event, sent bool) {
	c := w.callings.at(i)
	s := w.strands.at(c.strand)
	sv := w.servings.at(s.serving)
	op, service := c.op, w.serviceAt(sv.replica)
	callee := w.services[c.counts.service]
	choice := callee.ready
	path, replicas := topology.DefaultPath, len(choice)
	m := message{method: "POST", path: path, left: exec.Never, inside: true, authorized: sv.message.authorized}
	if op.Call != nil {
		path = op.Call.Path
		m.method, m.path, m.bytes = op.Call.Method, path, op.Call.RequestBytes
		m.endpoint = service.targets[op.Call.Site]
	} else {
		choice = callee.replicas
		replicas = min(len(choice), 1) // the chain names one replica
		m.chain, m.chainKey = op.Route, sv.message.chainKey
		m.bytes = 200
	}
	at := c.machine.Attempt(n, callee.name, path, replicas)
	if at.Err != nil {
		if at.Fault > 0 {
			sv.faults.hit(at.Fault)
		}
		c.counts.attempts[classIndex(outcome.ConnectionError)]++
		e := exec.Event{Kind: exec.Answered, Class: outcome.ConnectionError, Err: at.Err, Now: w.now(), Gone: w.gone(sv)}
		w.traceAttempt(c, n, w.now(), &e, at.Fault)
		return e, false
	}
	number := at.Replica
	if op.Route != nil {
		number = m.chainKey.replica(callee.name, op.Route.Designation, len(choice))
	} else if len(op.Call.Names) > 0 {
		m.path = sv.machine.Values().FillPath(path, func(s string) string { return s })
	}
	if at.Told != exec.Never {
		if left := time.Duration(exec.MillisLeft(at.Told-w.now())) * time.Millisecond; left < exec.MaxLeft {
			m.left = left
		}
	}
	if m.endpoint == nil {
		m.endpoint, _ = callee.plan.Endpoint(m.method, m.path)
	}
	ai, att := w.attempts.take()
	*att = attempt{call: i, job: -1, number: n, from: sv.replica, to: choice[number], served: -1, woke: sv.woke, began: w.now(), trace: sv.trace}
	c.under = append(c.under, ai)
	h := w.hops.below(sv.hop, op.Index, n)
	if op.Call != nil && op.Call.ToStore() {
		att.hop, att.id = h, sv.identity.ID
		w.callStore(ai, at.Until)
		return e, true
	}
	who := behave.Request{ID: sv.identity.ID, Hop: h.text, From: service.name}
	w.launch(ai, m, who, h, at.Until)
	return e, true
}

// launch sends an attempt on its way, and sets its timeout.
func (w *world) launch(i int32, m message, who behave.Request, h *hop, until time.Duration) {
	att := w.attempts.at(i)
	gen := w.attempts.gens[i]
	att.hop, att.id = h, who.ID
	if until != exec.Never {
		att.timer = w.k.InOrder(w.deadlines, until, event{timedOut, i, gen})
	}
	r := w.replicas[att.to]
	switch {
	case att.check > 0:
		att.fresh = true
	case att.from >= 0:
		att.fresh = !w.takeConn(att.from, att.to)
	default:
		att.fresh = !w.clients.takeConn(att)
		att.woke = w.waker.idle(w.now())
		w.wakeUp()
	}
	att.incarnation = r.incarnation
	if att.fresh {
		if r.state != up || w.faults.refuses(w, att) {
			att.failure = refused
			w.k.After(2*w.machine.Latency, event{answered, i, gen})
			return
		}
	} else {
		att.connected = true
	}
	sv := w.send(i, att, m, who, h)
	att.served, att.servedGen = sv, w.servings.gens[sv]
	if att.fresh && r.accept != nil {
		w.k.In(w.latency, event{reachAccept, sv, att.servedGen})
		return
	}
	delay := time.Duration(0)
	if att.fresh {
		att.connected = true
		delay = 2 * w.machine.Latency
	}
	w.requestSent(sv, w.now()+delay)
}

// requestSent sends the bytes of a request at a moment.
func (w *world) requestSent(i int32, at time.Duration) {
	sv := w.servings.at(i)
	gen := w.servings.gens[i]
	if len(w.faults.paths) > 0 && !(w.waits(sv) && w.attempts.at(sv.attempt).check > 0) {
		w.faults.request(w, i, at)
		return
	}
	if sv.bound { // the server waits for the data already
		w.k.At(at, event{arrive, i, gen})
		return
	}
	if at == w.now() {
		w.k.In(w.latency, event{arrive, i, gen})
		return
	}
	w.k.At(at+w.machine.Latency, event{arrive, i, gen})
}

// answerSent sends the bytes of an answer.
func (w *world) answerSent(i int32, gen uint32, bytes int64) {
	if len(w.faults.paths) > 0 && w.attempts.at(i).check == 0 {
		w.faults.answer(w, i, gen, bytes)
		return
	}
	if wait := w.waitOf(w.attempts.at(i)); wait > 0 {
		w.k.After(w.machine.Latency+wait, event{answered, i, gen})
		return
	}
	w.k.In(w.latency, event{answered, i, gen})
}

// waitOf returns the time until the sender of an attempt goes on with its answer.
func (w *world) waitOf(att *attempt) time.Duration {
	switch {
	case att.check > 0:
		return 0
	case att.from >= 0 && att.woke:
		return w.machine.CallWait + w.machine.IdleCallWait
	case att.from >= 0:
		return w.machine.CallWait
	case att.woke:
		return w.machine.RequestWait + w.machine.IdleWait
	}
	return w.machine.RequestWait
}

// timedOut ends an attempt at its timeout.
func (w *world) timedOut(e event) {
	if !w.attempts.is(e.a, e.gen) {
		return
	}
	att := w.attempts.at(e.a)
	if att.from >= 0 && w.parks(att.from, e) {
		return
	}
	att.failure = late
	if !att.connected {
		att.failure = notConnected
	}
	w.abandon(e.a)
	w.settle(e.a)
}

// answered ends an attempt: its answer has come, or its connection has ended.
func (w *world) answered(e event) {
	if !w.attempts.is(e.a, e.gen) {
		return
	}
	if att := w.attempts.at(e.a); att.from < 0 || !w.parks(att.from, e) {
		w.settle(e.a)
	}
}

// breakConn ends an attempt whose connection a fault breaks.
func (w *world) breakConn(e event) {
	if w.attempts.is(e.a, e.gen) {
		att := w.attempts.at(e.a)
		att.failure = att.breaksAs
		w.abandon(e.a)
		w.settle(e.a)
	}
}

// abandon tells the server that its client has left.
func (w *world) abandon(i int32) {
	att := w.attempts.at(i)
	if att.served < 0 || !w.servings.is(att.served, att.servedGen) {
		return
	}
	sv := w.servings.at(att.served)
	sv.left = true
	if w.stops(sv) || sv.faults.hangs() || sv.message.chain != nil {
		w.k.In(w.latency, event{clientLeft, att.served, att.servedGen})
	}
}

// cancel ends an attempt early.
func (w *world) cancel(i int32) {
	w.abandon(i)
	w.freeAttempt(i)
}

func (w *world) freeAttempt(i int32) {
	att := w.attempts.at(i)
	if att.storing.active {
		w.endOperation(att, false)
	}
	w.k.Cancel(att.timer)
	w.k.Cancel(att.breaks)
	att.response, att.hop, att.trace = response{}, nil, nil
	w.attempts.release(i)
}

// settle tells the sender of an attempt how it ended.
func (w *world) settle(i int32) {
	att := w.attempts.at(i)
	if att.check > 0 {
		w.checkAnswered(i)
		return
	}
	switch {
	case att.storing.active:
		if !w.settleOperation(i) {
			return
		}
	case att.failure == none:
		w.keep(att)
	}
	if att.call < 0 {
		w.clients.ended(i)
		return
	}
	c := w.callings.at(att.call)
	var e exec.Event
	switch {
	case c.op.Route != nil:
		e = w.outcomeOfRoute(att, c.op)
	case att.storing.active:
		e = w.outcomeOfStore(att)
	default:
		e = w.outcomeOf(att, c.op)
	}
	if d := att.response.document; d != nil && e.Class == outcome.OK {
		sv := w.servings.at(w.strands.at(c.strand).serving)
		sv.below = append(sv.below, routeDocument{c.op.Index, d})
	}
	for u := range c.under {
		if c.under[u] == i {
			c.under = append(c.under[:u], c.under[u+1:]...)
			break
		}
	}
	call := att.call
	w.traceAttempt(c, att.number, att.began, &e, 0)
	w.freeAttempt(i)
	c.counts.attempts[classIndex(e.Class)]++
	e.Gone = e.Class != outcome.OK && w.goneCall(c)
	w.stepCall(call, c.machine.Next(e))
}

// keep puts the connection of an answered attempt back into its pool.
func (w *world) keep(att *attempt) {
	if att.from >= 0 {
		w.keepConn(att.from, att.to, att.incarnation)
		return
	}
	w.clients.keepConn(att)
}

// outcomeOfRoute returns how an attempt of a chain's route ended. The caller
// repeats the error that it was told.
func (w *world) outcomeOfRoute(att *attempt, op *behave.Op) exec.Event {
	e := w.outcomeOf(att, op)
	switch reason := att.response.reason; {
	case e.Class == outcome.HTTPError && reason != "":
		e.Err = fmt.Errorf("%w: %s", e.Err, reason)
	case e.Class != outcome.OK && e.Class != outcome.HTTPError && e.Class != outcome.Malformed:
		e.Err = fmt.Errorf("%s: %w", e.Class, e.Err)
	}
	return e
}

// outcomeOf returns how an attempt of a call ended, as its caller sees it.
func (w *world) outcomeOf(att *attempt, op *behave.Op) exec.Event {
	e := exec.Event{Kind: exec.Answered, Now: w.now()}
	res := &att.response
	switch {
	case att.failure != none:
		e.Class, e.Err = att.failure.class(), att.failure.err()
		return e
	case res.corrupt && res.json:
		e.Class, e.Err = outcome.Malformed, errMalformed
		return e
	}
	e.Status, e.Class, e.Degraded = res.status, outcome.OfStatus(res.status), res.degraded
	if e.Class == outcome.HTTPError {
		e.Err, e.RetryAfter = errorStatus(res.status), res.retryAfter
	}
	if op.Call != nil && (op.Call.Kept || op.Call.Policy.Fallback != nil) {
		e.Body = res.body()
	}
	return e
}

// callTimer handles the end of a pause, or the time for a hedge.
func (w *world) callTimer(e event) {
	if !w.callings.is(e.a, e.gen) {
		return
	}
	c := w.callings.at(e.a)
	if w.parks(w.servings.at(w.strands.at(c.strand).serving).replica, e) {
		return
	}
	next := exec.Event{Kind: exec.Done, Now: w.now(), Gone: w.goneCall(c)}
	if c.waits {
		c.waits = false
		next.Kind, next.Class, next.Err = exec.Told, outcome.Timeout, exec.ErrNotTold
	}
	w.stepCall(e.a, c.machine.Next(next))
}

// leaveCall interrupts a call because the client of the request is gone.
func (w *world) leaveCall(i int32) {
	c := w.callings.at(i)
	w.stepCall(i, c.machine.Next(exec.Event{Kind: exec.Left, Now: w.now()}))
}

// dropCall ends a call because its process ends.
func (w *world) dropCall(i int32) {
	c := w.callings.at(i)
	w.k.Cancel(c.timer)
	for _, a := range c.under {
		w.cancel(a)
	}
	c.under = c.under[:0]
	if c.machine.Leads() {
		w.tellOthers(i, exec.Event{Class: outcome.Cancelled, Err: exec.ErrNotSent})
	}
	w.callings.release(i)
}

// A chainKey is the key by which replicas for the services of a chain are chosen:
// that of the arrival that sends the chain.
type chainKey dist.Key

// replica draws by the name under which the load finds the service.
func (k chainKey) replica(service, designation string, n int) int {
	name := service
	if designation == service {
		name = designation
	}
	if n <= 1 {
		return 0
	}
	return dist.Key(k).With(name).IntN(n)
}
