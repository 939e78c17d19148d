package virtual

import (
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/des"
)

// A waker says when the program notices that a sleep is over. The services and the load
// are one Go program. Its runtime waits in the kernel for whole milliseconds (tick): for
// those that are left, and at the end for one more (runtime/netpoll_epoll.go). So a sleep
// of 0.1 ms takes 1 ms if nothing else happens, and one of 1.1 ms takes 2. Another event
// can end the wait earlier, but does not always, because another thread may handle it.
type waker struct {
	// tick is 0 if sleeps end on time.
	tick time.Duration
	// typical is the median lateness of the kernel's own timer.
	typical time.Duration
	// last is when the program began to wait. seen counts the events since the first
	// sleep in over was due.
	last time.Duration
	seen int
	over []sleeper
}

// A sleeper is a due event, and the timer by which it happens at the latest.
type sleeper struct {
	timer des.Timer
	event event
}

// notices is the number of other events after which the program notices that a sleep is
// over. With 2, sleeps of 0.1 to 20 ms at 60 to 2500 requests a second are as late as
// real ones were, from the median to p90.
const notices = 2

func newWaker(m *Machine) waker {
	k := waker{tick: m.SleepTick, typical: m.SleepLate}
	if len(m.Lateness) > 0 {
		k.typical = m.Lateness.at(0.5)
	}
	return k
}

// idleAfter is the idle time after which a processor wakes up slowly: Linux then stops
// its regular tick, which comes 250 times a second.
const idleAfter = 4 * time.Millisecond

// idle reports whether the processors have had nothing to do for a while.
func (k *waker) idle(now time.Duration) bool { return now-k.last >= idleAfter }

// asleepAfter is the idle time after which the threads of a program of Go sleep: they look
// for work for some 10 us before, but one after the other. With it, 300 to 16000 requests
// a second without work take as much of a processor as they do for real.
const asleepAfter = 200 * time.Microsecond

// wakers is the job on the processors that stands for what wakes up threads.
const wakers = math.MinInt32

// wakeUp uses the processor time that a request takes in addition if the program sleeps.
func (w *world) wakeUp() {
	if w.machine.AloneCPU > 0 && w.now()-w.waker.last >= asleepAfter {
		w.cpu.Add(0, w.now(), w.machine.AloneCPU, wakers)
	}
}

// sleep schedules the end of a sleep of a request.
func (w *world) sleep(sv *serving, d time.Duration, e event) des.Timer {
	if w.waker.tick == 0 {
		return w.k.After(d+w.late(sv), e)
	}
	if e.kind == stepDone {
		e.kind = sleepDue
	} else {
		e.kind = pauseDue
	}
	return w.k.After(d, e)
}

// sleepDue handles the moment until which a branch, or a call before a retry,
// sleeps.
func (w *world) sleepDue(e event) {
	switch {
	case e.kind == sleepDue && w.strands.is(e.a, e.gen):
		e.kind = stepDone
		s := w.strands.at(e.a)
		s.timer = w.oversleep(w.servings.at(s.serving), e)
	case e.kind == pauseDue && w.callings.is(e.a, e.gen):
		e.kind = callTimer
		c := w.callings.at(e.a)
		c.timer = w.oversleep(w.servings.at(w.strands.at(c.strand).serving), e)
	}
}

// oversleep schedules an event for when the program notices that a sleep is over
// now.
func (w *world) oversleep(sv *serving, e event) des.Timer {
	k := &w.waker
	timer := w.k.At(k.wakes(w.now())+w.late(sv), e)
	if len(k.over) == 0 {
		k.seen = 0
	}
	k.over = append(k.over, sleeper{timer, e})
	return timer
}

// wakes returns when the program wakes up from the wait in which it is at a moment.
// If that wait ends too early, it returns the end of the next one.
func (k *waker) wakes(due time.Duration) time.Duration {
	at := k.last
	for {
		left := due - at
		if left <= k.tick {
			return at + k.tick
		}
		// The program begins to wait a little later than the sleep.
		if at += (left-1)/k.tick*k.tick + k.typical; at >= due {
			return due
		}
	}
}

// noticed is called after each event of the program, by which it may notice sleeps
// that are over.
func (w *world) noticed() {
	k := &w.waker
	k.last = w.now()
	if len(k.over) == 0 {
		return
	}
	if k.seen++; k.seen < notices {
		return
	}
	list := k.over
	k.over = nil
	for _, s := range list {
		if w.k.Cancel(s.timer) {
			w.handle(s.event)
		}
	}
	if k.over == nil {
		k.over = list[:0]
	}
}
