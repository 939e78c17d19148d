package virtual

import (
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/des"
)

// A waker says when a sleep is seen to be over. The services and the load are one program
// of Go, whose runtime lets the kernel wake it after whole milliseconds (tick): it asks
// for those that are left, and at the end for one more (runtime/netpoll_epoll.go). So a
// sleep of 0.1 ms takes 1 ms if nothing else happens, and one of 1.1 ms takes 2. Another
// event can end the wait earlier, but does not always, because another thread may handle
// it.
type waker struct {
	// tick is 0 where sleeps end by themselves.
	tick time.Duration
	// typical is the median lateness of the kernel's own timer.
	typical time.Duration
	// last is when the program began to wait, seen counts the events since the first
	// of those in over.
	last time.Duration
	seen int
	over []sleeper
}

// A sleeper is an event that is due, and the timer by which it happens at the latest.
type sleeper struct {
	timer des.Timer
	event event
}

// notices is how many other events it takes until a sleep that is over is noticed. With
// two, sleeps of 0.1 to 20 ms under 60 to 2500 requests a second are as late as real ones
// were, from the median to p90.
const notices = 2

func newWaker(m *Machine) waker {
	k := waker{tick: m.SleepTick, typical: m.SleepLate}
	if len(m.Lateness) > 0 {
		k.typical = m.Lateness.at(0.5)
	}
	return k
}

// idleAfter is after how long a processor of nothing else to do sleeps so deeply that it
// wakes up slowly: Linux then does without its regular tick, of which there are 250 a
// second.
const idleAfter = 4 * time.Millisecond

// idle reports whether the processors have had nothing to do for a while.
func (k *waker) idle(now time.Duration) bool { return now-k.last >= idleAfter }

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

// sleepDue is the moment until which a branch, or a call before a retry, sleeps.
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

// oversleep schedules what happens when a sleep that is over now is noticed.
func (w *world) oversleep(sv *serving, e event) des.Timer {
	k := &w.waker
	timer := w.k.At(k.wakes(w.now())+w.late(sv), e)
	if len(k.over) == 0 {
		k.seen = 0
	}
	k.over = append(k.over, sleeper{timer, e})
	return timer
}

// wakes is when the wait ends that the program is in at a moment, or the one that it
// begins then because it is too early.
func (k *waker) wakes(due time.Duration) time.Duration {
	at := k.last
	for {
		left := due - at
		if left <= k.tick {
			return at + k.tick
		}
		// It begins to wait a little later than the sleep.
		if at += (left-1)/k.tick*k.tick + k.typical; at >= due {
			return due
		}
	}
}

// noticed follows an event of the program, which may notice sleeps that are over.
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
