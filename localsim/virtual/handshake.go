package virtual

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/exec"
)

// If workers are bound to connections, connections wait in the accept queue, which
// this file models as Linux keeps it (net/ipv4/tcp_input.c, tcp_minisocks.c). A
// first packet that finds the queue full is dropped, and sent again. One that finds
// room is answered, so its client takes itself for connected; but only the next
// packet decides whether the connection is accepted. Repeated first packets come in
// batches, because timers of the kernel fire together: all of them find the same
// room, and most are too many. A connection that is too many is half open: its
// request is lost, and sent again with growing pauses, while the server answers the
// first packet again.

const (
	// dataWait is the wait before a lost request is sent again for the first time (a
	// tail loss probe), lostWait before the second time; then it doubles.
	dataWait, lostWait = 200 * time.Millisecond, 620 * time.Millisecond
	// answerWait is the wait before the server answers a first packet again; then
	// it doubles.
	answerWait = time.Second
	// maxAnswers is tcp_synack_retries.
	maxAnswers = 5
	// jiffy is the tick of a kernel with 250 Hz.
	jiffy = 4 * time.Millisecond
)

// synWait returns how long a client waits after the n-th packet that opens a
// connection before it sends another: one second five times, then doubling (Linux
// since 6.5, tcp_syn_linear_timeouts).
func synWait(n int) time.Duration {
	if n <= 5 {
		return time.Second
	}
	return time.Second << min(n-5, 6)
}

// fires returns when a timer of the kernel fires. The longer the timer runs, the
// coarser is the wheel on which it waits (kernel/time/timer.c).
func fires(now, wait time.Duration) time.Duration {
	grain := jiffy
	for level := 63 * jiffy; wait >= level && grain < jiffy<<24; level <<= 3 {
		grain <<= 3
	}
	return (now + wait + grain - 1).Truncate(grain)
}

// reachAccept handles a connection that reaches the accept queue of a service whose
// workers are bound to connections.
func (w *world) reachAccept(e event) {
	sv, att, r := w.opening(e)
	if sv == nil {
		return
	}
	if r.accept.Full() {
		// The server drops the packet, and the client sends it again.
		w.refuse(w.services[r.service])
		att.synTries++
		w.k.At(fires(w.now(), synWait(att.synTries)), event{reachAccept, e.a, e.gen})
		return
	}
	att.connected = true
	sv.dataAt = w.now() + 2*w.machine.Latency
	if att.synTries > 0 {
		sv.state = halfOpen
		w.k.At(sv.dataAt, event{dataAgain, e.a, e.gen})
		return
	}
	w.letIn(e.a)
}

// opening returns a connection that is being made, with its attempt and its server,
// or nil if it is over.
func (w *world) opening(e event) (*serving, *attempt, *replica) {
	if !w.servings.is(e.a, e.gen) {
		return nil, nil, nil
	}
	sv := w.servings.at(e.a)
	if sv.state != onTheWay && sv.state != halfOpen { // another packet has opened it
		return nil, nil, nil
	}
	r := w.replicas[sv.replica]
	if !w.waits(sv) { // the client has given up before it was connected
		w.forgetOpening(e.a)
		return nil, nil, nil
	}
	att := w.attempts.at(sv.attempt)
	if r.state != up || att.connected && att.incarnation != r.incarnation {
		att.failure = refused
		if att.connected {
			att.failure = broken
		}
		w.k.In(w.latency, event{answered, sv.attempt, sv.gen})
		w.forgetOpening(e.a)
		return nil, nil, nil
	}
	if r.paused && r.accept.Free() > 0 {
		// The process is paused, so the connection waits in the kernel.
		r.parked = append(r.parked, e)
		att.connected = true
		return nil, nil, nil
	}
	return sv, att, r
}

// letIn puts a connection into the accept queue, which must have room.
func (w *world) letIn(i int32) {
	sv := w.servings.at(i)
	r := w.replicas[sv.replica]
	w.forgetAnswers(sv)
	entry, worker, _ := r.accept.Enter(i)
	if entry == exec.Working {
		w.accept(i, worker)
		return
	}
	sv.state = queued
}

// dataAgain handles the request on a connection that may be half open. It comes
// with the acknowledgement by which the server accepts the connection if there is
// room.
func (w *world) dataAgain(e event) {
	sv, _, r := w.opening(e)
	if sv == nil {
		return
	}
	if !r.accept.Full() {
		sv.dataAt = w.now()
		w.letIn(e.a)
		return
	}
	w.refuse(w.services[r.service])
	if sv.dataTries == 0 && r.remembered < r.backlog {
		// Beyond the backlog the server answers with a SYN cookie, and remembers
		// nothing.
		sv.remembered = true
		r.remembered++
		w.k.At(fires(w.now(), answerWait), event{answerAgain, e.a, e.gen})
	}
	wait := dataWait
	if sv.dataTries > 0 {
		wait = lostWait << min(sv.dataTries-1, 9)
	}
	sv.dataTries++
	sv.dataAt = fires(w.now(), wait)
	w.k.At(sv.dataAt, event{dataAgain, e.a, e.gen})
}

// answerAgain handles the moment at which a server answers a first packet again.
// The client's acknowledgement opens the connection, without a request, if there is
// room now; its worker then waits until the request is sent again.
func (w *world) answerAgain(e event) {
	sv, _, r := w.opening(e)
	if sv == nil || !sv.remembered {
		return
	}
	if !r.accept.Full() {
		w.letIn(e.a)
		return
	}
	w.refuse(w.services[r.service])
	if sv.answers++; sv.answers >= maxAnswers {
		w.forgetAnswers(sv)
		return
	}
	w.k.At(fires(w.now(), answerWait<<sv.answers), event{answerAgain, e.a, e.gen})
}

// forgetAnswers removes a connection from those whose first packet the server
// remembers.
func (w *world) forgetAnswers(sv *serving) {
	if sv.remembered {
		sv.remembered = false
		w.replicas[sv.replica].remembered--
	}
}

// forgetOpening forgets a connection that was not made.
func (w *world) forgetOpening(i int32) {
	w.forgetAnswers(w.servings.at(i))
	w.freeServing(i)
}

// accept gives a connection its worker. The worker reads the request when it comes,
// unless the worker's patience ends before.
func (w *world) accept(i int32, worker int) {
	sv := w.servings.at(i)
	sv.state, sv.bound, sv.worker = accepted, true, worker
	at := max(sv.dataAt, w.now())
	if patience := w.replicas[sv.replica].patience; patience > 0 && at-w.now() > patience {
		w.k.After(patience, event{headerOver, i, w.servings.gens[i]})
		return
	}
	w.requestSent(i, at)
}

// headerOver closes a connection whose request has not come in time.
func (w *world) headerOver(e event) {
	if !w.servings.is(e.a, e.gen) || w.parks(w.servings.at(e.a).replica, e) {
		return
	}
	w.closeOnClient(w.servings.at(e.a))
	w.discard(e.a)
}
