package virtual

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// clients is the load generator in virtual time. It sends the same requests as
// workload/loadgen.
type clients struct {
	w       *world
	profile load.Profile
	sources []source
	mix     *load.Mix
	report  *measure.Load
	observe func(measure.Outcome)
	// over is called when all phases have ended and all answers have come.
	over func()

	// The phase under way.
	index      int
	start, end time.Duration
	key        dist.Key
	pacer      *load.Pacer
	timer      des.Timer
	due        time.Duration
	number     int
	// sending is false once all phases have ended, or were cut short.
	sending bool
	spans   []time.Duration

	// Open loops.
	workers []sender
	idle    []int32
	// Closed loops.
	users  []user
	wanted int
	begun  int
	round  uint32 // counts phases, so that turns of an earlier phase do nothing

	jobs     pool[job]
	inFlight int
	// offered counts the requests that were to be sent, settled those that have
	// ended.
	offered, settled int64
}

// A sender has connections of its own.
type sender struct{ kept []keptConn }

type keptConn struct {
	replica     int32
	incarnation int
}

const maxKept = 16

// A user of a closed loop.
type user struct {
	sender
	present  bool
	thinking bool
	next     int
	first    time.Duration
	due      time.Duration
	round    uint32
}

// A job is one request of the load.
type job struct {
	phase, request, number int
	intended, sentAt       time.Duration
	arrival                dist.Key
	worker, user           int32 // -1 if it belongs to none
	message                message
	who                    behave.Request
	trace                  *trace
	places                 []int32
	at                     int
	until                  time.Duration
}

// A source makes the requests of one entry of the load's mix.
type source struct {
	spec    *load.Request
	service *service
	chain   *chain.Chain
	message message
	// ownID is the id that the file gives all requests; anonymous requests have no
	// id.
	ownID string
}

func newClients(w *world, profile load.Profile) (clients, error) {
	c := clients{w: w, profile: profile, mix: load.NewMix(profile.Requests), report: measure.NewLoad(len(profile.Phases), len(profile.Requests)), spans: make([]time.Duration, len(profile.Phases))}
	for i := range profile.Requests {
		s, err := c.source(&profile.Requests[i])
		if err != nil {
			return c, fmt.Errorf("preparing request %q: %w", profile.Requests[i].Name, err)
		}
		c.sources = append(c.sources, s)
	}
	if len(c.sources) == 0 {
		return c, errors.New("checking the load: there is nothing to send: name a request, or a system with services")
	}
	return c, nil
}

func (c *clients) source(r *load.Request) (source, error) {
	s := source{spec: r}
	headers := map[string]bool{}
	for name, value := range r.Headers {
		headers[strings.ToLower(name)] = true
		if strings.EqualFold(name, control.RequestIDHeader) {
			s.ownID = value
		}
	}
	s.message = message{headers: headers, authorized: headers[strings.ToLower(control.AuthorizationHeader)], left: exec.Never, body: []byte(r.Body), bytes: int64(len(r.Body))}
	if r.BodySize > 0 {
		s.message.bytes = int64(r.BodySize)
	}
	switch {
	case r.URL != "":
		return s, fmt.Errorf("%s is outside the system, of which nothing is known in virtual time: name a service", r.URL)
	case r.Chain != "":
		var err error
		if s.chain, err = chain.Parse([]byte(r.Chain), chain.Limits{}); err != nil {
			return s, err
		}
		for _, name := range s.chain.Designations() {
			if chain.IsURL(name) {
				return s, fmt.Errorf("the chain designates %s, which is outside the system, of which nothing is known in virtual time: name a service", name)
			}
		}
		i, ok := c.w.designated(s.chain.Designation)
		if !ok || len(c.w.services[i].replicas) == 0 {
			return s, fmt.Errorf("the chain designates %q, which is not a ready service of the system", s.chain.Designation)
		}
		s.service, s.message.bytes = c.w.services[i], 200
		return s, nil
	}
	i := c.w.index(r.Service)
	if i < 0 || len(c.w.services[i].replicas) == 0 {
		return s, fmt.Errorf("service %q has no replica", r.Service)
	}
	s.service = c.w.services[i]
	m := &s.message
	m.method, m.path = r.Method, r.Endpoint
	where, _, _ := strings.Cut(m.path, "?")
	if e := c.w.exp.System.Services[i].Endpoint(m.method, where); e != nil {
		if m.method == "" {
			m.method = e.Method
		}
		if where == "" {
			where = e.Path
		}
	}
	if where == "" {
		where = topology.DefaultPath
	}
	if m.method == "" {
		m.method = "GET"
		if r.Body != "" || r.BodySize > 0 {
			m.method = "POST"
		}
	}
	m.path = where
	m.endpoint, _ = s.service.plan.Endpoint(m.method, where)
	return s, nil
}

// begin starts the first phase.
func (c *clients) begin() {
	c.sending, c.index = true, -1
	c.nextPhase()
}

// nextPhase ends the phase under way, and begins the next.
func (c *clients) nextPhase() {
	now := c.w.now()
	c.w.k.Cancel(c.timer)
	if c.index >= 0 {
		c.endPhase()
	}
	c.index++
	c.round++
	if c.index == len(c.profile.Phases) {
		c.sending = false
		c.check()
		return
	}
	phase := &c.profile.Phases[c.index]
	c.report.Begin(now, phase.Duration.Std())
	c.start, c.end, c.key = now, exec.Never, load.PhaseKey(c.w.exp.Seed, c.index)
	if phase.Duration > 0 {
		c.end = now + phase.Duration.Std()
		c.w.k.At(c.end, event{phaseOver, 0, c.round})
	}
	if phase.IsOpen() {
		c.pacer = phase.Pacer(c.key)
		c.schedule()
		return
	}
	c.users, c.begun = nil, 0
	c.resize()
}

// endPhase notes the end of the present phase.
func (c *clients) endPhase() {
	c.spans[c.index] = c.w.now() - c.start
	c.report.End(c.index, c.w.now())
}

// phaseOver handles the end of a phase that has a duration.
func (c *clients) phaseOver(e event) {
	if c.sending && e.gen == c.round {
		c.nextPhase()
	}
}

// schedule schedules the next arrival.
func (c *clients) schedule() {
	phase := &c.profile.Phases[c.index]
	c.number = c.pacer.Index()
	at, ok := c.pacer.Next()
	switch {
	case !ok && phase.Count > 0 && c.number >= phase.Count:
		c.nextPhase()
	case ok:
		c.due = c.start + at
		c.timer = c.w.k.At(c.due, event{nextArrival, 0, c.round})
	}
}

// arrival handles an arrival of an open loop: it sends its requests.
func (c *clients) arrival(e event) {
	if !c.sending || e.gen != c.round {
		return
	}
	phase := &c.profile.Phases[c.index]
	key := load.ArrivalKey(c.key, c.number)
	from, to := 0, len(c.sources)
	if !phase.Each {
		from = c.mix.Pick(key)
		to = from + 1
	}
	for request := from; request < to; request++ {
		for number := range phase.Burst * c.profile.Requests[request].Beat.Copies(c.number) {
			c.dispatch(request, number, key)
		}
	}
	c.schedule()
}

// dispatch hands a request to an idle sender, or to a new one, or drops it.
func (c *clients) dispatch(request, number int, key dist.Key) {
	var worker int32
	switch n := len(c.idle); {
	case n > 0:
		worker, c.idle = c.idle[n-1], c.idle[:n-1]
	case len(c.workers) < c.profile.MaxInFlight:
		worker, c.workers = int32(len(c.workers)), append(c.workers, sender{})
	default:
		c.drop(request)
		return
	}
	if !c.send(request, number, key, c.due, worker, -1) {
		c.idle = append(c.idle, worker)
	}
}

// drop counts a request that is not sent, because too many are under way.
func (c *clients) drop(request int) {
	c.offered++
	c.count(&measure.Outcome{Phase: c.index, Request: request, Intended: c.due, Class: outcome.Dropped}, false)
	c.report.Fail(result.FailureKind{Class: outcome.Dropped, Reason: outcome.Reason(outcome.Dropped)}, &result.Example{Text: "too many requests were under way"})
}

// send sends a request. It returns false if there is nothing to send, because the
// probabilities of a chain leave nothing.
func (c *clients) send(request, number int, key dist.Key, intended time.Duration, worker, user int32) bool {
	s := &c.sources[request]
	i, j := c.jobs.take()
	places := j.places[:0]
	*j = job{phase: c.index, request: request, number: number, intended: intended, sentAt: c.w.now(), arrival: key, worker: worker, user: user, message: s.message}
	own := load.CopyKey(key, request, number)
	first, n := 0, len(s.service.replicas)
	if s.chain != nil {
		key := c.profile.Phases[c.index].ChainKey(key, request)
		tree := chain.Sample(s.chain, key)
		if tree == nil {
			c.jobs.release(i)
			c.report.Add(&measure.Outcome{Phase: c.index, Request: request, Intended: intended}, false)
			return false
		}
		j.message.chain, j.message.chainKey = tree, chainKey(key)
		j.message.method, j.message.path = "POST", topology.DefaultPath
		j.message.endpoint, _ = s.service.plan.Endpoint("POST", topology.DefaultPath)
		first = chainKey(key).replica(s.service.name, tree.Designation, n)
	} else if n > 1 {
		first = own.With("replica").IntN(n)
	}
	for p := range n {
		places = append(places, s.service.replicas[(first+p)%n])
	}
	j.places, j.until = places, c.w.now()+c.profile.Timeout.Std()
	id := s.ownID
	if id == "" {
		id = load.RequestID(own)
	}
	j.who = behave.Request{ID: id}
	if j.trace = c.w.tracer.begin(load.RequestID(own)); j.trace != nil {
		j.trace.open = 1
	}
	c.inFlight++
	c.offered++
	c.try(i)
	return true
}

// try sends a job to the next of its candidate replicas.
func (c *clients) try(i int32) {
	j := c.jobs.at(i)
	a, att := c.w.attempts.take()
	*att = attempt{call: -1, job: i, number: 1, from: -1, to: j.places[j.at], served: -1, id: j.who.ID, trace: j.trace}
	c.w.launch(a, j.message, j.who, c.w.hops.root, j.until)
}

// ended handles the end of an attempt of the load.
func (c *clients) ended(a int32) {
	att := c.w.attempts.at(a)
	j := c.jobs.at(att.job)
	if att.failure == refused && j.at+1 < len(j.places) {
		job := att.job
		j.at++
		c.w.freeAttempt(a)
		c.try(job)
		return
	}
	end := c.endOf(att, j.message.chain)
	job := att.job
	c.w.freeAttempt(a)
	c.settle(job, end)
}

// settle counts a request that has ended, and lets its sender go on.
func (c *clients) settle(i int32, end jobEnd) {
	j := c.jobs.at(i)
	now := c.w.now()
	c.count(&measure.Outcome{
		Phase: j.phase, Request: j.request, Intended: j.intended, Late: max(j.sentAt-j.intended, 0), Latency: now - j.intended,
		Class: end.Class, Status: end.status, Bytes: end.bytes, Degraded: end.degraded,
	}, true)
	if end.Class != outcome.OK && end.Class != outcome.Cancelled {
		c.report.Fail(end.FailureKind, &result.Example{Request: c.profile.Requests[j.request].Name, ID: j.who.ID, At: j.intended.Seconds(), Text: end.text})
	}
	c.traceRoot(j, &end)
	c.w.tracer.leave(j.trace)
	j.trace = nil
	c.inFlight--
	worker, user, key := j.worker, j.user, j.arrival
	j.message = message{}
	c.jobs.release(i)
	if worker >= 0 {
		c.idle = append(c.idle, worker)
	}
	if user >= 0 && int(user) < len(c.users) && c.users[user].round == c.round {
		c.after(user, key)
	}
	c.check()
}

func (c *clients) count(o *measure.Outcome, sent bool) {
	c.settled++
	c.report.Add(o, sent)
	c.observe(*o)
}

// check calls over if the load has ended.
func (c *clients) check() {
	if !c.sending && c.inFlight == 0 && c.over != nil {
		over := c.over
		c.over = nil
		over()
	}
}

// stop ends the load at once. It cuts off the requests under way.
func (c *clients) stop() {
	if c.index >= 0 && c.index < len(c.profile.Phases) {
		c.endPhase()
	}
	c.sending = false
	c.round++
	c.w.k.Cancel(c.timer)
	for i, att := range c.w.attempts.list {
		if c.w.attempts.live(int32(i)) && att.job >= 0 {
			job := att.job
			c.w.cancel(int32(i))
			c.settle(job, jobEnd{FailureKind: result.FailureKind{Class: outcome.Cancelled}})
		}
	}
	c.check()
}

// resize adds or removes users until there are as many as the phase has now.
func (c *clients) resize() {
	phase := &c.profile.Phases[c.index]
	now := c.w.now()
	c.wanted = phase.UsersAt(now - c.start)
	if at, ok := phase.NextChange(now - c.start); ok {
		c.w.k.At(c.start+at, event{usersChange, 0, c.round})
	}
	for len(c.users) < c.wanted {
		c.users = append(c.users, user{round: c.round})
	}
	for i := range c.wanted {
		if u := &c.users[i]; !u.present {
			u.present = true
			c.join(int32(i))
		}
		if !c.sending || c.users == nil || c.users[0].round != c.round {
			return // a count has ended the phase
		}
	}
}

func (c *clients) changeUsers(e event) {
	if c.sending && e.gen == c.round {
		c.resize()
	}
}

// joining is how long after the start of its phase a new user counts as one of the
// first users.
const joining = 250 * time.Millisecond

// join begins the life of a user.
func (c *clients) join(i int32) {
	u := &c.users[i]
	u.kept = u.kept[:0]
	u.first = c.start
	if now := c.w.now(); u.next > 0 || now-u.first > joining {
		u.first = now
	}
	u.first += c.profile.Phases[c.index].FirstBeat(int(i), len(c.sources))
	u.due = u.first
	c.goOn(i)
}

// goOn lets a user send the next request, or wait for its beat.
func (c *clients) goOn(i int32) {
	u := &c.users[i]
	if int(i) >= c.wanted {
		u.present = false
		return
	}
	if c.profile.Phases[c.index].Every > 0 && u.due > c.w.now() {
		if u.due < c.end {
			c.w.k.At(u.due, event{userTurn, i, c.round})
		}
		return
	}
	c.ask(i)
}

// turn handles the end of a user's wait.
func (c *clients) turn(e event) {
	if !c.sending || e.gen != c.round {
		return
	}
	u := &c.users[e.a]
	if u.thinking {
		u.thinking = false
		u.due = c.w.now()
		c.goOn(e.a)
		return
	}
	c.ask(e.a)
}

// ask sends a user's request.
func (c *clients) ask(i int32) {
	phase := &c.profile.Phases[c.index]
	u := &c.users[i]
	if u.due >= c.end {
		return
	}
	last := false
	if phase.Count > 0 {
		if c.begun >= phase.Count {
			return
		}
		c.begun++
		last = c.begun == phase.Count
	}
	key := load.UserKey(c.key, int(i), u.next)
	request := int(i) % len(c.sources)
	if !phase.Each {
		request = c.mix.Pick(key)
	}
	sent := c.send(request, 0, key, u.due, -1, i)
	if last {
		c.nextPhase()
		return
	}
	if !sent {
		c.after(i, key)
	}
}

// after plans a user's next request.
func (c *clients) after(i int32, key dist.Key) {
	if !c.sending {
		return
	}
	phase := &c.profile.Phases[c.index]
	u := &c.users[i]
	u.next++
	now := c.w.now()
	if every := phase.Every.Std(); every > 0 {
		u.due = u.first + load.NextBeat(0, every, now-u.first+1)
		c.goOn(i)
		return
	}
	think := phase.ThinkTime(key)
	if think <= 0 {
		u.due = now
		// Use an event, so that a request which takes no time does not recurse.
		u.thinking = true
		c.w.k.After(0, event{userTurn, i, c.round})
		return
	}
	u.thinking = true
	c.w.k.After(think, event{userTurn, i, c.round})
}

// sender returns the sender of an attempt of the load.
func (c *clients) sender(att *attempt) *sender {
	j := c.jobs.at(att.job)
	if j.worker >= 0 {
		return &c.workers[j.worker]
	}
	if int(j.user) < len(c.users) && c.users[j.user].round == c.round {
		return &c.users[j.user].sender
	}
	return &sender{} // its phase is over
}

// takeConn takes the kept connection to a replica, if it is still open.
func (c *clients) takeConn(att *attempt) bool {
	s := c.sender(att)
	i := slices.IndexFunc(s.kept, func(k keptConn) bool { return k.replica == att.to })
	if i < 0 {
		return false
	}
	open := s.kept[i].incarnation == c.w.replicas[att.to].incarnation
	s.kept = slices.Delete(s.kept, i, i+1)
	return open
}

func (c *clients) keepConn(att *attempt) {
	s, r := c.sender(att), c.w.replicas[att.to]
	if c.profile.NoKeepAlive || !r.machine.Workers.KeepAlive() || r.incarnation != att.incarnation || len(s.kept) >= maxKept {
		return
	}
	s.kept = append(s.kept, keptConn{att.to, att.incarnation})
}
