package loadgen

import (
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// runOpen sends the arrivals of an open loop when they are due, without waiting for
// answers, and returns the time at which the phase ended.
func (l *running) runOpen(index int, start time.Time, pool *workers) time.Time {
	// The work of other goroutines does not delay a thread of its own.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	phase := &l.profile.Phases[index]
	key := load.PhaseKey(l.seed, index)
	pacer := phase.Pacer(key)
	alone := make(chan struct{}, 1)
	f, changed := l.control.now()
	pacer.Rescale(0, f.rate)
	end := start.Add(math.MaxInt64)
	if phase.Duration > 0 {
		end = start.Add(phase.Duration.Std())
	}
	for due := start; ; {
		select {
		case <-changed:
			f, changed = l.control.now()
			pacer.Rescale(max(time.Since(start), 0), f.rate)
		default:
		}
		number, at, ok := l.share.next(pacer, phase)
		if !ok && phase.Count > 0 && number >= phase.Count {
			return due
		}
		next := end
		if ok {
			next = start.Add(at)
		}
		switch {
		case !waitUntil(l.ctx, next, changed, alone):
			if l.ctx.Err() != nil {
				return time.Now()
			}
			if !time.Now().Before(end) {
				return end
			}
			f, changed = l.control.now()
			pacer.Rescale(max(time.Since(start), 0), f.rate)
		case !ok:
			return end
		default:
			due = next
			if !l.share.has(number) {
				continue
			}
			pool.arrive(index, number, load.ArrivalKey(key, number), due, f.burst)
		}
	}
}

// workers are the senders of open loops. The worker that became idle last is used
// first, so that few connections do most of the work.
type workers struct {
	*running
	mu     sync.Mutex
	idle   []*worker
	count  int
	closed bool
	own    batch // of what was dropped
	// dropped is the failure of the dropped requests.
	dropped *failure
}

type worker struct {
	*sender
	jobs chan job
}

func newWorkers(l *running) *workers {
	return &workers{running: l, own: batch{to: l.recorder}, dropped: dropped()}
}

// arrive sends the requests of one arrival of a phase; burst is a factor on the
// number of requests in the file.
func (w *workers) arrive(index, arrival int, key dist.Key, due time.Time, burst float64) {
	phase := &w.profile.Phases[index]
	from, to := 0, len(w.sources)
	if !phase.Each {
		from = w.mix.Pick(key)
		to = from + 1
	}
	for request := from; request < to; request++ {
		copies := phase.Burst * w.profile.Requests[request].Beat.Copies(arrival)
		if copies == 0 {
			continue
		}
		for number := range scaled(copies, burst, load.MaxBurst) {
			w.dispatch(job{phase: index, request: request, number: number, intended: due, arrival: key})
		}
	}
}

// dispatch passes a job to an idle worker or to a new one, or drops it.
func (w *workers) dispatch(j job) {
	w.mu.Lock()
	var free *worker
	if n := len(w.idle); n > 0 {
		free = w.idle[n-1]
		w.idle = w.idle[:n-1]
	} else if w.count < w.profile.MaxInFlight {
		w.count++
		free = &worker{sender: w.newSender(), jobs: make(chan job, 1)}
		w.wg.Go(func() { w.work(free) })
	}
	w.mu.Unlock()
	if free != nil {
		free.jobs <- j // empty, since its worker was idle
		return
	}
	o := measure.Outcome{
		Phase: j.phase, Request: j.request, Intended: j.intended.Sub(w.started),
		Late: max(time.Since(j.intended), 0), Class: outcome.Dropped,
	}
	w.own.add(sample{Outcome: o, failure: w.dropped})
	if w.observe != nil {
		w.observe(o)
	}
}

func (w *workers) work(own *worker) {
	defer own.close()
	for j := range own.jobs {
		own.send(&j)
		w.mu.Lock()
		if w.closed {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, own)
		w.mu.Unlock()
	}
}

// close makes the workers end after their current requests.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, free := range w.idle {
		close(free.jobs)
	}
	w.own.flush()
}
