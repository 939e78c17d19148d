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
	// ending takes no more connections, and finishes what it has.
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
	// group is that of the processors, and own says that it is the replica's.
	group int32
	// inside lets requests wait in the service, accept connections in the queue of
	// the system; nil if they never wait there.
	inside, accept *exec.Queue[int32]

	state  state
	paused bool
	// unready says that the readiness check of the process has failed; replaced
	// that one which ends is started again at once.
	unready, replaced bool
	// checks are its health checks.
	checks []int32
	// incarnation counts the starts; connections to an earlier one are gone.
	incarnation int
	timer       des.Timer
	restarts    int
	since       time.Duration
	// detected is when the supervisor noticed that the replica is not ready; none if
	// it is ready, or nobody has noticed.
	detected time.Duration
	backoff  backoff

	// remembered is how many half-open connections the system answers again, out of
	// a backlog; patience is how long a worker waits for the header of a request.
	remembered, backlog int
	patience            time.Duration

	inFlight int
	held     int64
	limit    int64
	// parked is what happens when a paused process goes on.
	parked []event
	// frozen are the jobs of a paused process.
	frozen []frozenJob
	faults *snapshot
	// flights are the calls under way that requests share.
	flights exec.Flights[handle]
	// store is the model of a data store; nil for a service.
	store *dataStore
	// idle are the connections to other replicas that wait for their next use.
	idle map[int32][]idleConn
}

type frozenJob struct {
	id   int32
	left time.Duration
}

// An idleConn is a kept connection.
type idleConn struct {
	incarnation int
	since       time.Duration
}

// unnoticed is the moment of what nobody has noticed.
const unnoticed time.Duration = -1

// notice notes that the supervisor knows that a replica is not ready.
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

// ready reports whether a replica takes requests, as far as anybody knows: one
// that ends in order is not known to be down before it has ended.
func (r *replica) ready() bool {
	return (r.state == up || r.state == ending) && !r.paused && !r.unready
}

// startMachine gives a replica the state of a process that has just started.
func (w *world) startMachine(s *service, r *replica) {
	t := &s.topology
	if s.topology.Kind.IsStore() {
		unbound := *t
		unbound.Workers, t = 0, &unbound // the workers of a store are those of its model
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

// waiting is how many requests, or connections, wait for a worker.
func (r *replica) waiting() int {
	switch {
	case r.inside != nil:
		return r.inside.Len()
	case r.accept != nil:
		return r.accept.Len()
	}
	return 0
}

// hold adds to the memory of a replica. One over its limit is killed, as by the
// system.
func (w *world) hold(i int32, size int64) {
	r := w.replicas[i]
	r.held += size
	if r.limit > 0 && r.held > r.limit {
		w.record.noteOverMemory(i, w.now())
		w.kill(i, false)
	}
}

// kill ends a replica at once. It is started again, after a while that grows with
// each time that it did not live long, unless it was to be replaced.
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

// end takes a replica down in order: it takes no more connections, and has its
// grace for the requests under way. One that is replaced is started again at once.
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

// ended looks whether a replica that ends has nothing left to do.
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

// dropAll ends all that a process does: its requests, and the calls they made.
// Their clients see the connection closed.
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

// pause freezes a process: nothing that it does goes on.
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
		if st.live && st.onCPU && w.servings.at(st.serving).replica == i {
			w.freeze(r, int32(s))
		}
	}
}

func (w *world) freeze(r *replica, id int32) {
	if left, ok := w.cpu.Remove(int(r.group), w.now(), id); ok {
		r.frozen = append(r.frozen, frozenJob{id, left})
	}
}

// resume lets a process go on.
func (w *world) resume(i int32) {
	r := w.replicas[i]
	if !r.paused {
		return
	}
	r.paused, r.since = false, w.now()
	if !r.unready { // otherwise it is ready when its check says so
		r.detected = unnoticed
	}
	w.replicasChanged = true
	for _, j := range r.frozen {
		w.cpu.Add(int(r.group), w.now(), j.left, j.id)
	}
	parked := r.parked
	r.frozen, r.parked = nil, nil
	for _, e := range parked {
		w.k.After(0, e)
	}
	w.answerChecks(i)
}

// parks puts an event off that is for a paused process.
func (w *world) parks(replica int32, e event) bool {
	r := w.replicas[replica]
	if r.paused {
		r.parked = append(r.parked, e)
	}
	return r.paused
}

// A backoff decides how long to wait before a replica is started again, as that
// of localsim/supervise does.
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

// takeConn takes an idle connection to another replica, if there is one that is
// still open.
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

// keepConn puts a connection back.
func (w *world) keepConn(from, to int32, incarnation int) {
	r, callee := w.replicas[from], w.replicas[to]
	if !callee.machine.Workers.KeepAlive() || callee.incarnation != incarnation || len(r.idle[to]) >= maxIdle {
		return
	}
	r.idle[to] = append(r.idle[to], idleConn{incarnation, w.now()})
}
