package gate

import (
	"slices"
	"time"
)

// A line is what one stage holds back: chunks in the order in which they leave.
// Each stage that holds data has a line of its own, so that the end or a change
// of one condition moves on what that one holds and nothing else.
type line struct {
	held  []held
	bytes int // memory that the chunks keep
}

// held is a chunk that waits.
type held struct {
	chunk   // at is when it leaves
	entered time.Time
	// luck is the draw, uniform in 0..1, that the wait comes from. It is kept so
	// that an update of the condition can work the wait out anew.
	luck float64
}

// push puts a chunk at the end; it leaves no earlier than the one before it.
func (q *line) push(h held) {
	if n := len(q.held); n > 0 && h.at.Before(q.held[n-1].at) {
		h.at = q.held[n-1].at
	}
	q.held = append(q.held, h)
	q.bytes += h.cost()
}

// insert puts a chunk behind those that leave before it or at the same time.
func (q *line) insert(h held) {
	i := len(q.held)
	for i > 0 && q.held[i-1].at.After(h.at) {
		i--
	}
	q.held = slices.Insert(q.held, i, h)
	q.bytes += h.cost()
}

// pop takes the first chunk.
func (q *line) pop() held {
	h := q.held[0]
	q.bytes -= h.cost()
	q.held[0] = held{}
	q.held = q.held[1:]
	if len(q.held) == 0 {
		q.held = nil
	}
	return h
}

// cut takes the first n bytes of the first chunk, or all of it if it has no more.
func (q *line) cut(l *lane, n int) chunk {
	first := &q.held[0]
	if n >= len(first.data) {
		return q.pop().chunk
	}
	q.bytes -= first.cost()
	first.chunk = l.own(first.chunk)
	part := first.chunk
	part.data, first.data = first.data[:n:n], first.data[n:]
	q.bytes += first.cost()
	return part
}

// takeAll empties the line.
func (q *line) takeAll() []held {
	all := q.held
	*q = line{}
	return all
}

func (q *line) size() int { return q.bytes }

// deadline is when the first chunk leaves.
func (q *line) deadline() time.Time {
	if len(q.held) == 0 {
		return time.Time{}
	}
	return q.held[0].at
}

// tick passes on what is due, at the times at which it was due: what comes next
// does not wait longer because this lane woke late.
func (q *line) tick(s *slot, now time.Time) {
	for len(q.held) > 0 && !q.held[0].at.After(now) {
		s.pass(q.pop().chunk)
	}
}

// leave passes everything on at once.
func (q *line) leave(s *slot, now time.Time) {
	for _, h := range q.takeAll() {
		h.at = now
		s.pass(h.chunk)
	}
}

// behind passes the end of a connection on, behind all that the line holds.
func (q *line) behind(s *slot, c chunk) {
	if len(q.held) == 0 {
		s.pass(c)
		return
	}
	q.push(held{chunk: c, entered: c.at})
}
