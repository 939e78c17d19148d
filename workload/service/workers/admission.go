package workers

import (
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/exec"
)

// An Admission makes goroutines wait in an exec.Queue.
type Admission struct {
	mu    sync.Mutex
	queue *exec.Queue[*waiter] // guarded by mu
}

// A waiter receives the number of its worker, or turnedAway.
type waiter struct{ turn chan int }

const turnedAway = -1

// NewAdmission returns an admission with all workers free.
func NewAdmission(w exec.Workers) *Admission {
	return &Admission{queue: exec.NewQueue[*waiter](w.Count, w.Shed)}
}

// Enter waits for a worker and returns its number. It returns false if the request
// is turned away, because the queue is full, the time until has come, or one of the
// channels is closed. After true, the request must call Leave.
func (a *Admission) Enter(until time.Time, stop, left <-chan struct{}) (worker int, ok bool) {
	w := &waiter{}
	a.mu.Lock()
	entry, worker, oldest := a.queue.Enter(w)
	switch entry {
	case exec.Working:
		a.mu.Unlock()
		return worker, true
	case exec.Refused:
		a.mu.Unlock()
		return 0, false
	case exec.WaitingForOldest:
		oldest.turn <- turnedAway
	case exec.Waiting:
	}
	w.turn = make(chan int, 1)
	a.mu.Unlock()
	return a.wait(w, until, stop, left)
}

func (a *Admission) wait(w *waiter, until time.Time, stop, left <-chan struct{}) (worker int, ok bool) {
	var over <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
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
	waited := a.queue.Quit(w)
	a.mu.Unlock()
	if !waited {
		// The request got a worker at the same time.
		if worker = <-w.turn; worker != turnedAway {
			a.Leave(worker)
		}
	}
	return 0, false
}

// Leave passes a worker to the next waiting request, or makes it free.
func (a *Admission) Leave(worker int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if next, ok := a.queue.Leave(worker); ok {
		next.turn <- worker
	}
}

// Waiting returns how many requests wait.
func (a *Admission) Waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queue.Len()
}
