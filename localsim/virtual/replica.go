package virtual

import (
	"log/slog"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
)

// A state says whether a replica takes requests.
type state uint8

const (
	up state = iota
	// ending accepts no more connections, and finishes the requests under way.
	ending
	down
	starting
)

// A replica is one copy of a service.
type replica struct {
	service int32
	// number counts from 1.
	number  int
	machine *exec.Replica
	// group is the group of processors that the replica uses; own says that no
	// other replica uses it.
	group int32
	// inside is the queue of requests in the service, accept the accept queue of
	// connections; nil if the service has no such queue.
	inside, accept *exec.Queue[int32]

	state  state
	paused bool
	// unready says that the readiness check of the process has failed; replaced
	// that the process is restarted at once when it has ended.
	unready, replaced bool
	// checks are its health checks.
	checks []int32
	// incarnation counts the starts; connections to an earlier one are gone.
	incarnation int
	timer       des.Timer
	restarts    int
	since       time.Duration
	// detected is when the supervisor noticed that the replica is not ready;
	// unnoticed if it is ready, or the supervisor has not noticed.
	detected time.Duration
	backoff  backoff

	// remembered is the number of half-open connections whose first packet the
	// server answers again, of at most backlog; patience is how long a worker waits
	// for the header of a request.
	remembered, backlog int
	patience            time.Duration

	inFlight int
	held     int64
	limit    int64
	// parked are the events that happen when the paused process goes on.
	parked []event
	// frozen are the jobs of a paused process.
	frozen []frozenJob
	faults *snapshot
	// flights are the calls under way that requests share.
	flights exec.Flights[handle]
	// store is the model of a data store; nil for a service.
	store *dataStore
	// idle are the kept connections to other replicas.
	idle map[int32][]idleConn
}

// A frozenJob has left to do on a processor. If it takes turns, it had a place in the line,
// and the strand has the ticket if it still waits.
type frozenJob struct {
	id            int32
	left          time.Duration
	place, ticket uint64
}

// An idleConn is a kept connection.
type idleConn struct {
	incarnation int
	since       time.Duration
}

// unnoticed is the value of replica.detected before the supervisor notices.
const unnoticed time.Duration = -1

// notice notes that the supervisor has noticed that the replica is not ready.
func (r *replica) notice(now time.Duration) {
	if r.detected == unnoticed {
		r.detected = now
	}
}

// Idle connections are kept as by the services' client (internal/http1).
const (
	maxIdle  = 256
	idleTime = 30 * time.Second
)

func (w *world) addReplica(s *service, number int) {
	t := &s.topology
	r := &replica{service: s.index, number: number, detected: unnoticed, idle: map[int32][]idleConn{}}
	quota := 0.0
	if t.Resources != nil {
		r.limit = int64(t.Resources.MemoryLimit)
		quota = float64(t.Resources.CPULimit)
	}
	if s.oneProcessor && (quota == 0 || quota > 1) {
		quota = 1
	}
	if quota > 0 {
		r.group = w.addGroup(quota, int32(len(w.replicas)))
	}
	i := int32(len(w.replicas))
	s.replicas = append(s.replicas, i)
	w.replicas = append(w.replicas, r)
	w.startMachine(s, r)
	w.addChecks(i, t)
}

// ready reports whether the supervisor takes a replica for ready. It learns of a
// clean end only when the process has ended.
func (r *replica) ready() bool {
	return (r.state == up || r.state == ending) && !r.paused && !r.unready
}

// startMachine gives a replica the state of a process that has just started.
func (w *world) startMachine(s *service, r *replica) {
	t := &s.topology
	if s.topology.Kind.IsStore() {
		unbound := *t
		unbound.Workers, t = 0, &unbound // a store's model has the workers of the store
	}
	r.machine = exec.NewReplica(s.plan, t, int64(chain.Limits{}.WithDefaults().Leak))
	r.inside, r.accept, r.flights = nil, nil, exec.Flights[handle]{}
	workers := r.machine.Workers
	switch {
	case workers.Inside:
		r.inside = exec.NewQueue[int32](workers.Count, workers.Shed)
	case workers.AtAccept() > 0:
		rules := workers.AcceptQueue(w.machine.AcceptQueue)
		r.accept, r.backlog = exec.NewQueue[int32](workers.AtAccept(), rules), rules.Queue-1
	}
	r.held, r.inFlight, r.patience = int64(t.Memory), 0, workers.HeaderPatience()
	r.incarnation++
	w.startStore(s, r)
}

// waiting returns how many requests, or connections, wait for a worker.
func (r *replica) waiting() int {
	switch {
	case r.inside != nil:
		return r.inside.Len()
	case r.accept != nil:
		return r.accept.Len()
	}
	return 0
}

// hold adds to the memory of a replica. A replica over its limit is killed, as by
// the kernel.
func (w *world) hold(i int32, size int64) {
	r := w.replicas[i]
	r.held += size
	if r.limit > 0 && r.held > r.limit {
		w.record.noteOverMemory(i, w.now())
		w.kill(i, false)
	}
}

// kill ends a replica at once. It is restarted at once if replace is set, and
// otherwise after a back-off that grows with each short life.
func (w *world) kill(i int32, replace bool) {
	r := w.replicas[i]
	if r.state == down {
		return
	}
	lived := w.now() - r.since
	if r.state == starting {
		lived = 0
	}
	w.stopChecks(i)
	if r.unready {
		r.unready = false
		w.readinessChanged(r)
	}
	w.dropParked(r)
	w.dropAll(i)
	r.paused, r.parked, r.frozen = false, nil, nil
	r.state, r.since, r.held = down, w.now(), 0
	w.log(r, slog.LevelWarn, "replica down")
	r.notice(w.now())
	w.leaveGroups(i)
	w.k.Cancel(r.timer)
	var wait time.Duration
	if !replace {
		wait = r.backoff.next(lived)
	}
	r.timer = w.k.After(wait, event{replicaStep, i, 0})
	w.replicasChanged = true
}

// end takes a replica down cleanly: it accepts no more connections, and has its
// grace for the requests under way. If replace is set, it is restarted at once
// afterwards.
func (w *world) end(i int32, replace bool) {
	r := w.replicas[i]
	if r.state != up {
		return
	}
	w.stopChecks(i)
	r.state, r.replaced = ending, replace
	r.incarnation++
	if r.inFlight == 0 && r.waiting() == 0 {
		w.kill(i, replace)
		return
	}
	r.timer = w.k.After(w.machine.Grace, event{replicaStep, i, 0})
}

// replicaStep goes on with the start or the end of a replica.
func (w *world) replicaStep(e event) {
	r := w.replicas[e.a]
	switch r.state {
	case ending: // the grace is over
		w.kill(e.a, r.replaced)
	case down:
		r.state, r.since = starting, w.now()
		r.restarts++
		r.timer = w.k.After(w.services[w.replicas[e.a].service].startTime, event{replicaStep, e.a, 0})
	case starting:
		w.startMachine(w.services[r.service], r)
		r.state, r.since, r.detected = up, w.now(), unnoticed
		w.log(r, slog.LevelInfo, "replica ready again")
		w.replicasChanged = true
		w.startChecks(e.a)
		if w.faults.pauses(e.a) {
			w.pause(e.a)
		}
	case up:
	}
}

// ended finishes the end of a replica if it has no request left.
func (w *world) ended(i int32) {
	if r := w.replicas[i]; r.state == ending && r.inFlight == 0 && r.waiting() == 0 {
		w.kill(i, r.replaced)
	}
}

// dropParked closes the connections that wait for a paused process.
func (w *world) dropParked(r *replica) {
	for _, e := range r.parked {
		if !w.servings.is(e.a, e.gen) {
			continue
		}
		if sv := w.servings.at(e.a); (e.kind == reachAccept || e.kind == dataAgain || e.kind == arrive) && (sv.state == onTheWay || sv.state == halfOpen) {
			w.closeOnClient(sv)
			w.forgetOpening(e.a)
		}
	}
}

// dropAll ends all requests of a process, and the calls that they made. Their
// clients see the connection closed.
func (w *world) dropAll(i int32) {
	for s := range w.servings.list {
		sv := w.servings.list[s]
		if sv.live && sv.replica == i && sv.state != onTheWay && sv.state != halfOpen {
			w.dropServing(int32(s))
		}
	}
	r := w.replicas[i]
	clear(r.idle)
	if r.store != nil {
		r.store.epoch++
	}
}

// pause freezes a process with all its work.
func (w *world) pause(i int32) {
	r := w.replicas[i]
	if r.paused || r.state != up {
		return
	}
	r.paused, r.since = true, w.now()
	w.replicasChanged = true
	for s := range w.servings.list {
		sv := w.servings.list[s]
		if !sv.live || sv.replica != i {
			continue
		}
		if sv.onCPU {
			w.freeze(r, -1-int32(s))
		}
	}
	for s := range w.strands.list {
		st := w.strands.list[s]
		switch {
		case !st.live || w.servings.at(st.serving).replica != i:
		case st.ticket > 0:
			w.freezeTurns(r, int32(s))
		case st.onCPU:
			w.freeze(r, int32(s))
		}
	}
}

func (w *world) freeze(r *replica, id int32) {
	if left, ok := w.cpu.Remove(int(r.group), w.now(), id); ok {
		r.frozen = append(r.frozen, frozenJob{id: id, left: left})
	}
}

// resume lets a process go on.
func (w *world) resume(i int32) {
	r := w.replicas[i]
	if !r.paused {
		return
	}
	r.paused, r.since = false, w.now()
	if !r.unready { // otherwise it becomes ready when its check succeeds
		r.detected = unnoticed
	}
	w.replicasChanged = true
	w.thaw(r)
	parked := r.parked
	r.parked = nil
	for _, e := range parked {
		w.k.After(0, e)
	}
	w.answerChecks(i)
}

// parks reports whether a replica is paused. If so, it postpones the event until
// the replica goes on.
func (w *world) parks(replica int32, e event) bool {
	r := w.replicas[replica]
	if r.paused {
		r.parked = append(r.parked, e)
	}
	return r.paused
}

// A backoff decides how long to wait before a replica is restarted, by the rules of
// localsim/supervise.
type backoff struct{ failed int }

const (
	firstBackoff, longestBackoff = 100 * time.Millisecond, 10 * time.Second
	healthy                      = 10 * time.Second
)

func (b *backoff) next(lived time.Duration) time.Duration {
	if lived >= healthy {
		b.failed = 0
	}
	wait := longestBackoff
	if b.failed < 7 {
		wait = min(firstBackoff<<b.failed, longestBackoff)
	}
	b.failed++
	return wait
}

// takeConn takes an idle connection to another replica, if one is still open.
func (w *world) takeConn(from, to int32) bool {
	r := w.replicas[from]
	list := r.idle[to]
	for n := len(list); n > 0; n = len(list) {
		c := list[n-1]
		list = list[:n-1]
		r.idle[to] = list
		if c.incarnation == w.replicas[to].incarnation && w.now()-c.since <= idleTime {
			return true
		}
	}
	return false
}

// keepConn keeps a connection for its next use.
func (w *world) keepConn(from, to int32, incarnation int) {
	r, callee := w.replicas[from], w.replicas[to]
	if !callee.machine.Workers.KeepAlive() || callee.incarnation != incarnation || len(r.idle[to]) >= maxIdle {
		return
	}
	r.idle[to] = append(r.idle[to], idleConn{incarnation, w.now()})
}
