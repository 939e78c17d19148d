package virtual

import (
	"log/slog"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A healthCheck is a probe of a replica, made as localsim/supervise makes it: a
// tick each period begins a check. A tick that comes during a check begins the next
// check right after it.
type healthCheck struct {
	topology.Probe
	replica  int32
	liveness bool
	// round counts the lives of the process, so that events of an earlier life do
	// nothing.
	round uint32
	// underWay says that a check is under way, which began at begun. attempt is its
	// request, if it sends one. due says that a tick has come meanwhile.
	underWay, due bool
	begun         time.Duration
	attempt       int32
	timer         des.Timer
	// sent counts the requests of checks.
	sent int
	// failed and succeeded count checks in a row; since is when the first of the
	// failed ones began.
	failed, succeeded int
	since             time.Duration
}

// addChecks adds the probes of a replica that can fail. A probe without a path asks
// the control port, which fails only during a pause, and a pause counts only for
// readiness.
func (w *world) addChecks(i int32, t *topology.Service) {
	r := w.replicas[i]
	for _, c := range []healthCheck{{Probe: t.ReadinessProbe()}, {Probe: t.LivenessProbe(), liveness: true}} {
		if c.liveness && c.Path == "" {
			continue
		}
		c.replica, c.attempt = i, -1
		r.checks = append(r.checks, int32(len(w.checks)))
		w.checks = append(w.checks, &c)
	}
	w.startChecks(i)
}

// startChecks begins the checks of a process that has become ready.
func (w *world) startChecks(i int32) {
	for _, k := range w.replicas[i].checks {
		c := w.checks[k]
		c.round++
		c.failed, c.succeeded = 0, 0
		w.k.After(c.Period.Std(), event{checkTick, k, c.round})
	}
}

// stopChecks ends the checks of a process that ends.
func (w *world) stopChecks(i int32) {
	for _, k := range w.replicas[i].checks {
		c := w.checks[k]
		c.round++
		w.k.Cancel(c.timer)
		if c.attempt >= 0 {
			w.cancel(c.attempt)
		}
		c.underWay, c.due, c.attempt = false, false, -1
	}
}

// checkTick handles the tick of a check.
func (w *world) checkTick(e event) {
	c := w.checks[e.a]
	if c.round != e.gen {
		return
	}
	w.k.After(c.Period.Std(), e)
	if c.underWay {
		c.due = true
		return
	}
	w.beginCheck(e.a)
}

// beginCheck begins a check. A paused process accepts its connection, and answers
// when it goes on.
func (w *world) beginCheck(k int32) {
	c := w.checks[k]
	c.underWay, c.due, c.begun = true, false, w.now()
	switch {
	case c.Path != "":
		w.sendCheck(k)
	case w.replicas[c.replica].paused:
		c.timer = w.k.After(c.Timeout.Std(), event{checkOver, k, c.round})
	default:
		w.endCheck(k, true)
	}
}

// sendCheck sends the request of a check over a new connection, because a kept one
// would hide that new ones are refused. No fault on the way acts on it.
func (w *world) sendCheck(k int32) {
	c := w.checks[k]
	i, att := w.attempts.take()
	*att = attempt{call: -1, job: -1, check: k + 1, number: 1, from: -1, to: c.replica, served: -1}
	c.attempt = i
	s := w.serviceAt(c.replica)
	c.sent++
	id := load.RequestID(w.linkKey.With("check").With(s.name).WithInt(int(k)).WithInt(c.sent))
	att.trace = w.tracer.begin(id)
	m := message{method: "GET", path: c.Path, left: exec.Never}
	m.endpoint, _ = s.plan.Endpoint(m.method, m.path)
	w.launch(i, m, behave.Request{ID: id}, w.hops.root, w.now()+c.Timeout.Std())
}

// checkAnswered handles the answer to a check: any status from 200 to 399 is good.
func (w *world) checkAnswered(i int32) {
	att := w.attempts.at(i)
	k := att.check - 1
	good := att.failure == none && att.response.status >= 200 && att.response.status < 400
	w.checks[k].attempt = -1
	w.freeAttempt(i)
	w.endCheck(k, good)
}

// checkOver handles the timeout of a check.
func (w *world) checkOver(e event) {
	if c := w.checks[e.a]; c.round == e.gen && c.underWay {
		w.endCheck(e.a, false)
	}
}

// answerChecks answers, when a paused process goes on, the checks that wait for it.
func (w *world) answerChecks(i int32) {
	for _, k := range w.replicas[i].checks {
		if c := w.checks[k]; c.underWay && c.Path == "" {
			w.endCheck(k, true)
		}
	}
}

// endCheck counts a check. If a threshold is reached, it changes the readiness of
// the replica or restarts it.
func (w *world) endCheck(k int32, good bool) {
	c := w.checks[k]
	w.k.Cancel(c.timer)
	c.underWay = false
	switch {
	case good:
		c.failed, c.succeeded = 0, c.succeeded+1
	case c.failed == 0:
		c.failed, c.succeeded, c.since = 1, 0, c.begun
	default:
		c.failed++
	}
	r := w.replicas[c.replica]
	switch {
	case c.liveness && r.paused:
		// A fault holds the process; a new one would be paused as well.
		c.failed, c.succeeded = 0, 0
	case c.liveness && c.failed >= c.FailureThreshold:
		w.restartHung(c)
		return
	case c.liveness:
	case c.failed == c.FailureThreshold:
		w.becomeUnready(r, c.since)
	case c.succeeded >= c.SuccessThreshold && r.unready:
		w.becomeHealthy(r)
	}
	if c.due {
		w.beginCheck(k)
	}
}

// becomeUnready notes that the readiness of a replica has failed since a moment, so
// that callers do not choose it.
func (w *world) becomeUnready(r *replica, since time.Duration) {
	if r.unready {
		return
	}
	r.unready = true
	r.notice(w.now())
	w.log(r, slog.LevelWarn, "replica unready")
	if !r.paused {
		r.since = since
	}
	w.readinessChanged(r)
}

// becomeHealthy makes a replica ready that was not.
func (w *world) becomeHealthy(r *replica) {
	r.unready = false
	w.log(r, slog.LevelInfo, "replica ready again")
	if !r.paused {
		r.since, r.detected = w.now(), unnoticed
	}
	w.readinessChanged(r)
}

// restartHung ends a process that does not answer, and restarts it.
func (w *world) restartHung(c *healthCheck) {
	r := w.replicas[c.replica]
	if r.state != up {
		return
	}
	r.notice(w.now())
	w.log(r, slog.LevelWarn, "replica hung")
	w.end(c.replica, false)
}

// readinessChanged updates the replicas from which callers of a service choose:
// those that checks find ready, or all if there are none.
func (w *world) readinessChanged(r *replica) {
	w.replicasChanged = true
	s := w.services[r.service]
	s.ready = s.ready[:0:0]
	for _, i := range s.replicas {
		if !w.replicas[i].unready {
			s.ready = append(s.ready, i)
		}
	}
	if len(s.ready) == 0 {
		s.ready = s.replicas
	}
}
