// Package store is the model of a data store: what it answers to an operation, and
// when. It has items with versions, a latency, workers, a bound on connections,
// locks on rows, a bound on space, and the conditions that faults put it under.
// It knows no protocol, no clock and no goroutine. An executor tells it what came
// and when, and does what it says:
//
//	step := store.Begin(&running, operation, now)
//	for !step.Done {
//		wait until step.Until or, if step.Changes, until the conditions change
//		step = store.Next(&running, now)
//	}
//	step.Answer
//
// The embedded engine (workload/store) drives it on real connections, virtual time
// (localsim/virtual) on an event kernel, so both answer alike.
//
// # Random decisions
//
// The protocols of stores carry no id of the request that an operation belongs to.
// So a decision is keyed by the seed, the store, the item, and the number of the
// operations of this kind on this item before it. It depends on the order of the
// operations on one item, as the item's value does, and on nothing else.
//
// # Time
//
// Times are durations since the start of the store and never go back. Never stands
// for a moment that does not come.
package store

import (
	"math"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// Never is later than any time.
const Never = time.Duration(math.MaxInt64)

// A Code says how an operation, or a connection, has ended. Fronts translate it
// into the words of their protocol.
type Code uint8

// The codes.
const (
	// OK is an answer; the item may be missing all the same.
	OK Code = iota
	// TooManyConnections is a client beyond the bound on connections.
	TooManyConnections
	// NoAuth is a client whose credentials do not count any more.
	NoAuth
	// ReadOnly is a write to a replica.
	ReadOnly
	// LockTimeout is a write that did not get its row in time.
	LockTimeout
	// NoSpace is a write that a full disk let fail.
	NoSpace
	// Full is a write that would take more space than the store may have.
	Full
	// Unreadable is a message that a consumer cannot read.
	Unreadable
	// NotUnderstood is an operation that does not follow the protocol.
	NotUnderstood
	// Deadlock is a write of a transaction that waits, by way of others, for itself.
	Deadlock
)

// Error is the code for people; a store's own front uses its protocol's words.
func (c Code) Error() string {
	switch c {
	case TooManyConnections:
		return "too many clients are connected"
	case NoAuth:
		return "the credentials are not valid"
	case ReadOnly:
		return "a replica only reads"
	case LockTimeout:
		return "the lock of the row was not free in time"
	case NoSpace:
		return "the disk is full"
	case Full:
		return "the store has no more space"
	case Unreadable:
		return "the message cannot be read"
	case Deadlock:
		return "the transactions wait for each other"
	case NotUnderstood:
		return "the operation is not understood"
	default:
		return "ok"
	}
}

// A Query is an operation that somebody asks for.
type Query struct {
	Operation topology.Operation
	// Item is the key of the item; of a range, the first.
	Item string
	// Items are those of a range, if they do not follow Item.
	Items []string
	// Value is what a write stores.
	Value []byte
	// TTL is how long the value stays; 0 means that it does not go.
	TTL time.Duration
	// Remove makes a write remove the item.
	Remove bool
	// Change makes the new value of a write, or of a transaction, of the one there
	// is, in place of Value; false leaves the item as it is.
	Change func(old []byte, found bool) (value []byte, changes bool)
	// KeepTTL keeps the rest of the time that the value has.
	KeepTTL bool
	// Transaction is the one that the operation is part of, if any. Locks makes a read keep its row
	// until the end of it. Existing says that the operation does nothing to an item that is
	// missing, and so does not wait for one that others have only written.
	Transaction     *Transaction
	Locks, Existing bool
	// Partition is where a message is published; its key is Item, its text Value.
	Partition int
	// Batch are messages that are published together, with partitions, keys and
	// values; Item is the key of the first.
	Batch []Message
	// Group consumes the next message for one of its members. Without a group, From
	// are the places to read from, at most so many bytes unless one message has more.
	Group  string
	Member int
	From   []Position
	Most   int
	// Patience is how long a consumer waits for a message.
	Patience time.Duration
}

// An Answer is how an operation has ended.
type Answer struct {
	Code Code
	// Found says that the item is there or, of a write, that it was there before.
	Found bool
	// Value is the item's; of a transaction, the one it has read.
	Value []byte
	// Version counts the writes of the item.
	Version uint64
	// Items are those of a range, nil for each that is missing.
	Items [][]byte
	// Stale says that a newer version was there already.
	Stale bool
	// TTL is the time that the value has left; 0 means that it does not go.
	TTL time.Duration
	// Messages are those that were consumed, or published. They must not be changed.
	Messages []Message
}

// A Step says what an operation does next.
type Step struct {
	// Done says that Answer is there. Otherwise Next is to be called at Until.
	Done   bool
	Answer Answer
	Until  time.Duration
	// Changes says that Next is to be called as well when the conditions change.
	Changes bool
	// Wakes says that those that wait for changes are to be told, as if the
	// conditions had changed: there is a new message, or a consumer is free.
	Wakes bool
}

// A Running is an operation under way. The zero value is ready for Begin.
type Running struct {
	query Query
	// key is what the decisions about the operation are drawn from.
	key   dist.Key
	phase phase
	began time.Duration
	// wait is the time that the store works on it.
	wait time.Duration
	// fetches says that a consumer has its turn, since turn; ready is when the store begins to
	// look for a message. late says that a lag has been counted.
	fetches     bool
	turn, ready time.Duration
	late        bool
}

type phase uint8

const (
	locked phase = iota + 1
	working
	consuming
)

// A Store is one data store. It may be used by one goroutine at a time.
type Store struct {
	kind     topology.Kind
	settings topology.Store
	key      dist.Key
	items    items
	topic    topic // of a Kafka
	// free are the times when its workers are free; none means without bound.
	free []time.Duration
	// rows are the times until which rows are locked, held the transactions that keep some.
	rows       map[string]time.Duration
	held       map[string]*Transaction
	conditions []Condition
	open       int
	counts     Counts
}

// Counts are what a store has counted since its start.
type Counts struct {
	// Missed are reads that found nothing, Stale those that were answered with an
	// older version than there was.
	Missed, Stale int64
	// Published and Consumed are messages.
	Published, Consumed int64
	// Refused are connections over the bound.
	Refused int64
	// Cut counts the moments when all connections were closed.
	Cut int64
}

// New returns a store with its items, as a service describes it.
func New(seed uint64, t *topology.Service) *Store {
	s := &Store{
		kind: t.Kind, settings: t.StoreSettings(), key: dist.Seed(seed).With(t.Name).With("store"),
		free: make([]time.Duration, t.Workers), rows: map[string]time.Duration{}, held: map[string]*Transaction{},
	}
	if t.Kind == topology.Kafka {
		s.topic = newTopic(s.settings.Partitions, int64(s.settings.Retention))
		s.items.seed(s.key, 0)
		return s
	}
	s.items.seed(s.key, s.settings.Items)
	return s
}

// Counts are what the store has counted.
func (s *Store) Counts() Counts { return s.counts }

// Connections is how many clients are connected.
func (s *Store) Connections() int { return s.open }

// Connect takes a client in. With a code, or without ok, the connection is to be
// closed: after the words of the code, or without a word.
func (s *Store) Connect(now time.Duration) (code Code, ok bool) {
	if s.away(now) {
		return OK, false
	}
	if s.open >= s.settings.MaxConnections || s.has(exhausted) {
		s.counts.Refused++
		s.note(exhausted)
		if s.kind == topology.MongoDB || s.kind == topology.Kafka {
			return OK, false // they have no words for it
		}
		return TooManyConnections, false
	}
	s.open++
	return OK, true
}

// Disconnect notes that a client that Connect took in has gone.
func (s *Store) Disconnect() { s.open-- }

// Begin takes an operation. The running one must not be under way.
func (s *Store) Begin(r *Running, q Query, now time.Duration) Step {
	*r = Running{query: q, began: now, key: s.keyOf(&q)}
	if s.hit(noAuth, r) {
		return failed(NoAuth)
	}
	delay := s.settings.Latency
	if q.Operation.Writes() {
		delay = s.settings.WriteLatency
	}
	r.wait = delay.Draw(r.key.With("latency")) + s.slowness(r)
	if q.Operation == topology.OpConsume && q.Group != "" {
		return s.consume(r, now) // it takes its turn before a worker
	}
	return s.lock(r, now)
}

// keyOf is what the decisions about an operation are drawn from. It counts the operation.
func (s *Store) keyOf(q *Query) dist.Key {
	return s.key.With(string(q.Operation)).With(q.Item).WithInt(s.items.count(q.Item, q.Operation))
}

// lock lets an operation wait for a row that somebody else has locked, if it is to
// change that row.
func (s *Store) lock(r *Running, now time.Duration) Step {
	if r.query.Operation.Writes() && s.kind.HasRowLocks() && s.hit(lockedRow, r) {
		r.phase = locked
		return Step{Until: s.patience(r), Changes: true}
	}
	if step, waits := s.awaitTransaction(r, now); waits {
		return step
	}
	return s.work(r, now)
}

// takesRow reports whether an operation waits for its row.
func (s *Store) takesRow(q *Query) bool {
	return (q.Operation.Writes() || q.Locks) && s.kind.HasRowLocks()
}

// patience is when an operation waits no longer for a row.
func (s *Store) patience(r *Running) time.Duration {
	if s.settings.LockTimeout == 0 {
		return Never
	}
	return r.began + s.settings.LockTimeout.Std()
}

// work gives an operation its turn: a worker, then its row, each in the order of
// those that came.
func (s *Store) work(r *Running, now time.Duration) Step {
	r.phase = working
	start, worker := now, -1
	if len(s.free) > 0 {
		worker = soonest(s.free)
		start = max(start, s.free[worker])
	}
	locks := s.takesRow(&r.query)
	if locks {
		if start = max(start, s.rows[r.query.Item]); start > s.patience(r) {
			r.phase = locked
			return Step{Until: s.patience(r)}
		}
	}
	end := start + r.wait
	if worker >= 0 {
		s.free[worker] = end
	}
	if locks && end > now {
		s.rows[r.query.Item] = end
		s.forgetRows(now)
	}
	if end <= now {
		return s.execute(r, now)
	}
	return Step{Until: end}
}

// manyRows is how many rows may be locked before those are looked for that are not
// any more.
const manyRows = 1024

func (s *Store) forgetRows(now time.Duration) {
	if len(s.rows) < manyRows {
		return
	}
	for item, until := range s.rows {
		if until <= now {
			delete(s.rows, item)
		}
	}
}

func soonest(free []time.Duration) int {
	at := 0
	for i := range free {
		if free[i] < free[at] {
			at = i
		}
	}
	return at
}

// Next goes on with an operation at the time that its step has said, or when the
// conditions have changed.
func (s *Store) Next(r *Running, now time.Duration) Step {
	if t := r.query.Transaction; t != nil {
		t.waits = false
	}
	switch r.phase {
	case working:
		return s.execute(r, now)
	case consuming:
		return s.consume(r, now)
	default: // it waits for a row
	}
	if now >= s.patience(r) {
		return failed(LockTimeout)
	}
	return s.lock(r, now)
}

// Immediate does an operation at once, as part of another that has had its time.
func (s *Store) Immediate(q Query, now time.Duration) Answer {
	return s.execute(&Running{query: q, began: now, key: s.key.With(q.Item)}, now).Answer
}

func failed(code Code) Step { return Step{Done: true, Answer: Answer{Code: code}} }

// execute does what the operation asks for, under the conditions of its end.
func (s *Store) execute(r *Running, now time.Duration) Step {
	q := &r.query
	switch {
	case q.Operation == topology.OpPublish:
		return s.publish(r, now)
	case q.Operation == topology.OpConsume:
		return s.consume(r, now)
	case q.Operation.Writes():
		return s.write(r, now)
	}
	behind := s.behind(r, now)
	if q.Operation != topology.OpRange {
		if step, waits := s.awaitTransaction(r, now); waits {
			return step
		}
		a := s.read(q, q.Item, now, behind)
		if q.Locks && a.Found {
			s.hold(q.Transaction, q.Item)
		}
		return Step{Done: true, Answer: a}
	}
	a := Answer{Found: true}
	items := q.Items
	if items == nil {
		items = s.items.following(q.Item, topology.RangeItems)
	}
	for _, item := range items {
		one := s.read(q, item, now, behind)
		if !one.Found {
			one.Value = nil
		}
		a.Items, a.Stale = append(a.Items, one.Value), a.Stale || one.Stale
	}
	return Step{Done: true, Answer: a}
}

// read returns an item as it was at the moment behind, or as the transaction has left it.
func (s *Store) read(q *Query, item string, now, behind time.Duration) Answer {
	is := s.items.at(item, now)
	if own, wrote := q.Transaction.wrote(item); wrote {
		is, behind = own.after(is), now
	}
	if is.found && is.value == nil {
		is.value = []byte{} // nil stands for an item that is missing
	}
	a := Answer{Found: is.found, Value: is.value, Version: is.version, TTL: is.left(now)}
	if behind < now {
		was := s.items.asOf(item, behind, is)
		a = Answer{Found: was.found, Value: was.value, Version: was.version, Stale: was.version != is.version}
	}
	if !a.Found {
		s.counts.Missed++
	}
	if a.Stale {
		s.counts.Stale++
	}
	return a
}

func (s *Store) write(r *Running, now time.Duration) Step {
	q := &r.query
	if step, waits := s.awaitTransaction(r, now); waits {
		return step
	}
	if s.hit(readOnly, r) && !s.away(now) {
		return failed(ReadOnly)
	}
	is := s.items.at(q.Item, now)
	if own, wrote := q.Transaction.wrote(q.Item); wrote {
		is = own.after(is)
	}
	a := Answer{Found: is.found, Value: is.value, Version: is.version}
	value, changes := q.Value, true
	if q.Change != nil {
		value, changes = q.Change(is.value, is.found)
	}
	if !changes || q.Remove && !is.found {
		return Step{Done: true, Answer: a}
	}
	if !q.Remove {
		more := int64(len(value) - len(is.value))
		full := s.settings.Space > 0 && s.items.written+q.Transaction.bytes()+more > int64(s.settings.Space)
		if s.hit(noSpace, r) {
			return failed(NoSpace)
		}
		if full && more > 0 {
			return failed(Full)
		}
	}
	if q.Transaction != nil {
		s.hold(q.Transaction, q.Item)
		q.Transaction.write(q.Item, pending{value: value, removes: q.Remove, more: int64(len(value) - len(is.value))})
		return Step{Done: true, Answer: a}
	}
	expires := time.Duration(0)
	switch {
	case q.KeepTTL:
		expires = is.expires
	case q.TTL > 0:
		expires = now + q.TTL
	}
	a.Version = s.items.put(q.Item, revision{at: now, value: value, found: !q.Remove, expires: expires, version: is.version + 1}, s.has(lagging))
	return Step{Done: true, Answer: a}
}

// Flush removes all items, and says how many there were.
func (s *Store) Flush(now time.Duration) int {
	n := s.Len(now)
	s.items.flush()
	return n
}

// Len is how many items there are.
func (s *Store) Len(now time.Duration) int { return s.items.len(now) }

// Names lists the items from a place in their order, at most so many; next is the
// place to go on at, or 0 at the end. It is for clients that look around.
func (s *Store) Names(now time.Duration, from, most int) (names []string, next int) {
	return s.items.names(now, from, most)
}

// Conditions lists the conditions that act, in their order.
func (s *Store) Conditions() []Condition { return slices.Clone(s.conditions) }
