package exec

import "github.com/microsim-dev/kubectl-microsim/model/topology"

// A Queue lets requests, or connections, wait for one of a replica's workers. A
// worker that becomes free goes to the next at once, so that none waits beside a
// free one. It is not safe for several goroutines: its executor locks it. T is
// what the executor knows a request by.
//
// Of a service without Shed, the connections wait in the accept queue of the
// system; an executor that models it uses a Queue with Workers.AcceptQueue.
type Queue[T comparable] struct {
	rules topology.Shed
	free  []int
	// line is a ring of those that wait: n of them, the oldest at first.
	line     []T
	first, n int
}

// NewQueue returns a queue for a number of workers that are all free; the first
// to enter gets worker 0.
func NewQueue[T comparable](workers int, rules topology.Shed) *Queue[T] {
	q := &Queue[T]{rules: rules, free: make([]int, 0, workers)}
	for worker := range workers {
		q.free = append(q.free, workers-1-worker)
	}
	return q
}

// Entry says what became of one that asked for a worker.
type Entry uint8

// The kinds of entries.
const (
	// Refused is turned away: the queue is full.
	Refused Entry = iota
	// Working has got a worker.
	Working
	// Waiting is in the line, until Leave returns it or it quits.
	Waiting
	// WaitingForOldest is in the line, from which the oldest was turned away.
	WaitingForOldest
)

// Enter asks for a worker. Of a full queue that serves the newest first, the
// oldest is turned away, because it would wait for longest.
func (q *Queue[T]) Enter(who T) (entry Entry, worker int, oldest T) {
	if n := len(q.free); n > 0 {
		worker = q.free[n-1]
		q.free = q.free[:n-1]
		return Working, worker, oldest
	}
	entry = Waiting
	if q.n >= q.rules.Queue {
		if !q.rules.LIFO || q.n == 0 {
			return Refused, 0, oldest
		}
		entry, oldest = WaitingForOldest, q.take(0)
	}
	q.push(who)
	return entry, 0, oldest
}

// Leave gives a worker back, and hands it to the next that waits, if one does.
func (q *Queue[T]) Leave(worker int) (next T, ok bool) {
	if q.n == 0 {
		q.free = append(q.free, worker)
		return next, false
	}
	if q.rules.LIFO {
		return q.take(q.n - 1), true
	}
	return q.take(0), true
}

// Quit takes one out of the line, and reports whether it was there. One that was
// not has been turned away, or has a worker.
func (q *Queue[T]) Quit(who T) bool {
	for i := range q.n {
		if q.line[q.at(i)] == who {
			q.take(i)
			return true
		}
	}
	return false
}

// Full reports whether Enter would turn one away.
func (q *Queue[T]) Full() bool {
	return len(q.free) == 0 && q.n >= q.rules.Queue && (!q.rules.LIFO || q.n == 0)
}

// Len is how many wait.
func (q *Queue[T]) Len() int { return q.n }

// Free is how many workers have nothing to do.
func (q *Queue[T]) Free() int { return len(q.free) }

func (q *Queue[T]) at(i int) int { return (q.first + i) % len(q.line) }

func (q *Queue[T]) push(who T) {
	if q.n == len(q.line) {
		grown := make([]T, max(8, 2*q.n))
		for i := range q.n {
			grown[i] = q.line[q.at(i)]
		}
		q.line, q.first = grown, 0
	}
	q.line[q.at(q.n)] = who
	q.n++
}

// take removes the i-th of the line. Those behind it move up; the first and the
// last go without any moving.
func (q *Queue[T]) take(i int) T {
	var none T
	who := q.line[q.at(i)]
	if i == 0 {
		q.line[q.first] = none
		q.first = q.at(1)
		q.n--
		return who
	}
	for ; i < q.n-1; i++ {
		q.line[q.at(i)] = q.line[q.at(i+1)]
	}
	q.line[q.at(q.n-1)] = none
	q.n--
	return who
}
