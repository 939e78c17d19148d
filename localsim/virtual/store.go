package virtual

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/des"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A call of a data store does its operations one after another, as drivers do. Each
// operation takes a connection from the caller's pool, sends one message to the
// store, and gives the connection back when the answer has come. The same model as
// in the embedded engine decides what the store answers, and when.

// A storing is the additional state of an attempt that calls a data store.
type storing struct {
	// active says that the attempt calls a data store.
	active bool
	// operation is the number of the operation under way.
	operation int
	// holds says that it has a place in the pool, open that it has a connection.
	// epoch is the epoch of the store in which the connection was made.
	holds, open bool
	epoch       int
	// timer bounds the wait for a connection, and then the wait for an answer.
	timer des.Timer
	// since is when the driver began to look for its server.
	since time.Duration
	// code is the code of the store's answer.
	code store.Code
	// missed says that a read found no item.
	missed bool
}

// A dataStore is the additional state of a replica of a data store.
type dataStore struct {
	*store.Store
	// epoch counts how often all connections were closed.
	epoch int
	// sampled are the counts of the last sample.
	sampled store.Counts
	// waiting are the operations that wait for a change of the store.
	waiting []handle
}

// A connPool has the connections of one replica of a caller to a store.
type connPool struct {
	// used counts the operations that have a place.
	used int
	// idle has the epochs of the unused connections.
	idle    []int
	waiting []handle // attempts
}

type poolKey struct{ from, to int32 }

// errPool is the error of an operation that got no connection of the pool.
var errPool = errors.New("no connection of the pool was free in time") //nolint:gochecknoglobals // a sentinel

// startStore gives a started replica the items and the conditions of its store.
func (w *world) startStore(s *service, r *replica) {
	if !s.topology.Kind.IsStore() {
		return
	}
	epoch := 0
	if r.store != nil {
		epoch = r.store.epoch + 1
	}
	r.store = &dataStore{Store: store.New(w.exp.Seed, &s.topology), epoch: epoch}
	for _, a := range w.faults.running {
		if a.layer == fault.InStore && a.fault.Type != fault.CacheFlush && slices.Contains(a.replicas, s.replicas[r.number-1]) {
			r.store.Apply(a.id, a.fault, w.now())
		}
	}
}

func (w *world) poolOf(from, to int32) *connPool {
	key := poolKey{from, to}
	p := w.pools[key]
	if p == nil {
		p = &connPool{}
		w.pools[key] = p
	}
	return p
}

// callStore begins an attempt of a call of a data store.
func (w *world) callStore(i int32, until time.Duration) {
	att := w.attempts.at(i)
	att.storing, att.connected = storing{active: true}, true
	if until != exec.Never {
		att.timer = w.k.InOrder(w.deadlines, until, event{timedOut, i, w.attempts.gens[i]})
	}
	w.nextOperation(i)
}

// nextOperation gives an operation a place in the pool, or makes it wait for one.
func (w *world) nextOperation(i int32) {
	att := w.attempts.at(i)
	p, settings := w.poolOf(att.from, att.to), w.services[w.replicas[att.to].service].store
	if p.used < settings.Pool.Size {
		p.used++
		w.operate(i)
		return
	}
	gen := w.attempts.gens[i]
	p.waiting = append(p.waiting, handle{i, gen})
	att.storing.timer = w.k.After(settings.Pool.Wait.Std(), event{poolOver, i, gen})
}

// poolOver ends an operation that got no connection in time.
func (w *world) poolOver(e event) {
	if !w.attempts.is(e.a, e.gen) || w.parks(w.attempts.at(e.a).from, e) {
		return
	}
	att := w.attempts.at(e.a)
	att.failure = unpooled
	w.settle(e.a)
}

// mongoPause is how long the driver of MongoDB waits, at least, before it looks again
// whether its server answers (minHeartbeatFrequencyMS of its specification).
const mongoPause = 500 * time.Millisecond

// operate begins an operation that has its place in the pool.
func (w *world) operate(i int32) {
	t := &w.attempts.at(i).storing
	w.k.Cancel(t.timer)
	t.since = w.now()
	w.reach(i)
}

// looksAgain makes an operation wait for a server that does not accept its
// connection, if its driver does that and has time. It returns whether the
// operation waits. Only the driver of MongoDB does that.
func (w *world) looksAgain(i int32) bool {
	att := w.attempts.at(i)
	s := w.serviceAt(att.to)
	if s.topology.Kind != topology.MongoDB || w.now()+mongoPause >= att.storing.since+s.store.Timeout.Std() {
		return false
	}
	att.storing.timer = w.k.After(mongoPause, event{reachAgain, i, w.attempts.gens[i]})
	return true
}

// reachedAgain goes on with an operation whose driver has waited for its server.
func (w *world) reachedAgain(e event) {
	if w.attempts.is(e.a, e.gen) && !w.parks(w.attempts.at(e.a).from, e) {
		w.reach(e.a)
	}
}

// losesOperation reports whether a driver sends an operation over a connection that was
// closed while unused. Other drivers check the connection first. The driver of MongoDB
// then closes its other connections, too.
func (w *world) losesOperation(s *service, p *connPool) bool {
	switch s.topology.Kind {
	case topology.MongoDB:
		p.idle = nil
		return true
	case topology.Memcached, topology.Kafka:
		return true
	default:
		return false
	}
}

// reach sends an operation over a connection of the pool, or over a new one.
func (w *world) reach(i int32) {
	att, gen := w.attempts.at(i), w.attempts.gens[i]
	r, s := w.replicas[att.to], w.serviceAt(att.to)
	p, t := w.poolOf(att.from, att.to), &att.storing
	t.holds, t.open, t.code = true, false, store.OK
	for n := len(p.idle); n > 0 && !t.open; n = len(p.idle) {
		t.epoch = p.idle[n-1]
		t.open = t.epoch == r.store.epoch
		if !t.open || !s.topology.Kind.SharesConnections() {
			p.idle = p.idle[:n-1]
		}
		if !t.open && w.losesOperation(s, p) {
			att.fresh, att.failure = false, broken
			w.k.After(w.machine.Latency, event{answered, i, gen})
			return
		}
	}
	delay := time.Duration(0)
	if att.fresh = !t.open; att.fresh {
		delay = 4 * w.machine.Latency // of the connection, and of the driver's greeting
		if !w.connectStore(i, delay) {
			return
		}
	}
	w.sendOperation(i, delay)
}

// connectStore opens a connection to the store of an attempt, which takes a delay. If that
// fails, it returns false, and has scheduled the end of the attempt or another try.
func (w *world) connectStore(i int32, delay time.Duration) bool {
	att, gen := w.attempts.at(i), w.attempts.gens[i]
	r, t := w.replicas[att.to], &att.storing
	if r.state != up || w.faults.refuses(w, att) {
		if !w.looksAgain(i) {
			att.failure = refused
			w.k.After(2*w.machine.Latency, event{answered, i, gen})
		}
		return false
	}
	over := r.store.Counts().Refused
	code, ok := r.store.Connect(w.now())
	if ok {
		t.epoch, t.open = r.store.epoch, true
		return true
	}
	if r.store.Counts().Refused > over {
		w.serviceAt(att.to).counts.refused++
	}
	if w.looksAgain(i) {
		return false
	}
	if t.code = code; code == store.OK {
		att.failure = broken
	}
	w.k.After(delay, event{answered, i, gen})
	return false
}

// sendOperation sends the message of an attempt's operation, after a delay, and sets its
// timeout.
func (w *world) sendOperation(i int32, delay time.Duration) {
	att, gen := w.attempts.at(i), w.attempts.gens[i]
	s, t := w.serviceAt(att.to), &att.storing
	c := w.callings.at(att.call)
	from := w.servings.at(w.strands.at(c.strand).serving)
	op := c.op.Call.Operations[t.operation]
	m := message{method: behave.MethodStore, path: string(op), left: exec.Never, inside: true, operation: op}
	m.item = w.serviceAt(att.from).plan.ItemOf(from.identity.Request, c.op, t.operation, w.itemsOf)
	m.valueBytes = c.op.Call.RequestBytes
	if m.valueBytes == 0 {
		m.valueBytes = topology.DefaultValueSize
	}
	if op.Writes() {
		m.bytes = m.valueBytes
	}
	m.consumer = att.from
	hop := att.hop.text
	if len(w.faults.paths) > 0 && t.operation > 0 {
		hop += "#" + strconv.Itoa(t.operation) // each message meets faults by itself
	}
	sv := w.send(i, att, m, behave.Request{ID: att.id, Hop: hop, From: w.serviceAt(att.from).name}, att.hop)
	att.served, att.servedGen = sv, w.servings.gens[sv]
	t.timer = w.k.After(delay+s.store.Timeout.Std(), event{timedOut, i, gen})
	w.requestSent(sv, w.now()+delay)
}

// itemsOf returns how many items a data store has.
func (w *world) itemsOf(name string) int { return w.services[w.index(name)].store.Items }

// endOperation passes the place in the pool to the next waiting operation, and keeps
// the connection if it is reusable.
func (w *world) endOperation(att *attempt, reusable bool) {
	t := &att.storing
	w.k.Cancel(t.timer)
	r, p := w.replicas[att.to], w.poolOf(att.from, att.to)
	if !t.holds {
		p.waiting = slices.DeleteFunc(p.waiting, func(h handle) bool { return w.attempts.at(h.i) == att })
		return
	}
	if t.open && t.epoch == r.store.epoch {
		if shared := w.serviceAt(att.to).topology.Kind.SharesConnections(); shared && slices.Contains(p.idle, t.epoch) {
			if att.fresh {
				r.store.Disconnect() // another operation has opened one meanwhile
			}
		} else if reusable || shared {
			p.idle = append(p.idle, t.epoch)
		} else {
			r.store.Disconnect()
		}
	}
	t.holds, t.open = false, false
	for len(p.waiting) > 0 {
		next := p.waiting[0]
		p.waiting = p.waiting[1:]
		if w.attempts.is(next.i, next.gen) {
			w.operate(next.i)
			return
		}
	}
	p.used--
}

// settleOperation goes on after an operation of an attempt, and reports whether the
// attempt has ended.
func (w *world) settleOperation(i int32) (ended bool) {
	att := w.attempts.at(i)
	t := &att.storing
	good := att.failure == none && t.code == store.OK
	w.endOperation(att, att.failure == none)
	if !good || t.operation+1 == len(w.callings.at(att.call).op.Call.Operations) {
		return true
	}
	t.operation++
	w.nextOperation(i)
	return false
}

// outcomeOfStore returns how an attempt of a call of a data store ended.
func (w *world) outcomeOfStore(att *attempt) exec.Event {
	e := exec.Event{Kind: exec.Answered, Now: w.now(), Class: outcome.OK, Missed: att.storing.missed}
	switch {
	case att.failure != none:
		e.Class, e.Err = att.failure.class(), att.failure.err()
	case att.storing.code != store.OK:
		e.Class, e.Err = outcome.StoreError, att.storing.code
	}
	return e
}

// beginOperation begins an operation that the store has read.
func (w *world) beginOperation(i int32) {
	sv := w.servings.at(i)
	m := &sv.message
	sv.told = false
	q := store.Query{Operation: m.operation, Item: store.ItemName(m.item)}
	if m.operation.Writes() {
		q.Value = make([]byte, m.valueBytes)
	}
	switch m.operation {
	case topology.OpPublish:
		q.Partition = store.PartitionOf([]byte(q.Item), w.replicas[sv.replica].store.Partitions())
	case topology.OpConsume:
		q.Item, q.Group, q.Member = "", w.serviceAt(m.consumer).name, w.replicas[m.consumer].number
		q.Patience = topology.ConsumePatience.Std()
	default: // an operation on one item
	}
	w.stepOperation(i, w.replicas[sv.replica].store.Begin(&sv.operation, q, w.now()))
}

// operationStep goes on with an operation whose time has come.
func (w *world) operationStep(e event) {
	if w.servings.is(e.a, e.gen) && !w.parks(w.servings.at(e.a).replica, e) {
		sv := w.servings.at(e.a)
		if sv.message.operation == topology.OpConsume && !w.waits(sv) {
			w.finishOperation(e.a, &store.Answer{}) // a client that has left takes no message
			return
		}
		w.stepOperation(e.a, w.replicas[sv.replica].store.Next(&sv.operation, w.now()))
	}
}

func (w *world) stepOperation(i int32, step store.Step) {
	sv, gen := w.servings.at(i), w.servings.gens[i]
	if step.Done {
		d := w.replicas[sv.replica].store
		w.finishOperation(i, &step.Answer)
		if step.Wakes {
			w.wake(d)
		}
		return
	}
	if step.Until != store.Never {
		sv.timer = w.k.At(step.Until, event{operationStep, i, gen})
	}
	if step.Changes && !sv.told {
		d := w.replicas[sv.replica].store
		sv.told = true
		d.waiting = append(d.waiting, handle{i, gen})
	}
}

// storeErrorBytes is about the length in bytes of a store's error.
const storeErrorBytes = 40

// finishOperation answers an operation.
func (w *world) finishOperation(i int32, a *store.Answer) {
	sv := w.servings.at(i)
	r := w.replicas[sv.replica]
	s := w.services[r.service]
	res := response{status: storeOK, bytes: int64(len(a.Value))}
	for _, value := range a.Items {
		res.bytes += int64(len(value))
	}
	if a.Code != store.OK {
		res = response{status: storeFailed, bytes: storeErrorBytes}
	}
	switch took := w.now() - sv.start; {
	case sv.message.operation != topology.OpConsume:
		s.counts.count(&res, took)
	case a.Found || a.Code != store.OK: // a look for a message in vain does not count
		s.counts.count(&res, min(took, w.now()-sv.operation.Turn())) // the wait for a turn in the caller does not count
	}
	w.leaves(s, sv)
	r.inFlight--
	replica := sv.replica
	if w.waits(sv) {
		att := w.attempts.at(sv.attempt)
		att.response, att.served, att.storing.code = res, -1, a.Code
		att.storing.missed = att.storing.missed || sv.message.operation == topology.OpRead && !a.Found
		w.answerSent(sv.attempt, sv.gen, res.bytes)
	}
	w.freeServing(i)
	w.ended(replica)
}

// storeOK and storeFailed stand for the statuses of stores, which have none.
const (
	storeOK     = 1
	storeFailed = 2
)

// notUnderstood answers an operation that a fault has made unreadable.
func (w *world) notUnderstood(sv *serving, at time.Duration) {
	att := w.attempts.at(sv.attempt)
	att.response, att.storing.code = response{status: storeFailed, bytes: storeErrorBytes}, store.NotUnderstood
	w.k.At(at, event{answered, sv.attempt, sv.gen})
}

// inStore begins or ends a fault in its stores.
func (w *world) inStore(a *acting, begins bool) {
	for _, i := range a.replicas {
		r := w.replicas[i]
		if begins {
			if r.state == up && r.store.Apply(a.id, a.fault, w.now()) {
				w.cutClients(i)
			}
		} else {
			a.hits = r.store.hitsOf(a)
			r.store.Clear(a.id)
		}
		w.wake(r.store)
	}
}

// wake continues the operations that wait for a change of a store.
func (w *world) wake(d *dataStore) {
	waiting := d.waiting
	d.waiting = nil
	for _, h := range waiting {
		if w.servings.is(h.i, h.gen) {
			sv := w.servings.at(h.i)
			sv.told = false
			w.k.Cancel(sv.timer)
			w.operationStep(event{operationStep, h.i, h.gen})
		}
	}
}

// leaveGroups removes a replica that has ended from the consumer group of its
// service.
func (w *world) leaveGroups(i int32) {
	for _, r := range w.replicas {
		if r.store != nil && r.store.Partitions() > 0 {
			r.store.Leave(w.serviceAt(i).name, w.replicas[i].number)
			w.wake(r.store)
		}
	}
}

// countReads adds, to the sample of a data store, the misses and stale reads since
// the last sample, and the lag of its consumers.
func (r *replica) countReads(at time.Duration, sample *measure.Sample) {
	if r.store == nil {
		return
	}
	now, before := r.store.Counts(), r.store.sampled
	r.store.sampled = now
	sample.Missed.Add(float64(now.Missed - before.Missed))
	sample.Stale.Add(float64(now.Stale - before.Stale))
	if r.store.Partitions() == 0 {
		return
	}
	for _, lag := range r.store.Lags(at) {
		sample.Lag.Observe(lag.Messages, lag.Age.Seconds())
	}
}

// hitsOf returns how often a fault has acted.
func (d *dataStore) hitsOf(a *acting) int64 {
	for _, c := range d.Conditions() {
		if c.ID == a.id {
			return c.Hits()
		}
	}
	return a.hits
}

// cutClients closes all connections to a store, which ends the operations under
// way.
func (w *world) cutClients(i int32) {
	r := w.replicas[i]
	r.store.epoch++
	for r.store.Connections() > 0 {
		r.store.Disconnect()
	}
	for n, sv := range w.servings.list {
		if sv.live && sv.replica == i && sv.state != onTheWay {
			w.dropServing(int32(n))
		}
	}
	r.inFlight = 0
}

// checkStore refuses settings of a store that are not modelled.
func checkStore(system string, t *topology.Service) error {
	settings := t.StoreSettings()
	switch {
	case !t.Kind.IsStore():
		return nil
	case settings.Engine == topology.Real:
		return fmt.Errorf("playing system %q: what a real server of kind %s takes is not known in virtual time; use --on local, or write engine: embedded for store %q", system, t.Kind, t.Name)
	case settings.Retries > 0:
		return fmt.Errorf("playing system %q: which failures a driver of kind %s retries is not modelled in virtual time; leave retries out of store %q, and give its calls a retry", system, t.Kind, t.Name)
	}
	return nil
}
