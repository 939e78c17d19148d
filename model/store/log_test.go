package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

func kafka(t topology.Store) *Store { return New(1, service(topology.Kafka, t)) }

func publish(partition int, value string) Query {
	return Query{Operation: topology.OpPublish, Item: "k", Partition: partition, Value: []byte(value)}
}

func consume(group string, number int) Query {
	return Query{Operation: topology.OpConsume, Group: group, Member: number, Patience: 500 * ms}
}

// values are those of the messages that an operation has got, to its end.
func values(s *Store, q Query, at time.Duration) (list []string) {
	a, _ := do(s, q, at)
	for _, m := range a.Messages {
		list = append(list, string(m.Value))
	}
	return list
}

func wantValues(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// The hash is that of Kafka: the values are those of its own test (UtilsTest.testMurmur2).
func TestKeysHaveThePartitionOfKafka(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want { //nolint:gosec // as in Java
			t.Errorf("the hash of %q is %d, want %d", key, got, want)
		}
		if p := PartitionOf([]byte(key), 7); p != int(want&0x7fffffff)%7 {
			t.Errorf("the partition of %q is %d", key, p)
		}
	}
}

func TestGroupsConsumeEachMessageOnce(t *testing.T) {
	s := kafka(topology.Store{})
	for _, v := range []string{"a", "b"} {
		do(s, publish(0, v), 0)
	}
	wantValues(t, "first", values(s, consume("g", 1), ms), "a")
	wantValues(t, "another group", values(s, consume("h", 1), ms), "a")
	if n := s.Lag("g", 0).Messages; n != 1 || s.Lag("new", 0).Messages != 2 {
		t.Errorf("the group has %d messages left, a new one %d", n, s.Lag("new", 0).Messages)
	}
	wantValues(t, "second", values(s, consume("g", 1), ms), "b")
	if a, took := do(s, consume("g", 1), ms); a.Found || a.Code != OK || took != 500*ms {
		t.Errorf("without a message: %+v after %v", a, took)
	}
	if c := s.Counts(); c.Published != 2 || c.Consumed != 3 || c.Missed != 0 {
		t.Errorf("counts %+v", c)
	}
}

// A consumer that waits is told of a message; one that has come before gets it.
func TestConsumersWait(t *testing.T) {
	s := kafka(topology.Store{})
	var first, second, p Running
	for _, r := range []*Running{&first, &second} {
		if step := s.Begin(r, consume("g", 1), 0); step.Done || !step.Changes || step.Until != 500*ms {
			t.Fatalf("without a message: %+v", step)
		}
	}
	if step := s.Begin(&p, publish(0, "x"), 7*ms); !step.Done || !step.Wakes {
		t.Fatalf("publishing: %+v", step)
	}
	if step := s.Next(&first, 7*ms); !step.Done || string(step.Answer.Value) != "x" {
		t.Errorf("the first got %+v", step)
	}
	if step := s.Next(&second, 7*ms); step.Done || step.Until != 507*ms { // its turn comes now
		t.Errorf("the second got %+v", step)
	}
}

// A consumer fetches one message at a time.
func TestConsumersTakeTurns(t *testing.T) {
	s := kafka(topology.Store{Latency: dist.Fixed(10 * ms), WriteLatency: dist.Fixed(ms)})
	for range 9 {
		do(s, publish(0, "x"), 0)
	}
	var ops []*operation
	for _, at := range []time.Duration{ms, ms, 5 * ms, 100 * ms} {
		ops = append(ops, &operation{query: consume("g", 1), at: at})
	}
	other := &operation{query: consume("g", 2), at: ms}
	play(s, append(ops, other))
	for i, want := range []time.Duration{11 * ms, 21 * ms, 31 * ms, 110 * ms} {
		if o := ops[i]; !o.step.Answer.Found || o.ended != want {
			t.Errorf("consume %d ended at %v, want %v: %+v", i, o.ended, want, o.step.Answer)
		}
	}
	if other.ended != 511*ms || other.step.Answer.Found {
		t.Errorf("a consumer without a partition ended at %v: %+v", other.ended, other.step.Answer)
	}
}

func TestMembersShareThePartitions(t *testing.T) {
	s := kafka(topology.Store{Partitions: 3})
	for p := range 3 {
		do(s, publish(p, fmt.Sprint(p, "a")), 0)
		do(s, publish(p, fmt.Sprint(p, "b")), 0)
	}
	wantValues(t, "alone", values(s, consume("g", 1), 0), "0a")
	wantValues(t, "the second member", values(s, consume("g", 2), 0), "1a")
	wantValues(t, "the first has 0 and 2", values(s, consume("g", 1), 0), "2a")
	wantValues(t, "in turn", values(s, consume("g", 1), 0), "0b")
	wantValues(t, "the second goes on", values(s, consume("g", 2), 0), "1b")
	wantValues(t, "and has no other", values(s, consume("g", 2), 0))
	s.Leave("g", 1)
	wantValues(t, "until the first leaves", values(s, consume("g", 2), time.Second), "2b")
}

func TestRetentionDropsTheOldest(t *testing.T) {
	const size = 10 + 1 + messageOverhead
	s := kafka(topology.Store{Retention: 2 * size})
	for _, v := range []string{"aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"} {
		do(s, publish(0, v), 0)
	}
	if first, end := s.Bounds(0); first != 1 || end != 3 || s.Lag("g", 0).Messages != 2 {
		t.Errorf("offsets from %d to %d, and %d messages to consume", first, end, s.Lag("g", 0).Messages)
	}
	wantValues(t, "the oldest that is kept", values(s, consume("g", 1), 0), "bbbbbbbbbb")
	do(s, publish(0, string(make([]byte, 5*size))), 0)
	if first, end := s.Bounds(0); first != 3 || end != 4 {
		t.Errorf("a large message: offsets from %d to %d", first, end)
	}
}

func TestConsumerLagHoldsMessagesBack(t *testing.T) {
	s := kafka(topology.Store{})
	do(s, publish(0, "before"), 0)
	s.Apply("f", injected(fault.Fault{Type: fault.ConsumerLag, Args: fault.Args{Delay: dist.Fixed(200 * ms)}}), ms)
	do(s, publish(0, "after"), 2*ms)
	wantValues(t, "what was there", values(s, consume("g", 1), 3*ms), "before")
	if a, took := do(s, consume("g", 1), 3*ms); string(a.Value) != "after" || took != 199*ms {
		t.Errorf("what came then is %q after %v", a.Value, took)
	}
	do(s, publish(0, "last"), 300*ms)
	s.Clear("f")
	wantValues(t, "after the fault", values(s, consume("g", 1), 300*ms), "last")
}

// A message that cannot be read blocks its partition until the fault ends, and no
// other.
func TestPoisonBlocksItsPartition(t *testing.T) {
	s := kafka(topology.Store{Partitions: 2})
	s.Apply("f", injected(fault.Fault{Type: fault.PoisonMessage}), 0)
	do(s, publish(0, "poison"), 0)
	s.conditions[0].Fault.Probability = 0
	do(s, publish(0, "behind"), 0)
	do(s, publish(1, "beside"), 0)
	got := map[string]int{}
	for range 6 {
		a, _ := do(s, consume("g", 1), ms)
		got[string(a.Value)+a.Code.Error()]++
	}
	if got["besideok"] != 1 || got[Unreadable.Error()] != 5 || s.Lag("g", 0).Messages != 2 {
		t.Errorf("consumers got %v, and have %d left", got, s.Lag("g", 0).Messages)
	}
	s.Clear("f")
	wantValues(t, "after the fault", values(s, consume("g", 1), ms), "poison")
	wantValues(t, "and then", values(s, consume("g", 1), ms), "behind")
}

func TestFetchesFromPlaces(t *testing.T) {
	s := kafka(topology.Store{Partitions: 2})
	for _, v := range []string{"a", "b", "c"} {
		do(s, publish(0, v), 5*ms)
	}
	do(s, publish(1, "d"), 6*ms)
	from := Query{Operation: topology.OpConsume, From: []Position{{0, 1}, {1, 0}}, Most: 1, Patience: 10 * ms}
	wantValues(t, "at least one", values(s, from, 7*ms), "b")
	from.Most = 1000
	wantValues(t, "all that fit", values(s, from, 7*ms), "b", "c", "d")
	from.From = []Position{{0, 3}}
	if a, took := do(s, from, 7*ms); a.Found || took != 10*ms {
		t.Errorf("at the end: %+v after %v", a, took)
	}
	if m, ok := s.Since(0, 5*ms); !ok || m.Offset != 0 {
		t.Errorf("since then: %+v, %v", m, ok)
	}
	s.Commit("g", 0, 2)
	wantValues(t, "a group goes on where it has committed", values(s, consume("g", 1), 8*ms), "c")
}

// With any operations, each group consumes every message once, and the messages of a
// partition in their order.
func TestLogsLoseNothing(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := 1 + r.IntN(4)
		svc := service(topology.Kafka, topology.Store{Partitions: n, Latency: dist.Delay{Exponential: &dist.Exponential{Mean: unit.Duration(ms)}}})
		svc.Workers = r.IntN(3)
		s := New(seed, svc)
		var ops []*operation
		for i := range 40 {
			ops = append(ops, &operation{query: publish(r.IntN(n), fmt.Sprint(i)), at: time.Duration(r.Int64N(int64(50 * ms)))})
		}
		for range 200 {
			ops = append(ops, &operation{query: consume([]string{"g", "h"}[r.IntN(2)], r.IntN(2)), at: time.Duration(r.Int64N(int64(time.Second)))})
		}
		s.topic.group("g").member(0) // both are there from the beginning
		s.topic.group("g").member(1)
		s.topic.group("h").member(0)
		s.topic.group("h").member(1)
		play(s, ops)
		slices.SortStableFunc(ops, func(a, b *operation) int { return int(a.ended - b.ended) })
		got := map[string]map[Position]bool{"g": {}, "h": {}}
		last := map[string]int64{}
		for _, o := range ops {
			if o.query.Operation != topology.OpConsume || !o.step.Answer.Found {
				continue
			}
			m := o.step.Answer.Messages[0]
			if at := (Position{m.Partition, m.Offset}); got[o.query.Group][at] {
				t.Fatalf("seed %d: group %s got %+v twice", seed, o.query.Group, at)
			}
			got[o.query.Group][Position{m.Partition, m.Offset}] = true
			key := fmt.Sprint(o.query.Group, m.Partition)
			if m.Offset != last[key] {
				t.Fatalf("seed %d: partition %s: offset %d after %d", seed, key, m.Offset, last[key]-1)
			}
			last[key]++
		}
		for g, seen := range got {
			if len(seen)+int(s.Lag(g, 0).Messages) != 40 {
				t.Fatalf("seed %d: group %s got %d messages, and %d are left", seed, g, len(seen), s.Lag(g, 0).Messages)
			}
		}
	}
}

// The lag of a group counts from what it has consumed, or from the oldest message that is
// kept; its age is that of the first message that waits.
func TestLagHasAnAge(t *testing.T) {
	s := kafka(topology.Store{Partitions: 2})
	for i, v := range []string{"a", "b", "c"} {
		do(s, publish(0, v), time.Duration(i)*time.Second)
	}
	do(s, publish(1, "d"), 5*time.Second)
	if got := s.Lags(6 * time.Second); got != nil {
		t.Errorf("nobody consumes, and %+v are behind", got)
	}
	wantValues(t, "first", values(s, consume("g", 1), 6*time.Second), "a")
	want := []Lag{{Group: "g", Messages: 3, Age: 9 * time.Second}, {Group: "new", Messages: 4, Age: 10 * time.Second}}
	if got := s.Lags(10*time.Second, "new", "g"); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.Commit("g", 0, 3)
	s.Commit("g", 1, 1)
	if got := s.Lag("g", 10*time.Second); got != (Lag{Group: "g"}) {
		t.Errorf("all is consumed, and the lag is %+v", got)
	}
}
