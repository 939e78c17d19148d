package sqlfront

import (
	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// A transaction is what a connection has begun and not ended. Each of its statements sees what is
// committed when it begins, and what the transaction has written before, as under READ
// COMMITTED; rows that it has written, or read for update, are locked until its end.
type transaction struct {
	// open says that one has begun; failed that a statement of it has failed, after which
	// PostgreSQL does nothing until its end.
	open, failed bool
	// readOnly says that it was begun so.
	readOnly bool
	// manual says that statements are in a transaction without a beginning, as MySQL does
	// without autocommit.
	manual bool
	// aborts says that the server is one whose transactions fail with a statement.
	aborts bool
	// data is what it has written and locked.
	data store.Transaction
}

// errAborted is that of a statement after one that has failed.
var errAborted = textError("current transaction is aborted, commands ignored until end of transaction block")

// errReadOnly is that of a write in a transaction of MySQL that only reads.
var errReadOnly = textError("Cannot execute statement in a READ ONLY transaction")

// of is the transaction that a statement belongs to, or nil.
func (t *transaction) of(s *statement) *store.Transaction {
	if t.open || t.manual && (s.verb.writes() || s.verb == selectItems) {
		return &t.data
	}
	return nil
}

// admit says why a statement is not done now; nil means that it is.
func (t *transaction) admit(s *statement) *refusal {
	switch {
	case s.verb == commit || s.verb == rollback:
		return nil
	case t.failed:
		return &refusal{text: errAborted, verb: s.verb}
	case t.readOnly && t.aborts && s.locks:
		return &refusal{code: store.ReadOnly, verb: selectForUpdate}
	case t.readOnly && t.aborts && s.verb.writes():
		return &refusal{code: store.ReadOnly, verb: s.verb}
	case t.readOnly && s.verb.writes():
		return &refusal{text: errReadOnly, verb: s.verb}
	}
	return nil
}

// note takes in that a statement was done, with what it means for a transaction; its answer
// says what became of that.
func (t *transaction) note(e Engine, s *statement) verb {
	switch s.verb {
	case begin, start:
		if t.open && !t.aborts {
			e.Commit(&t.data) // of MySQL it ends the one before
		}
		if !t.open || !t.aborts {
			t.readOnly = s.readOnly
		}
		t.open = true
	case commit, rollback:
		failed := t.failed
		if s.verb == commit && !failed {
			e.Commit(&t.data)
		} else {
			e.Rollback(&t.data)
		}
		t.open, t.failed, t.readOnly = false, false, false
		if failed {
			return rollback
		}
	case autocommitOff:
		t.manual = true
	case autocommitOn:
		if t.manual { // it ends what was begun
			e.Commit(&t.data)
			t.open, t.readOnly = false, false
		}
		t.manual = false
	default:
		t.open = t.open || t.manual && (s.verb == selectItems || s.verb.writes())
	}
	return s.verb
}

// refuse takes in that a statement has failed, which began at a mark, and takes back what it did.
func (t *transaction) refuse(e Engine, why *refusal, mark int) {
	if t.data.Mark() > mark {
		t.data.Back(mark)
	}
	switch {
	case t.open && t.aborts:
		t.failed = true
		e.Rollback(&t.data)
	case why != nil && why.code == store.Deadlock:
		t.open, t.readOnly = false, false
		e.Rollback(&t.data)
	}
}

// end takes back what a connection leaves behind.
func (t *transaction) end(e Engine) {
	e.Rollback(&t.data)
	t.open, t.failed, t.readOnly, t.manual = false, false, false, false
}

// writes reports whether a verb changes items.
func (v verb) writes() bool { return v == insert || v == upsert || v == update || v == remove }
