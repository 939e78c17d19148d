package exec

import "github.com/microsim-dev/kubectl-microsim/model/topology"

// A Queue lets requests, or connections, wait for one of a replica's workers. A
// worker that becomes free goes to the next request at once, so that no request
// waits while a worker is free. T is how the executor names a request. A Queue is
// not safe for several goroutines, so the executor must lock it.
//
// If a service has no Shed, connections wait in the accept queue of the operating
// system instead. An executor that models that queue uses a Queue with the rules of
// Workers.AcceptQueue.
type Queue[T comparable] struct {
	rules topology.Shed
	free  []int
	// line is a ring of the n requests that wait. The oldest is at first.
	line     []T
	first, n int
}

// NewQueue returns an empty queue for a number of free workers. The first to enter
// gets worker 0.
func NewQueue[T comparable](workers int, rules topology.Shed) *Queue[T] {
	q := &Queue[T]{rules: rules, free: make([]int, 0, workers)}
	for worker := range workers {
		q.free = append(q.free, workers-1-worker)
	}
	return q
}

// Entry says what Enter did with a request.
type Entry uint8

// The kinds of entries.
const (
	// Refused says that the request is turned away, because the queue is full.
	Refused Entry = iota
	// Working says that the request has a worker.
	Working
	// Waiting says that the request waits until Leave returns it or Quit removes
	// it.
	Waiting
	// WaitingForOldest says that the request waits, and the oldest one is turned
	// away for it.
	WaitingForOldest
)

// Enter asks for a worker. If the queue is full and serves the newest first, it
// turns the oldest away, because that one would wait for longest.
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

// Leave gives a worker back. It returns the request that gets the worker, or false
// if none waits.
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

// Quit removes a waiting request, and reports whether it was waiting. If not, the
// request has a worker or has been turned away.
func (q *Queue[T]) Quit(who T) bool {
	for i := range q.n {
		if q.line[q.at(i)] == who {
			q.take(i)
			return true
		}
	}
	return false
}

// Full reports whether Enter would turn a request away.
func (q *Queue[T]) Full() bool {
	return len(q.free) == 0 && q.n >= q.rules.Queue && (!q.rules.LIFO || q.n == 0)
}

// Len returns how many requests wait.
func (q *Queue[T]) Len() int { return q.n }

// Free returns how many workers are free.
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

// take removes the i-th request of the line. Those behind it move up, so only the
// first and the last are cheap to remove.
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
