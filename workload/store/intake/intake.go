// Package intake reads messages whose length a client tells, so that clients that are
// slow, or lie, take no memory without bound: memory grows with the bytes that really
// come, and all connections of a store share a budget.
package intake

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// A Budget is what the messages under way may take together. It may be used by several
// goroutines.
type Budget struct{ left atomic.Int64 }

// NewBudget returns one of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.left.Store(bytes)
	return b
}

// Free is how many bytes of a message are not counted: connections are bound as well.
const Free = 16 << 10

// ErrFull is that of a message for which the budget has no more bytes.
var ErrFull = errors.New("the messages under way take all the memory that there is for them")

// Take takes bytes out of the budget, all or none.
func (b *Budget) Take(n int) error {
	if b.left.Add(-int64(n)) < 0 {
		b.left.Add(int64(n))
		return ErrFull
	}
	return nil
}

// Give gives bytes back.
func (b *Budget) Give(n int) { b.left.Add(int64(n)) }

// Read reads a message of n bytes. Release gives its bytes back to the budget; it is
// never nil, and the message must not be used after it.
func (b *Budget) Read(in io.Reader, n int) (message []byte, release func(), err error) {
	if n <= Free {
		message = make([]byte, n)
		_, err = io.ReadFull(in, message)
		return message, func() {}, err
	}
	taken := 0
	release = func() { b.Give(taken) }
	message = make([]byte, 0, Free)
	for len(message) < n {
		if len(message) == cap(message) {
			more := min(2*cap(message), n)
			if err := b.Take(more); err != nil {
				return nil, release, fmt.Errorf("reading a message of %d bytes: %w", n, err)
			}
			grown := append(make([]byte, 0, more), message...)
			b.Give(taken)
			message, taken = grown, more
		}
		from := len(message)
		message = message[:cap(message)]
		got, err := io.ReadAtLeast(in, message[from:], 1)
		message = message[:from+got]
		if err != nil {
			return nil, release, err
		}
	}
	return message, release, nil
}

// A Meter reads from a client by a parser that keeps what is no whole message yet, and
// keeps the memory for its longest. The zero Meter of a reader and a budget is ready.
type Meter struct {
	In     io.Reader
	Budget *Budget
	since  int
	taken  int
}

// Read implements io.Reader.
func (m *Meter) Read(b []byte) (int, error) {
	n, err := m.In.Read(b)
	m.since += n
	if more := m.since - Free - m.taken; more > 0 {
		if full := m.Budget.Take(more); full != nil {
			return 0, full
		}
		m.taken += more
	}
	return n, err
}

// Whole says that what was read so far was whole messages.
func (m *Meter) Whole() { m.since = 0 }

// Close gives all bytes back.
func (m *Meter) Close() {
	m.Budget.Give(m.taken)
	m.taken = 0
}
