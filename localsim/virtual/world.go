package virtual

import (
	"fmt"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A kind says what happens at an event. In parentheses is the record of which the
// event's a is the index.
type kind uint8

const (
	// reachAccept: the first packet of a connection reaches the accept queue of
	// its server (serving).
	reachAccept kind = iota + 1
	// dataAgain: a request is sent on a connection that may be half open (serving).
	dataAgain
	// answerAgain: a server answers the first packet of a half-open connection
	// again (serving).
	answerAgain
	// headerOver: a worker has waited long enough for a request (serving).
	headerOver
	// arrive: a request reaches its server (serving).
	arrive
	// beginWork: a request has had its processor time and is worked on (serving).
	beginWork
	// clientLeft: the client of a request has left (serving).
	clientLeft
	// queueOver: a request may not wait any longer for a worker (serving).
	queueOver
	// stepDone: an action of a branch is done (strand).
	stepDone
	// callTimer: the pause before a retry, or the time until a hedge, is over
	// (calling).
	callTimer
	// answered: the answer reaches the caller, or the end of the connection
	// (attempt).
	answered
	// timedOut: the caller waits no longer (attempt).
	timedOut
	// breakConn: a fault breaks the connection (attempt).
	breakConn
	// cpuDone: the first job of a group of the processors ends (group).
	cpuDone
	// leakOver: a leak ends (leak).
	leakOver
	// replicaStep: a replica goes on with its start or end (replica).
	replicaStep
	// faultStep: a fault comes or goes (step of the plan).
	faultStep
	// nextArrival: the next arrival of an open loop is due.
	nextArrival
	// userTurn: a user sends, or looks whether to go (user).
	userTurn
	// usersChange: the number of users changes.
	usersChange
	// phaseOver: a phase ends.
	phaseOver
	// secondOver: a second ends.
	secondOver
	// checkTick: a health check is due (check).
	checkTick
	// checkOver: a health check has got no answer in time (check).
	checkOver
	// tailOver: the watching after the load ends.
	tailOver
	// poolOver: an operation may not wait any longer for a connection (attempt).
	poolOver
	// reachAgain: a driver looks again whether its data store answers (attempt).
	reachAgain
	// operationStep: a data store goes on with an operation (serving).
	operationStep
	// callTold: another request has made a call (calling).
	callTold
	// sleepDue: a sleep is over, and nobody has noticed (strand).
	sleepDue
	// pauseDue: the same of the pause before a retry (calling).
	pauseDue
)

func (k kind) String() string {
	return [...]string{"", "connect", "half-open request", "half-open answer", "header over", "arrive", "begin", "client left", "wait over", "step", "call timer", "answer", "timeout", "broken connection", "processor",
		"leak", "replica", "fault", "arrival", "user", "users", "phase", "second", "health check", "health check over", "tail", "pool", "operation", "shared call", "sleep", "pause"}[k]
}

// An event happens to the record a of its kind. It does nothing if the record has
// got another generation since.
type event struct {
	kind kind
	a    int32
	gen  uint32
}

// A world is a system under load in virtual time.
type world struct {
	k       *des.Kernel[event]
	exp     *experiment.Experiment
	machine Machine
	limits  Limits

	services []*service
	byName   map[string]int32
	replicas []*replica
	cpu      *des.Processors
	cpuTimer []des.Timer
	// threads are those of each group that do work in turns; tickets counts the places
	// in their lines.
	threads []*des.Servers[place]
	tickets uint64
	// groups has the replica of each group of processors; -1 stands for the group
	// of all replicas without a limit.
	groups []int32
	disk   des.Line
	// ioStress counts the faults that keep the disk busy.
	ioStress int

	servings  pool[serving]
	strands   pool[strand]
	callings  pool[calling]
	attempts  pool[attempt]
	leaks     pool[leak]
	checks    []*healthCheck
	pools     map[poolKey]*connPool
	waker     waker
	deadlines des.Lane
	latency   des.Lane
	hops      hopTree
	linkKey   dist.Key
	lateKey   dist.Key
	tracer    *tracer // nil if no spans are made
	logger    *logger // nil if no lines are logged
	// jsonBodies says which texts of the file are JSON.
	jsonBodies map[*behave.Endpoint]bool

	// record explains why requests failed.
	record  *record
	clients clients
	faults  faultBoard
	// replicasChanged asks for a look at the states of replicas.
	replicasChanged bool
	// err stops the run.
	err error

	// instant counts the events since time last passed.
	instant   int
	instantAt time.Duration
}

// A service is a service of the file, with the counts of all its replicas.
type service struct {
	index    int32
	name     string
	plan     *behave.Service
	topology topology.Service
	replicas []int32
	// requestCPU is the processor time of a request without its work, callCPU that of
	// a call at its caller, and startTime the start of a process. oneProcessor says
	// that a replica uses at most one processor, takesTurns that its work takes turns.
	requestCPU, callCPU, startTime time.Duration
	oneProcessor, takesTurns       bool
	// ready are the replicas from which callers choose.
	ready []int32
	// calls are the callees of the sites of the plan, targets the endpoints that
	// answer them, if those do not depend on the request.
	calls   []*callee
	targets []*behave.Endpoint
	// callees also has the callees of chains, by service; -1 means outside the
	// system.
	callees map[int32]*callee
	counts  serviceCounts
	// store has the settings of a data store.
	store topology.Store
	// present counts the requests in the service, areaSum is its integral over
	// time, lived the sum of the times of those that have left: Little's law.
	present        int
	areaSum, lived float64
	areaAt         time.Duration
}

// now is the virtual time since the load began.
func (w *world) now() time.Duration { return w.k.Now() }

func newWorld(e *experiment.Experiment, o *Options) (*world, error) {
	w := &world{
		k: des.New[event](), exp: e, machine: o.Machine.WithDefaults(), limits: o.Limits.WithDefaults(),
		byName: map[string]int32{}, pools: map[poolKey]*connPool{}, jsonBodies: map[*behave.Endpoint]bool{}, linkKey: dist.Seed(e.Seed).With("link"), lateKey: dist.Seed(e.Seed).With("late"),
		tracer: newTracer(e.Seed, o), logger: newLogger(e.System.Name, e.Seed, o),
	}
	w.cpu, w.waker = des.NewProcessors(w.machine.Cores), newWaker(&w.machine)
	w.addGroup(0, -1)
	w.deadlines, w.latency = w.k.Lane(0), w.k.Lane(w.machine.Latency)
	w.hops.root = &hop{}
	for i := range e.System.Services {
		w.byName[e.System.Services[i].Name] = int32(i)
	}
	for i := range e.System.Services {
		if err := w.addService(int32(i), &e.System.Services[i]); err != nil {
			return nil, err
		}
	}
	for _, s := range w.services {
		for _, call := range s.plan.Sites {
			to := w.index(call.To)
			s.calls = append(s.calls, w.calleeOf(s, to))
			var target *behave.Endpoint
			if to >= 0 && len(call.Names) == 0 {
				target, _ = w.services[to].plan.Endpoint(call.Method, call.Path)
			}
			s.targets = append(s.targets, target)
		}
		for _, name := range s.topology.Calls() {
			w.calleeOf(s, w.index(name))
		}
		s.startFallbacks()
	}
	return w, nil
}

// index returns the index of a service, or -1 if there is no service of the name.
func (w *world) index(name string) int32 {
	if i, ok := w.byName[name]; ok {
		return i
	}
	return -1
}

func (w *world) addService(i int32, t *topology.Service) error {
	if err := checkStore(w.exp.System.Name, t); err != nil {
		return err
	}
	if !t.ObeysContract() {
		return fmt.Errorf("playing system %q: how long the program of service %q takes is not known in virtual time; leave %s out and describe its work, or run the system for real", w.exp.System.Name, t.Name, t.Badge())
	}
	s := &service{index: i, name: t.Name, callees: map[int32]*callee{}, requestCPU: w.machine.RequestCPU, startTime: w.machine.StartTime, takesTurns: true}
	if r, ok := t.Foreign(); ok {
		costs, measured := w.machine.Runtimes[r.Name]
		if !measured {
			return fmt.Errorf("playing system %q: what requests cost in runtime %s of service %q is not known in virtual time; measure it with `kubectl microsim calibrate --runtime %s`, use --on local, or leave runtime out", w.exp.System.Name, r.Name, t.Name, r.Name)
		}
		s.requestCPU, s.callCPU, s.startTime, s.oneProcessor = costs.Request, costs.Call, costs.Start, r.OneProcessor
		s.takesTurns = false
	}
	if t.Kind.IsStore() {
		s.store = t.StoreSettings()
	}
	s.topology = behave.BindTo(t, func(name string) *topology.Service {
		if j := w.index(name); j >= 0 {
			return &w.exp.System.Services[j]
		}
		return nil
	})
	s.plan = behave.New(w.exp.Seed, &s.topology)
	w.services = append(w.services, s)
	for n := range t.Replicas {
		w.addReplica(s, n+1)
	}
	s.ready = s.replicas
	return nil
}

func (w *world) addGroup(quota float64, replica int32) int32 {
	g := w.cpu.Group(quota)
	w.cpuTimer, w.groups = append(w.cpuTimer, des.Timer{}), append(w.groups, replica)
	if quota == 0 {
		quota = w.machine.Cores
	}
	w.threads = append(w.threads, newThreads(quota, w.machine.Cores))
	return int32(g)
}

// handle handles an event.
func (w *world) handle(e event) {
	switch e.kind {
	case reachAccept:
		w.reachAccept(e)
	case dataAgain:
		w.dataAgain(e)
	case answerAgain:
		w.answerAgain(e)
	case headerOver:
		w.headerOver(e)
	case arrive:
		w.arrive(e)
		w.noticed()
	case beginWork:
		w.beginWork(e)
	case clientLeft:
		w.clientLeft(e)
	case queueOver:
		w.queueOver(e)
	case stepDone:
		w.stepDone(e)
		w.noticed()
	case callTimer:
		w.callTimer(e)
		w.noticed()
	case sleepDue, pauseDue:
		w.sleepDue(e)
	case callTold:
		w.callTold(e)
	case answered:
		w.answered(e)
		w.noticed()
	case timedOut:
		w.timedOut(e)
	case breakConn:
		w.breakConn(e)
	case cpuDone:
		w.cpuDone(e)
	case leakOver:
		w.leakOver(e)
	case replicaStep:
		w.replicaStep(e)
	case checkTick:
		w.checkTick(e)
	case checkOver:
		w.checkOver(e)
	case poolOver:
		w.poolOver(e)
	case reachAgain:
		w.reachedAgain(e)
	case operationStep:
		w.operationStep(e)
	default:
		w.handleOutside(e)
	}
	w.retime()
}

// handleOutside handles events that come from outside the system.
func (w *world) handleOutside(e event) {
	switch e.kind {
	case nextArrival:
		w.clients.arrival(e)
		w.noticed()
	case userTurn:
		w.clients.turn(e)
		w.noticed()
	case usersChange:
		w.clients.changeUsers(e)
	case phaseOver:
		w.clients.phaseOver(e)
	default: // events of the run itself
	}
}

// retime sets the events of groups of the processors that have changed.
func (w *world) retime() {
	for _, g := range w.cpu.Changed() {
		w.k.Cancel(w.cpuTimer[g])
		w.cpuTimer[g] = w.k.At(w.cpu.Next(int(g)), event{kind: cpuDone, a: g})
	}
}

func (w *world) cpuDone(e event) {
	strand := w.cpu.Pop(int(e.a), w.now())
	if strand == wakers {
		return
	}
	if strand >= 0 {
		s := w.strands.at(strand)
		w.serviceAt(w.servings.at(s.serving).replica).counts.cpu += s.work
		s.onCPU = false
		if !s.inTurn || !w.turnOver(strand) {
			w.finishStep(strand)
		}
		return
	}
	sv := w.servings.at(-1 - strand)
	sv.onCPU = false
	if w.replicas[sv.replica].store != nil {
		w.beginOperation(-1 - strand)
		return
	}
	w.begin(-1 - strand)
}

func (w *world) serviceAt(replica int32) *service { return w.services[w.replicas[replica].service] }

// A pool is a slab of reusable records. Each use has a generation, which is odd
// while the record is in use.
type pool[T any] struct {
	list []*T
	gens []uint32
	free []int32
}

// take returns a free record, with the contents of its last use.
func (p *pool[T]) take() (int32, *T) {
	if n := len(p.free); n > 0 {
		i := p.free[n-1]
		p.free = p.free[:n-1]
		p.gens[i]++
		return i, p.list[i]
	}
	p.list, p.gens = append(p.list, new(T)), append(p.gens, 1)
	return int32(len(p.list) - 1), p.list[len(p.list)-1]
}

func (p *pool[T]) release(i int32) {
	p.gens[i]++
	p.free = append(p.free, i)
}

func (p *pool[T]) at(i int32) *T { return p.list[i] }

// is reports whether a record is still in the use of a generation.
func (p *pool[T]) is(i int32, gen uint32) bool { return p.gens[i] == gen }

func (p *pool[T]) live(i int32) bool { return p.gens[i]&1 == 1 }

func (p *pool[T]) used() int { return len(p.list) - len(p.free) }

// A hop is a place in the tree of calls. All requests share its text.
type hop struct {
	text string
	kids []*hop
	keys []uint32
}

// A hopTree has the hops that have occurred, up to a bound.
type hopTree struct {
	root *hop
	n    int
}

const maxHops = 1 << 20

// below returns the hop of the n-th attempt of the call with an index.
func (t *hopTree) below(parent *hop, index, n int) *hop {
	key := uint32(index)<<5 | uint32(n)
	for i, k := range parent.keys {
		if k == key {
			return parent.kids[i]
		}
	}
	h := &hop{text: behave.AttemptHop(behave.Hop(parent.text, index), n)}
	if t.n < maxHops {
		t.n++
		parent.keys, parent.kids = append(parent.keys, key), append(parent.kids, h)
	}
	return h
}
