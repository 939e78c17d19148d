package virtual

import (
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// servingState is how far a request is at its server.
type servingState uint8

const (
	// onTheWay: the request has not reached the server.
	onTheWay servingState = iota
	// halfOpen: the client takes itself for connected, but the server had no room
	// for the connection.
	halfOpen
	// queued: the connection is in the accept queue.
	queued
	// accepted: the connection has a worker, or needs none.
	accepted
	// entering: the request waits for a worker inside the service.
	entering
	// working: the request is being worked on.
	working
)

// A serving is one request from its sending until its server has finished it. It
// outlives its attempt if the client leaves.
type serving struct {
	live     bool
	state    servingState
	replica  int32
	machine  exec.Request
	identity exec.Identity
	message  message
	faults   *snapshot
	root     int32 // strand
	start    time.Duration
	// dataAt is when the request can be read or, on a half-open connection, when it
	// is sent again.
	dataAt time.Duration
	// dataTries and answers count packets of a half-open connection: requests of
	// its client, and answers of a server that remembers its first packet.
	dataTries, answers int
	remembered         bool
	// attempt is the attempt that waits for the answer, if its generation is still
	// gen.
	attempt int32
	gen     uint32
	// left says that the client has left.
	left  bool
	onCPU bool
	// fresh says that the connection was opened for this request, woke that the
	// processors were idle before it.
	fresh  bool
	woke   bool
	worker int
	// bound says that the connection holds a worker.
	bound bool
	timer des.Timer
	hop   *hop
	// present says that the request counts as in the service.
	present bool
	// below has the answers of a chain's routes in which a hop did not end well.
	below []routeDocument
	// held is the memory that the request holds.
	held int64
	// operation is the operation of a data store.
	operation store.Running
	// told says that the store wakes it when something changes.
	told bool
	// sleeps counts its sleeps, because each draws its own lateness.
	sleeps int
	// trace is nil if no spans are made; events are the events of the request's
	// span.
	trace  *trace
	events []span.Event
}

// A message is the content of a request.
type message struct {
	endpoint *behave.Endpoint
	// path is the path of the request line, if the endpoint uses it.
	method, path string
	body         []byte
	bytes        int64
	// headers are the headers that the load sets, in lower case.
	headers map[string]bool
	// inside says that a service sends the request, authorized that it has the
	// header Authorization.
	inside, authorized bool
	chain              *chain.Chain
	chainKey           chainKey
	// operation is the operation of a data store, on an item; valueBytes is the
	// length of a written value.
	operation  topology.Operation
	item       int
	valueBytes int64
	// consumer is the replica that sends an operation to a data store.
	consumer int32
	// left is the time that the caller says is left, as of the moment of sending.
	// It does not shrink while the request waits to be accepted.
	left time.Duration
}

// has reports whether a request has a header: one that the load sets, or one that
// services pass on or add.
func (m *message) has(header string) bool {
	is := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(header, name) })
	}
	switch {
	case is(control.RequestIDHeader) || m.headers[strings.ToLower(header)]:
		return true
	case is(control.AuthorizationHeader):
		return m.authorized
	case !m.inside:
		return is("Content-Type") && m.chain != nil
	case is("Content-Type"):
		return m.bytes > 0
	case is(control.DeadlineHeader):
		return m.left != exec.Never
	}
	return is(control.TraceHeader, control.HopHeader, control.FromHeader)
}

// send sends a request, and returns its serving.
func (w *world) send(a int32, att *attempt, m message, who behave.Request, h *hop) int32 {
	i, sv := w.servings.take()
	sv.live, sv.state, sv.replica, sv.message = true, onTheWay, att.to, m
	sv.identity = exec.Identity{Request: who, Path: m.path, Body: m.body, Chain: m.chain}
	sv.attempt, sv.gen, sv.left, sv.onCPU, sv.bound, sv.worker, sv.present = a, w.attempts.gens[a], false, false, false, 0, false
	sv.root, sv.hop, sv.fresh, sv.woke, sv.held, sv.sleeps, sv.below = -1, h, att.fresh, att.woke, 0, 0, sv.below[:0]
	sv.dataAt, sv.dataTries, sv.answers, sv.remembered = 0, 0, 0, false
	if sv.trace = att.trace; sv.trace != nil {
		sv.trace.open++
	}
	if w.servings.used() > w.limits.Requests {
		w.tooMany()
	}
	return i
}

// freeServing forgets a request.
func (w *world) freeServing(i int32) {
	sv := w.servings.at(i)
	sv.live, sv.faults = false, nil
	sv.message = message{}
	sv.identity = exec.Identity{}
	w.tracer.leave(sv.trace)
	sv.trace, sv.events = nil, sv.events[:0]
	w.servings.release(i)
}

// waits reports whether an attempt still waits for the answer.
func (w *world) waits(sv *serving) bool { return w.attempts.is(sv.attempt, sv.gen) }

// arrive handles a request that can be read.
func (w *world) arrive(e event) {
	if !w.servings.is(e.a, e.gen) {
		return
	}
	sv := w.servings.at(e.a)
	r := w.replicas[sv.replica]
	if w.parks(sv.replica, e) {
		return
	}
	if r.state != up && !(r.state == ending && sv.bound) || r.store != nil && w.waits(sv) && w.attempts.at(sv.attempt).storing.epoch != r.store.epoch {
		w.closeOnClient(sv)
		w.freeServing(e.a)
		return
	}
	r.inFlight++
	sv.start, sv.present = w.now(), true
	w.come(w.services[r.service])
	sv.state = working
	sv.faults = r.faults
	cost := w.services[r.service].requestCPU
	if sv.fresh {
		cost += w.machine.ConnectionCPU
	}
	w.services[r.service].counts.cpu += cost
	sv.onCPU = true
	w.cpu.Add(int(r.group), w.now(), cost, -1-e.a)
}

// beginWork handles the event that begins a request.
func (w *world) beginWork(e event) {
	if w.servings.is(e.a, e.gen) {
		w.begin(e.a)
	}
}

// begin starts the machine of a request.
func (w *world) begin(i int32) {
	sv := w.servings.at(i)
	r := w.replicas[sv.replica]
	m := &sv.message
	sv.identity.Left = m.left
	if m.endpoint != nil && m.endpoint.Require != "" {
		sv.identity.HasRequired = m.has(m.endpoint.Require)
	}
	if m.endpoint == nil && m.chain == nil {
		w.finish(i) // finish answers 404 or 405
		return
	}
	a := sv.machine.Begin(r.machine, exec.Arrival{Endpoint: m.endpoint, Chain: m.chain != nil, Faults: sv.faults.faultSet(), Left: m.left, Worker: sv.worker}, sv.start)
	if a.Kind == exec.Enter {
		w.enter(i, a.Until)
		return
	}
	w.identified(i, a)
}

// identified goes on with a request that has a worker.
func (w *world) identified(i int32, a exec.Action) {
	sv := w.servings.at(i)
	if a.Kind == exec.Identify {
		a = sv.machine.Identify(&sv.identity, w.now())
	}
	s, st := w.strands.take()
	st.reset(i, sv.machine.Root(), -1)
	sv.root = s
	if sv.left && w.stops(sv) {
		// The client left before the work began.
		if a.Kind != exec.End {
			w.run(s, a)
			if w.servings.at(i).live && w.servings.at(i).root == s {
				w.leave(s)
			}
			return
		}
	}
	w.run(s, a)
}

// stops reports whether the service breaks off requests whose clients have left.
func (w *world) stops(sv *serving) bool { return w.replicas[sv.replica].machine.StopsAbandoned }

// enter makes a request wait for a worker inside the service.
func (w *world) enter(i int32, until time.Duration) {
	sv := w.servings.at(i)
	r := w.replicas[sv.replica]
	entry, worker, oldest := r.inside.Enter(i)
	switch entry {
	case exec.Working:
		w.identified(i, sv.machine.Next(exec.Event{Kind: exec.Admitted, Worker: worker, Now: w.now()}))
		return
	case exec.Refused:
		w.turnAway(i)
		return
	case exec.WaitingForOldest:
		w.uncount(oldest)
		w.turnAway(oldest)
	case exec.Waiting:
	}
	sv.state = entering
	r.inFlight--
	if until != exec.Never {
		sv.timer = w.k.At(until, event{queueOver, i, w.servings.gens[i]})
	}
	if sv.left && w.stops(sv) {
		w.quit(i)
	}
}

// uncount removes a request from the count of those that wait.
func (w *world) uncount(i int32) {
	sv := w.servings.at(i)
	w.k.Cancel(sv.timer)
	sv.state = working
	w.replicas[sv.replica].inFlight++
}

// turnAway answers a request that gets no worker.
func (w *world) turnAway(i int32) {
	sv := w.servings.at(i)
	w.refuse(w.serviceAt(sv.replica))
	a := sv.machine.Next(exec.Event{Kind: exec.TurnedAway, Now: w.now()})
	s, st := w.strands.take()
	st.reset(i, sv.machine.Root(), -1)
	sv.root = s
	w.run(s, a)
}

// quit removes a request from the queue, and turns it away.
func (w *world) quit(i int32) {
	r := w.replicas[w.servings.at(i).replica]
	if r.inside.Quit(i) {
		w.uncount(i)
		w.turnAway(i)
	}
}

func (w *world) queueOver(e event) {
	if w.servings.is(e.a, e.gen) && w.servings.at(e.a).state == entering && !w.parks(w.servings.at(e.a).replica, e) {
		w.quit(e.a)
	}
}

// clientLeft tells a server that the client is gone.
func (w *world) clientLeft(e event) {
	if !w.servings.is(e.a, e.gen) {
		return
	}
	sv := w.servings.at(e.a)
	if w.parks(sv.replica, e) {
		return
	}
	switch sv.state {
	case entering:
		if w.stops(sv) {
			w.quit(e.a)
		}
	case working:
		switch {
		case sv.root < 0:
		case w.stops(sv):
			w.leave(sv.root)
		default:
			w.leaveHanging(sv.root)
		}
	case onTheWay, halfOpen, queued, accepted:
	}
}

// A response is the answer of a server.
type response struct {
	// status 0 closes the connection without an answer.
	status  int
	bytes   int64
	corrupt bool
	// json says that the body is JSON, unless it is damaged.
	json bool
	// text is the body made for this request, template the body of the file.
	text     []byte
	template string
	// reason is the error in the body, if another answer or an example may repeat
	// it.
	reason string
	// degraded is how many parts of a good answer are missing or replaced.
	degraded int
	// retryAfter is how long the caller is asked to wait.
	retryAfter time.Duration
	// document is the answer to a chain, if a hop of it did not end well.
	document *chain.Response
}

// finish answers a request whose machine has ended.
func (w *world) finish(i int32) {
	sv := w.servings.at(i)
	r := w.replicas[sv.replica]
	s := w.services[r.service]
	res := w.respond(sv)
	s.counts.count(&res, w.now()-sv.start)
	w.traceServed(sv, &res)
	w.logServed(sv, &res)
	w.leaves(s, sv)
	worker, queued := sv.machine.Release()
	r.inFlight--
	r.held -= sv.held
	if w.waits(sv) {
		att := w.attempts.at(sv.attempt)
		att.response, att.served = res, -1
		if res.status == 0 {
			att.failure = broken
		}
		w.answerSent(sv.attempt, sv.gen, res.bytes)
	}
	bound, number, replica := sv.bound, sv.worker, sv.replica
	w.freeServing(i)
	if queued && r.inside != nil {
		if next, ok := r.inside.Leave(worker); ok {
			w.admit(next, worker)
		}
	}
	if bound && r.accept != nil {
		w.releaseWorker(replica, number)
	}
	w.ended(replica)
}

// admit gives a worker to a request that waits inside the service.
func (w *world) admit(i int32, worker int) {
	w.uncount(i)
	sv := w.servings.at(i)
	w.identified(i, sv.machine.Next(exec.Event{Kind: exec.Admitted, Worker: worker, Now: w.now()}))
}

// releaseWorker closes a connection, and gives its worker to the next.
func (w *world) releaseWorker(replica int32, worker int) {
	if next, ok := w.replicas[replica].accept.Leave(worker); ok {
		w.accept(next, worker)
	}
}

// closeOnClient breaks the connection of a request.
func (w *world) closeOnClient(sv *serving) {
	if w.waits(sv) {
		att := w.attempts.at(sv.attempt)
		att.failure, att.served = broken, -1
		w.k.In(w.latency, event{answered, sv.attempt, sv.gen})
	}
}

// dropServing ends a request because its process ends.
func (w *world) dropServing(i int32) {
	sv := w.servings.at(i)
	r := w.replicas[sv.replica]
	if sv.onCPU {
		w.cpu.Remove(int(r.group), w.now(), -1-i)
	}
	w.k.Cancel(sv.timer)
	if sv.root >= 0 {
		w.dropStrand(sv.root)
	}
	w.closeOnClient(sv)
	if sv.present {
		w.leaves(w.services[r.service], sv)
		sv.machine.Release()
	}
	w.freeServing(i)
}
