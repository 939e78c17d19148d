package store

import (
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A statement that is taken back leaves what the transaction wrote before, and its bytes; others
// see nothing until the end.
func TestTransactionsGoBack(t *testing.T) {
	s := New(1, service(topology.Postgres, topology.Store{Items: 2, Space: 10}))
	var tx Transaction
	do := func(t *Transaction, q Query) Answer {
		q.Transaction = t
		var r Running
		step := s.Begin(&r, q, 0)
		if !step.Done {
			return Answer{Code: LockTimeout} // it waits
		}
		return step.Answer
	}
	write := func(t *Transaction, item, value string) Code {
		return do(t, Query{Operation: topology.OpWrite, Item: item, Value: []byte(value)}).Code
	}
	read := func(t *Transaction, item string) string {
		return string(do(t, Query{Operation: topology.OpRead, Item: item}).Value)
	}
	if code := write(&tx, "a", "12345"); code != OK {
		t.Fatal(code)
	}
	mark := tx.Mark()
	for _, tt := range []struct {
		item, value string
		want        Code
	}{{"a", "123", OK}, {"b", "1234567", OK}, {"c", "1", Full}} {
		if code := write(&tx, tt.item, tt.value); code != tt.want {
			t.Errorf("%s: %v, want %v", tt.item, code, tt.want)
		}
	}
	if got := s.LenIn(&tx, 0); got != 4 || s.LenIn(nil, 0) != 2 {
		t.Errorf("it sees %d items, others %d", got, s.LenIn(nil, 0))
	}
	if got := read(nil, "a"); got != "" {
		t.Errorf("others see %q", got)
	}
	tx.Back(mark)
	if a, b := read(&tx, "a"), read(&tx, "b"); a != "12345" || b != "" || tx.bytes() != 5 {
		t.Errorf("taken back, it sees %q and %q, of %d bytes", a, b, tx.bytes())
	}
	if code := write(nil, "b", "x"); code != LockTimeout {
		t.Errorf("a write to a row that is kept: %v", code)
	}
	if !s.CommitTransaction(&tx, 0) || read(nil, "a") != "12345" || read(nil, "b") != "" {
		t.Errorf("committed, others see %q and %q", read(nil, "a"), read(nil, "b"))
	}
	if code := write(nil, "b", "x"); code != OK {
		t.Errorf("a write afterwards: %v", code)
	}
}

// A transaction that would wait for itself fails; one that waits for another does not.
func TestTransactionsThatWaitForEachOther(t *testing.T) {
	s := New(1, service(topology.MySQL, topology.Store{Items: 2}))
	var a, b, c Transaction
	begin := func(t *Transaction, item string) (*Running, Step) {
		r := &Running{}
		return r, s.Begin(r, Query{Operation: topology.OpWrite, Item: item, Value: []byte("x"), Transaction: t}, 0)
	}
	for item, tx := range map[string]*Transaction{"a": &a, "b": &b, "c": &c} {
		if _, step := begin(tx, item); !step.Done || step.Answer.Code != OK {
			t.Fatalf("%s: %+v", item, step)
		}
	}
	waiting, step := begin(&a, "b")
	if step.Done || !step.Changes {
		t.Errorf("it does not wait: %+v", step)
	}
	if _, step := begin(&b, "c"); step.Done {
		t.Errorf("it does not wait: %+v", step)
	}
	if _, step := begin(&c, "a"); !step.Done || step.Answer.Code != Deadlock {
		t.Errorf("the third ends as %+v", step)
	}
	s.RollbackTransaction(&b)
	if step := s.Next(waiting, 1); !step.Done || step.Answer.Code != OK {
		t.Errorf("the first goes on with %+v", step)
	}
}
