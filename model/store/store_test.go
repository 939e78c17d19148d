package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const ms = time.Millisecond

func service(kind topology.Kind, t topology.Store) *topology.Service {
	s := topology.NewService("db")
	s.Kind, s.Store = kind, &t
	return &s
}

func read(item string) Query { return Query{Operation: topology.OpRead, Item: item} }
func write(item, value string) Query {
	return Query{Operation: topology.OpWrite, Item: item, Value: []byte(value)}
}

// An operation is one that a player has under way.
type operation struct {
	Running
	query Query
	at    time.Duration // of its begin, then of its next step
	ended time.Duration
	step  Step
}

// play drives a store through operations in the order of time, as executors do.
func play(s *Store, ops []*operation) {
	waiting := slices.Clone(ops)
	for len(waiting) > 0 {
		slices.SortStableFunc(waiting, func(a, b *operation) int { return int(a.at - b.at) })
		o := waiting[0]
		if o.phase == 0 {
			o.step = s.Begin(&o.Running, o.query, o.at)
		} else {
			o.step = s.Next(&o.Running, o.at)
		}
		if o.step.Done {
			o.ended, waiting = o.at, waiting[1:]
			for _, other := range waiting {
				if o.step.Wakes && other.phase != 0 && other.step.Changes {
					other.at = o.at
				}
			}
			continue
		}
		o.at = o.step.Until
	}
}

// do plays one operation and returns its answer, and how long it took.
func do(s *Store, q Query, at time.Duration) (Answer, time.Duration) {
	o := &operation{query: q, at: at}
	play(s, []*operation{o})
	return o.step.Answer, o.ended - at
}

func TestItemsAreThereAndChange(t *testing.T) {
	s := New(1, service(topology.Redis, topology.Store{Items: 100}))
	a, _ := do(s, read("item:7"), 0)
	if !a.Found || !bytes.Equal(a.Value, SeedValue(1, "db", 7)) || a.Version != 0 || len(a.Value) != topology.DefaultValueSize {
		t.Errorf("a seeded item is %+v", a)
	}
	for _, missing := range []string{"item:100", "item:007", "item:-1", "other"} {
		if a, _ := do(s, read(missing), 0); a.Found {
			t.Errorf("%q is there", missing)
		}
	}
	do(s, write("item:7", "new"), ms)
	if a, _ := do(s, read("item:7"), ms); string(a.Value) != "new" || a.Version != 1 {
		t.Errorf("a written item is %+v", a)
	}
	double := Query{Operation: topology.OpTransaction, Item: "item:7", Change: func(old []byte, found bool) ([]byte, bool) { return append(old, old...), found }}
	if a, _ := do(s, double, ms); string(a.Value) != "new" || a.Version != 2 {
		t.Errorf("a transaction tells %+v", a)
	}
	if a, _ := do(s, Query{Operation: topology.OpRange, Item: "item:6"}, ms); len(a.Items) != topology.RangeItems || string(a.Items[1]) != "newnew" {
		t.Errorf("a range is %q", a.Items)
	}
	do(s, Query{Operation: topology.OpWrite, Item: "item:7", Remove: true}, ms)
	if a, _ := do(s, read("item:7"), ms); a.Found || s.Len(ms) != 99 {
		t.Errorf("a removed item is %+v, of %d", a, s.Len(ms))
	}
	do(s, Query{Operation: topology.OpWrite, Item: "x", Value: []byte("y"), TTL: time.Second}, ms)
	if a, _ := do(s, read("x"), time.Second); !a.Found || a.TTL != ms {
		t.Errorf("before its time is over, the item is %+v", a)
	}
	if a, _ := do(s, read("x"), time.Second+ms); a.Found {
		t.Error("an item is there after its time")
	}
	if names, next := s.Names(0, 97, 2); !slices.Equal(names, []string{"item:97", "item:98"}) || next != 99 {
		t.Errorf("items from 97 are %q, then %d", names, next)
	}
}

func TestLatencyWorkersAndRows(t *testing.T) {
	at := func(delay ...time.Duration) (list []time.Duration) { return delay }
	for name, tt := range map[string]struct {
		kind    topology.Kind
		workers int
		store   topology.Store
		query   func(i int) Query
		want    []time.Duration
	}{
		"unbound":           {topology.Redis, 0, topology.Store{Latency: dist.Fixed(ms)}, func(int) Query { return read("item:1") }, at(ms, ms, ms)},
		"one worker":        {topology.Redis, 1, topology.Store{Latency: dist.Fixed(ms)}, func(int) Query { return read("item:1") }, at(ms, 2*ms, 3*ms)},
		"two workers":       {topology.Redis, 2, topology.Store{Latency: dist.Fixed(ms)}, func(int) Query { return read("item:1") }, at(ms, ms, 2*ms)},
		"one row":           {topology.MySQL, 0, topology.Store{Latency: dist.Fixed(ms)}, func(int) Query { return write("item:1", "x") }, at(ms, 2*ms, 3*ms)},
		"no row locks":      {topology.Redis, 0, topology.Store{Latency: dist.Fixed(ms)}, func(int) Query { return write("item:1", "x") }, at(ms, ms, ms)},
		"many rows":         {topology.MySQL, 0, topology.Store{Latency: dist.Fixed(ms)}, func(i int) Query { return write(ItemName(i), "x") }, at(ms, ms, ms)},
		"readers pass":      {topology.MySQL, 0, topology.Store{Latency: dist.Fixed(ms)}, func(i int) Query { return []Query{write("item:1", "x"), read("item:1"), read("item:1")}[i] }, at(ms, ms, ms)},
		"lock timeout":      {topology.Postgres, 0, topology.Store{WriteLatency: dist.Fixed(2 * ms), LockTimeout: unit.Duration(3 * ms)}, func(int) Query { return write("item:1", "x") }, at(2*ms, 4*ms, 3*ms)},
		"writes are slower": {topology.Redis, 0, topology.Store{Latency: dist.Fixed(ms), WriteLatency: dist.Fixed(5 * ms)}, func(i int) Query { return []Query{write("a", "x"), read("a"), read("b")}[i] }, at(5*ms, ms, ms)},
	} {
		t.Run(name, func(t *testing.T) {
			svc := service(tt.kind, tt.store)
			svc.Workers = tt.workers
			s := New(1, svc)
			var ops []*operation
			for i := range tt.want {
				ops = append(ops, &operation{query: tt.query(i)})
			}
			play(s, ops)
			for i, o := range ops {
				if o.ended != tt.want[i] {
					t.Errorf("operation %d took %v, want %v", i, o.ended, tt.want[i])
				}
			}
			if last := ops[2].step.Answer.Code; (last == LockTimeout) != (name == "lock timeout") {
				t.Errorf("the last ended as %v", last)
			}
		})
	}
}

func injected(f fault.Fault) fault.Fault {
	f.Probability = max(f.Probability, 0)
	if f.Probability == 0 {
		f.Probability = 1
	}
	return f
}

func TestConditionsActAndEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		kind  topology.Kind
		fault fault.Fault
		query Query
		want  Code
		took  time.Duration
	}{
		"slow":           {topology.Redis, fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(7 * ms)}}, read("item:1"), OK, 7 * ms},
		"slow writes":    {topology.Redis, fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(7 * ms), Operation: "write"}}, write("item:1", "x"), OK, 7 * ms},
		"others are not": {topology.Redis, fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(7 * ms), Operation: "write"}}, read("item:1"), OK, 0},
		"row locked":     {topology.MySQL, fault.Fault{Type: fault.LockWait}, write("item:1", "x"), LockTimeout, 50 * time.Second},
		"reads go on":    {topology.MySQL, fault.Fault{Type: fault.LockWait}, read("item:1"), OK, 0},
		"auth":           {topology.Redis, fault.Fault{Type: fault.AuthRevoked}, read("item:1"), NoAuth, 0},
		"disk full":      {topology.Redis, fault.Fault{Type: fault.DiskFull}, write("item:1", "x"), NoSpace, 0},
		"reads of it":    {topology.Redis, fault.Fault{Type: fault.DiskFull}, read("item:1"), OK, 0},
		"removing":       {topology.Redis, fault.Fault{Type: fault.DiskFull}, Query{Operation: topology.OpWrite, Item: "item:1", Remove: true}, OK, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(1, service(tt.kind, topology.Store{}))
			s.Apply("f", injected(tt.fault), 0)
			if a, took := do(s, tt.query, ms); a.Code != tt.want || took != tt.took {
				t.Errorf("it ended as %v after %v", a.Code, took)
			}
			s.Clear("f")
			if a, took := do(s, tt.query, time.Minute); a.Code != OK || took != 0 {
				t.Errorf("after the fault it ended as %v after %v", a.Code, took)
			}
		})
	}
}

// A row that is free again lets those go on that wait for it.
func TestLockWaitEndsWithTheFault(t *testing.T) {
	s := New(1, service(topology.Postgres, topology.Store{}))
	s.Apply("f", injected(fault.Fault{Type: fault.LockWait}), 0)
	var r Running
	step := s.Begin(&r, write("item:1", "x"), 0)
	if step.Done || !step.Changes || step.Until != Never {
		t.Fatalf("got %+v", step)
	}
	if step = s.Next(&r, ms); step.Done {
		t.Fatalf("it went on while the row is locked: %+v", step)
	}
	s.Clear("f")
	if step = s.Next(&r, 2*ms); !step.Done || step.Answer.Code != OK {
		t.Errorf("got %+v", step)
	}
}

func TestFailoverCutsThenReadsOnly(t *testing.T) {
	s := New(1, service(topology.Postgres, topology.Store{}))
	if _, ok := s.Connect(0); !ok {
		t.Fatal("no connection")
	}
	if !s.Apply("f", injected(fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: unit.Duration(time.Second)}}), ms) {
		t.Error("clients keep their connections")
	}
	s.Disconnect()
	if code, ok := s.Connect(time.Second); ok || code != OK {
		t.Errorf("while it is away, a client is told %v, %v", code, ok)
	}
	after := time.Second + ms
	if _, ok := s.Connect(after); !ok {
		t.Error("the replica takes no connection")
	}
	if a, _ := do(s, write("item:1", "x"), after); a.Code != ReadOnly {
		t.Errorf("a write ended as %v", a.Code)
	}
	if a, _ := do(s, read("item:1"), after); a.Code != OK {
		t.Errorf("a read ended as %v", a.Code)
	}
	s.Clear("f")
	if a, _ := do(s, write("item:1", "x"), after); a.Code != OK {
		t.Errorf("afterwards a write ended as %v", a.Code)
	}
}

func TestConnectionsAreBound(t *testing.T) {
	s := New(1, service(topology.Redis, topology.Store{MaxConnections: 2}))
	for i := range 3 {
		if code, ok := s.Connect(0); ok != (i < 2) || (code == TooManyConnections) != (i == 2) {
			t.Errorf("connection %d: %v, %v", i, code, ok)
		}
	}
	s.Disconnect()
	if _, ok := s.Connect(0); !ok {
		t.Error("a place that is free again is not given")
	}
	if !s.Apply("f", injected(fault.Fault{Type: fault.ConnectionsExhausted}), 0) {
		t.Error("clients keep their connections")
	}
	s.Disconnect()
	s.Disconnect()
	if code, ok := s.Connect(0); ok || code != TooManyConnections || s.Connections() != 0 {
		t.Errorf("with others in all places, a client is told %v, %v", code, ok)
	}
}

func TestReplicaLagReadsThePast(t *testing.T) {
	s := New(1, service(topology.MySQL, topology.Store{}))
	do(s, write("item:1", "before"), 0)
	s.Apply("f", injected(fault.Fault{Type: fault.ReplicaLag, Args: fault.Args{Delay: dist.Fixed(time.Second)}}), ms)
	do(s, write("item:1", "second"), 100*ms)
	do(s, write("item:1", "third"), 700*ms)
	for at, want := range map[time.Duration]string{200 * ms: "before", 1050 * ms: "before", 1100 * ms: "second", 1699 * ms: "second", 1700 * ms: "third"} {
		a, _ := do(s, read("item:1"), at)
		if string(a.Value) != want || a.Stale != (want != "third") {
			t.Errorf("at %v: %q, stale %v; want %q", at, a.Value, a.Stale, want)
		}
	}
	s.Clear("f")
	if a, _ := do(s, read("item:1"), 800*ms); string(a.Value) != "third" || a.Stale {
		t.Errorf("afterwards: %q, stale %v", a.Value, a.Stale)
	}
}

func TestFlushAndSpace(t *testing.T) {
	s := New(1, service(topology.Redis, topology.Store{Items: 10, Space: 8}))
	if a, _ := do(s, write("a", "123456789"), 0); a.Code != Full {
		t.Errorf("too much ended as %v", a.Code)
	}
	do(s, write("a", "12345678"), 0)
	if a, _ := do(s, write("b", "1"), 0); a.Code != Full {
		t.Errorf("one byte more ended as %v", a.Code)
	}
	do(s, Query{Operation: topology.OpWrite, Item: "a", Remove: true}, 0)
	if a, _ := do(s, write("b", "1"), 0); a.Code != OK {
		t.Errorf("after a removal: %v", a.Code)
	}
	s.Apply("f", injected(fault.Fault{Type: fault.CacheFlush}), 0)
	if a, _ := do(s, read("item:1"), 0); a.Found || s.Len(0) != 0 || s.Counts().Missed != 1 {
		t.Errorf("after a flush: %+v, %d items, %+v", a, s.Len(0), s.Counts())
	}
	if got := s.Conditions(); len(got) != 1 || got[0].Hits() != 11 {
		t.Errorf("the flush removed %+v", got)
	}
}

// The share of operations that a fault hits is true, and does not depend on the
// order of operations on different items.
func TestSharesAreTrueAndKeyed(t *testing.T) {
	const n = 4000
	hits := func(order []int) map[int]bool {
		s := New(7, service(topology.Redis, topology.Store{}))
		s.Apply("f", fault.Fault{Type: fault.SlowQuery, Probability: 0.3, Args: fault.Args{Delay: dist.Fixed(ms)}}, 0)
		slow := map[int]bool{}
		for _, i := range order {
			if _, took := do(s, read(ItemName(i)), 0); took > 0 {
				slow[i] = true
			}
		}
		return slow
	}
	forward := make([]int, n)
	for i := range forward {
		forward[i] = i
	}
	shuffled := slices.Clone(forward)
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	a, b := hits(forward), hits(shuffled)
	if len(a) < 1000 || len(a) > 1400 { // 1200 +- 7 standard deviations
		t.Errorf("%d of %d were hit by a share of 0.3", len(a), n)
	}
	for i := range forward {
		if a[i] != b[i] {
			t.Fatalf("item %d is hit in one order and not in another", i)
		}
	}
}

// With any operations, a store keeps its bounds: no operation ends before it began,
// no more work than workers goes on at once, writes of one row follow one another,
// and what a read finds is what the last write before it left.
func TestStoresKeepTheirBounds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		kind := []topology.Kind{topology.Redis, topology.MySQL, topology.Postgres, topology.MongoDB}[r.IntN(4)]
		svc := service(kind, topology.Store{Items: 3, Latency: dist.Delay{Exponential: &dist.Exponential{Mean: unit.Duration(ms)}}})
		svc.Workers = r.IntN(4)
		s := New(seed, svc)
		var ops []*operation
		for i := range 60 {
			item := ItemName(r.IntN(4))
			q := []Query{read(item), write(item, fmt.Sprint(i)), {Operation: topology.OpRange, Item: item}, {Operation: topology.OpTransaction, Item: item, Value: []byte(fmt.Sprint(i))}}[r.IntN(4)]
			ops = append(ops, &operation{query: q, at: time.Duration(r.Int64N(int64(20 * ms)))})
		}
		var begins []time.Duration
		for _, o := range ops {
			begins = append(begins, o.at)
		}
		play(s, ops)
		slices.SortStableFunc(ops, func(a, b *operation) int { return int(a.ended - b.ended) })
		lastWrite := map[string]time.Duration{}
		for i, o := range ops {
			began := o.began
			if o.ended < began || !slices.Contains(begins, began) {
				t.Fatalf("seed %d: operation %d began at %v and ended at %v", seed, i, began, o.ended)
			}
			if o.query.Operation.Writes() && kind.HasRowLocks() {
				if last := lastWrite[o.query.Item]; o.ended-o.wait < last {
					t.Fatalf("seed %d: two writes of %s overlap: one ended at %v, another began before %v", seed, o.query.Item, last, o.ended-o.wait)
				}
				lastWrite[o.query.Item] = o.ended
			}
			if svc.Workers > 0 {
				under := 0
				for _, other := range ops {
					if other.ended-other.wait < o.ended && other.ended >= o.ended {
						under++
					}
				}
				if under > svc.Workers {
					t.Fatalf("seed %d: %d operations at once for %d workers", seed, under, svc.Workers)
				}
			}
		}
	}
}

func TestCan(t *testing.T) {
	redis, web := service(topology.Redis, topology.Store{}), topology.NewService("web")
	given := service(topology.Redis, topology.Store{Engine: topology.Real, Address: "127.0.0.1:6379"})
	real := service(topology.Redis, topology.Store{Engine: topology.Real})
	cache, log := service(topology.Memcached, topology.Store{}), service(topology.Kafka, topology.Store{})
	for _, tt := range []struct {
		service *topology.Service
		fault   fault.Type
		want    string
	}{
		{redis, fault.SlowQuery, ""}, {redis, fault.CacheFlush, ""}, {redis, fault.NetDelay, ""}, {redis, fault.Unreachable, ""}, {redis, fault.Kill, ""},
		{redis, fault.LockWait, "redis has no locks on rows"},
		{redis, fault.Latency, "write slow-query"},
		{&web, fault.SlowQuery, "write latency"}, {&web, fault.Latency, ""},
		{real, fault.SlowQuery, ""}, {given, fault.SlowQuery, ""},
		{real, fault.NetDelay, ""}, {real, fault.Kill, ""}, {real, fault.Pause, ""}, {real, fault.CPUStress, "take from the relay"},
		{given, fault.Kill, "at 127.0.0.1:6379, is not ours to stop"}, {given, fault.CPUStress, "is not ours to stop"},
		{real, fault.Failover, ""}, {real, fault.ReplicaLag, "cannot be told to"}, {given, fault.Failover, "at 127.0.0.1:6379, is not ours to change"}, {given, fault.NetDelay, ""},
		{cache, fault.Failover, "memcached has no replicas"}, {cache, fault.CacheFlush, ""},
		{redis, fault.PoisonMessage, "redis has no consumers"}, {log, fault.PoisonMessage, ""}, {log, fault.ConsumerLag, ""}, {log, fault.SlowQuery, ""},
		{log, fault.ReplicaLag, "write consumer-lag"}, {log, fault.LockWait, "no locks"}, {log, fault.CacheFlush, "is no cache"}, {log, fault.DiskFull, ""},
		{service(topology.MySQL, topology.Store{}), fault.CacheFlush, "mysql is no cache"}, {service(topology.MySQL, topology.Store{}), fault.LockWait, ""},
	} {
		err := Can(tt.service, &fault.Fault{Type: tt.fault})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s on %s %s: %v, want %q", tt.fault, tt.service.Kind, tt.service.StoreSettings().Engine, err, tt.want)
		}
	}
}

// A real server is not told what it cannot tell apart.
func TestRealServersFailAsAWhole(t *testing.T) {
	real := service(topology.Postgres, topology.Store{Engine: topology.Real})
	for want, f := range map[string]fault.Fault{
		"":                     {Type: fault.LockWait, Probability: 1},
		"write probability: 1": {Type: fault.LockWait, Probability: 0.5},
	} {
		if err := Can(real, &f); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
}

// The vocabulary of faults names the operations of the topology, which it does not
// import.
func TestFaultsKnowTheOperations(t *testing.T) {
	for _, kind := range topology.Kinds() {
		slots := map[int]bool{}
		for _, op := range kind.Operations() {
			slots[slot(op)] = true
		}
		if len(slots) != len(kind.Operations()) {
			t.Errorf("the operations of %s are not counted apart", kind)
		}
	}
	for _, op := range append(topology.Operations(), "other") {
		f := fault.Fault{Type: fault.SlowQuery, Probability: 1, Target: fault.Target{Service: "db"}, Args: fault.Args{Delay: dist.Fixed(ms), Operation: string(op)}}
		if known := f.Validate().Err() == nil; known != (op != "other") {
			t.Errorf("%q is known to faults: %v", op, known)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	s := New(1, service(topology.Redis, topology.Store{}))
	var r Running
	q := read("item:5")
	b.ReportAllocs()
	for b.Loop() {
		s.Begin(&r, q, 0)
	}
}
