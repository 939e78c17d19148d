package sqlfront

// A transaction is what a connection has begun and not ended. It may read: each of its
// statements sees what is there when it begins, as under READ COMMITTED. What would need
// locks until its end, a write or a read for update, is refused.
type transaction struct {
	// open says that one has begun; failed that a statement of it has failed, after which
	// PostgreSQL does nothing until its end.
	open, failed bool
	// manual says that statements are in a transaction without a beginning, as MySQL does
	// without autocommit.
	manual bool
	// aborts says that the server is one whose transactions fail with a statement.
	aborts bool
}

// errTransaction is that of one that writes and comes in parts.
var errTransaction = textError("the embedded store writes in a transaction that comes as one message: begin; select; insert; commit; write without a transaction, or use engine: real")

// errAborted is that of a statement after one that has failed.
var errAborted = textError("current transaction is aborted, commands ignored until end of transaction block")

// admit says why a statement is not done now; nil means that it is.
func (t *transaction) admit(s *statement) *refusal {
	switch {
	case s.verb == commit || s.verb == rollback:
		return nil
	case t.failed:
		return &refusal{text: errAborted, verb: s.verb}
	case (t.open || t.manual) && (s.verb.writes() || s.locks):
		return &refusal{text: errTransaction, verb: s.verb}
	}
	return nil
}

// note takes in that a statement was done; its answer says what became of a transaction.
func (t *transaction) note(s *statement) verb {
	switch s.verb {
	case begin, start:
		t.open = true
	case commit, rollback:
		failed := t.failed
		t.open, t.failed = false, false
		if failed {
			return rollback
		}
	case autocommitOff:
		t.manual = true
	case autocommitOn:
		t.manual, t.open = false, false
	default:
		t.open = t.open || t.manual && s.verb == selectItems
	}
	return s.verb
}

// refuse takes in that a statement has failed.
func (t *transaction) refuse() { t.failed = t.failed || t.open && t.aborts }

// writes reports whether a verb changes items.
func (v verb) writes() bool { return v == insert || v == upsert || v == update || v == remove }
