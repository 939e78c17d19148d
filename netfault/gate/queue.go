package gate

import "sync"

// An ending says how a connection, or one direction of it, comes to its end.
type ending int

const (
	endNone    ending = iota
	endOfData         // pass a half-close on
	endOrderly        // close both sides
	endReset          // reset both sides
	endAll            // close both sides of every connection of the gate
)

// An item is data to write, or an ending that follows the data before it.
type item struct {
	data   []byte
	pooled *[]byte // to give back once the data is written, or nil
	end    ending
}

// A queue holds what has left the last stage and has not been written yet, in
// order. One goroutine pushes and one takes.
type queue struct {
	mu    sync.Mutex
	items []item
	head  int
	bytes int

	filled  chan struct{} // something new is at the head
	drained chan struct{} // room was made
}

// overhead is what an item costs beside its data, so that many small ones are bounded too.
const overhead = 128

// cost is the memory that an item keeps, in bytes.
func (it *item) cost() int { return cost(it.data, it.pooled) }

func cost(data []byte, pooled *[]byte) int {
	if pooled != nil {
		return len(*pooled) + overhead
	}
	return len(data) + overhead
}

func newQueue() *queue {
	return &queue{filled: make(chan struct{}, 1), drained: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// push adds an item.
func (q *queue) push(it item) {
	q.mu.Lock()
	q.items = append(q.items, it)
	q.bytes += it.cost()
	first := len(q.items)-q.head == 1
	q.mu.Unlock()
	if first {
		signal(q.filled)
	}
}

// peek returns the head without taking it.
func (q *queue) peek() (item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return item{}, false
	}
	return q.items[q.head], true
}

// took removes the head, or its first n bytes if it has more.
func (q *queue) took(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := &q.items[q.head]
	cost := it.cost()
	if n < len(it.data) {
		it.data = it.data[n:]
		q.bytes -= cost - it.cost()
		return
	}
	q.bytes -= cost
	*it = item{}
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > 1024 && q.head > len(q.items)/2 {
		q.items = q.items[:copy(q.items, q.items[q.head:])]
		q.head = 0
	}
	signal(q.drained)
}

func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// takeAll empties a queue of data, leaving out endings.
func (q *queue) takeAll() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	var all []byte
	for _, it := range q.items[q.head:] {
		all = append(all, it.data...)
	}
	q.items, q.head, q.bytes = nil, 0, 0
	return all
}
