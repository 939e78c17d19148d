package service

import (
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An admission lets requests wait for a worker inside the service, where they
// can be turned away. A worker that becomes free goes to the next at once, so
// that none waits beside a free one.
type admission struct {
	rules topology.Shed

	mu   sync.Mutex
	free []int
	// queue has the requests that wait, the oldest first.
	queue []*waiter
}

// A waiter is told the number of its worker, or turnedAway.
type waiter struct{ turn chan int }

const turnedAway = -1

func newAdmission(workers int, rules topology.Shed) *admission {
	a := &admission{rules: rules}
	for worker := range workers {
		a.free = append(a.free, workers-1-worker)
	}
	return a
}

// enter waits for a worker and returns its number, or false where the request is
// turned away: the queue is full, its deadline has come, or one of the channels
// is closed. Who has entered must leave.
func (a *admission) enter(deadline time.Time, stop, left <-chan struct{}) (worker int, ok bool) {
	a.mu.Lock()
	if n := len(a.free); n > 0 {
		worker = a.free[n-1]
		a.free = a.free[:n-1]
		a.mu.Unlock()
		return worker, true
	}
	if len(a.queue) >= a.rules.Queue {
		if !a.rules.LIFO || len(a.queue) == 0 {
			a.mu.Unlock()
			return 0, false
		}
		// The oldest would wait for longest, so it is the one to go.
		a.queue[0].turn <- turnedAway
		a.queue = a.queue[1:]
	}
	w := &waiter{turn: make(chan int, 1)}
	a.queue = append(a.queue, w)
	a.mu.Unlock()
	return a.wait(w, deadline, stop, left)
}

func (a *admission) wait(w *waiter, deadline time.Time, stop, left <-chan struct{}) (worker int, ok bool) {
	var over <-chan time.Time
	if a.rules.Deadline && !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case worker = <-w.turn:
		return worker, worker != turnedAway
	case <-over:
	case <-stop:
	case <-left:
	}
	a.mu.Lock()
	at := slices.Index(a.queue, w)
	if at >= 0 {
		a.queue = slices.Delete(a.queue, at, at+1)
	}
	a.mu.Unlock()
	if at < 0 {
		// Its turn has come at the same time.
		if worker = <-w.turn; worker != turnedAway {
			a.leave(worker)
		}
	}
	return 0, false
}

// leave gives a worker to the next who waits.
func (a *admission) leave(worker int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.queue)
	if n == 0 {
		a.free = append(a.free, worker)
		return
	}
	next := 0
	if a.rules.LIFO {
		next = n - 1
	}
	a.queue[next].turn <- worker
	a.queue = slices.Delete(a.queue, next, next+1)
}

// waiting is how many requests wait.
func (a *admission) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.queue)
}
