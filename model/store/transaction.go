package store

import (
	"maps"
	"slices"
	"time"
)

// A Transaction is a transaction that a client builds up in several messages. Only it sees its
// writes until it is committed. Until its end, others cannot write the rows that it has written
// or locked. The zero value is ready. It belongs to one store.
type Transaction struct {
	writes map[string]pending
	// before are the writes that were replaced, so that a statement can be taken back.
	before []replaced
	// grown are the bytes that the writes add.
	grown int64
	rows  map[string]bool
	// awaits is the row that it waits for, if it waits.
	awaits string
	waits  bool
}

// A pending is a write that is not committed. It adds so many bytes to the version before.
type pending struct {
	value   []byte
	removes bool
	more    int64
}

// A replaced is what a transaction knew of an item before a write.
type replaced struct {
	item  string
	write pending
	wrote bool
}

// wrote is what a transaction has written of an item.
func (t *Transaction) wrote(item string) (p pending, wrote bool) {
	if t == nil {
		return p, false
	}
	p, wrote = t.writes[item]
	return p, wrote
}

// after is what becomes of a revision by a write.
func (p pending) after(is revision) revision {
	return revision{at: is.at, value: p.value, found: !p.removes, version: is.version + 1}
}

// bytes are those that the writes add.
func (t *Transaction) bytes() int64 {
	if t == nil {
		return 0
	}
	return t.grown
}

func (t *Transaction) write(item string, p pending) {
	was, wrote := t.writes[item]
	t.before = append(t.before, replaced{item, was, wrote})
	if t.writes == nil {
		t.writes = map[string]pending{}
	}
	t.grown += p.more
	p.more += was.more
	t.writes[item] = p
}

// Mark is a place to go back to.
func (t *Transaction) Mark() int { return len(t.before) }

// Back takes back what was written after a mark. The rows stay locked.
func (t *Transaction) Back(mark int) {
	for _, r := range slices.Backward(t.before[mark:]) {
		t.grown += r.write.more - t.writes[r.item].more
		if r.wrote {
			t.writes[r.item] = r.write
		} else {
			delete(t.writes, r.item)
		}
	}
	t.before = t.before[:mark]
}

// hold keeps a row until the end of a transaction; outside of one it is free again at once.
func (s *Store) hold(t *Transaction, item string) {
	if t == nil {
		return
	}
	if t.rows == nil {
		t.rows = map[string]bool{}
	}
	t.rows[item], s.held[item] = true, t
}

// awaitTransaction lets an operation wait for the end of another transaction, if that keeps its
// row. One that would wait for itself, by way of others, fails.
func (s *Store) awaitTransaction(r *Running, now time.Duration) (step Step, waits bool) {
	q := &r.query
	keeps := s.held[q.Item]
	if keeps == nil || keeps == q.Transaction || !s.takesRow(q) || q.Existing && !s.items.at(q.Item, now).found {
		return Step{}, false
	}
	if t := q.Transaction; t != nil {
		if s.waitsFor(keeps, t) {
			return failed(Deadlock), true
		}
		t.awaits, t.waits = q.Item, true
	}
	r.phase = locked
	return Step{Until: s.patience(r), Changes: true}, true
}

// waitsFor reports whether a transaction waits for another, by way of others.
func (s *Store) waitsFor(t, other *Transaction) bool {
	for range len(s.held) {
		switch {
		case t == nil:
			return false
		case t == other:
			return true
		case !t.waits:
			return false
		}
		t = s.held[t.awaits]
	}
	return false
}

// CommitTransaction makes the writes of a transaction those of all, and ends it. The operations whose step
// says Changes are to be told if it says so.
func (s *Store) CommitTransaction(t *Transaction, now time.Duration) (changes bool) {
	for _, item := range slices.Sorted(maps.Keys(t.writes)) {
		p, is := t.writes[item], s.items.at(item, now)
		s.items.put(item, revision{at: now, value: p.value, found: !p.removes, version: is.version + 1}, s.has(lagging))
	}
	return s.RollbackTransaction(t)
}

// RollbackTransaction ends a transaction without its writes. The operations whose step says Changes are
// to be told if it says so.
func (s *Store) RollbackTransaction(t *Transaction) (changes bool) {
	changes = len(t.rows) > 0
	for item := range t.rows {
		delete(s.held, item)
	}
	*t = Transaction{}
	return changes
}

// LenIn is how many items a transaction sees; nil is none.
func (s *Store) LenIn(t *Transaction, now time.Duration) int {
	n := s.items.len(now)
	if t == nil {
		return n
	}
	for item, p := range t.writes {
		switch was := s.items.at(item, now).found; {
		case was && p.removes:
			n--
		case !was && !p.removes:
			n++
		}
	}
	return n
}
