package policy

import (
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// BreakerState says what a breaker does with calls.
type BreakerState int

// The states of a breaker. Their numbers are the values of the metric
// microsim_breaker_state.
const (
	Closed BreakerState = iota
	HalfOpen
	Open
)

func (s BreakerState) String() string {
	return [...]string{"closed", "half-open", "open"}[s]
}

// breaker is the state machine of one Breaker in one scope. Times count from any
// fixed point and never decrease.
type breaker struct {
	config Breaker

	mu       sync.Mutex
	open     bool
	openedAt time.Duration
	// failures counts the failures in a row, while closed.
	failures int
	// window is a ring of the last calls, while closed, for a breaker by rate:
	// filled of them, the next at next. failed and slow count the calls of it with
	// these marks.
	window []mark
	next   int
	filled int
	failed int
	slow   int
	// trials and good count, while half-open, the trials that were let out and
	// those that succeeded.
	trials, good int
	// generation counts the openings, so that a call let out before an opening has
	// no effect on the state after it.
	generation uint32
}

// mark says how a call counts for the rates of a breaker.
type mark uint8

const (
	failed mark = 1 << iota
	slow
)

func newBreaker(config Breaker) *breaker {
	b := &breaker{config: config}
	if config.FailureRate > 0 || config.SlowRate > 0 {
		b.window = make([]mark, config.Window)
	}
	return b
}

// pass is the permission to send one call. The caller hands it back with the
// result.
type pass struct {
	generation uint32
	trial      bool
	// at is when the call goes out.
	at time.Duration
}

// allow reports whether a call may go out now.
func (b *breaker) allow(now time.Duration) (pass, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return pass{generation: b.generation, at: now}, true
	}
	if now-b.openedAt < b.config.Reset.Std() || b.trials >= b.config.Trials {
		return pass{}, false
	}
	b.trials++
	return pass{generation: b.generation, trial: true, at: now}, true
}

// record takes the result of a call that allow let out, and reports whether it
// opened the breaker.
func (b *breaker) record(p pass, now time.Duration, bad bool) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.generation != b.generation || b.open != p.trial {
		return false
	}
	late := b.config.SlowAfter > 0 && now-p.at >= b.config.SlowAfter.Std()
	if p.trial {
		if bad || late {
			b.trip(now)
			return true
		}
		if b.good++; b.good >= b.config.Trials {
			b.reset()
		}
		return false
	}
	if b.count(bad, late) {
		b.trip(now)
		return true
	}
	return false
}

// cancel takes back the permission of a call that has no result.
func (b *breaker) cancel(p pass) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.trial && p.generation == b.generation && b.open {
		b.trials--
	}
}

// count adds a result while closed, and reports whether a threshold is reached.
func (b *breaker) count(bad, late bool) bool {
	if b.config.SlowRate == 0 {
		bad, late = bad || late, false
	}
	if b.window == nil {
		if !bad {
			b.failures = 0
			return false
		}
		b.failures++
		return b.failures >= b.config.Failures
	}
	if b.filled == len(b.window) {
		b.tally(b.window[b.next], -1)
	} else {
		b.filled++
	}
	var m mark
	if bad {
		m |= failed
	}
	if late {
		m |= slow
	}
	b.window[b.next] = m
	b.tally(m, 1)
	b.next = (b.next + 1) % len(b.window)
	return b.filled >= b.config.MinCalls && (b.reached(b.failed, b.config.FailureRate) || b.reached(b.slow, b.config.SlowRate))
}

// tally adds n, which may be negative, to the counts of a mark.
func (b *breaker) tally(m mark, n int) {
	if m&failed != 0 {
		b.failed += n
	}
	if m&slow != 0 {
		b.slow += n
	}
}

// reached reports whether calls are at least a share of the calls in the window; a
// share of 0 is never reached. It divides instead of multiplying, because in floating
// point 0.55*100 is more than 55, but 55/100 equals 0.55.
func (b *breaker) reached(calls int, share unit.Share) bool {
	return share > 0 && float64(calls)/float64(b.filled) >= float64(share)
}

func (b *breaker) trip(now time.Duration) {
	b.reset()
	b.open, b.openedAt = true, now
	b.generation++
}

func (b *breaker) reset() {
	b.open, b.failures, b.trials, b.good = false, 0, 0, 0
	b.next, b.filled, b.failed, b.slow = 0, 0, 0, 0
}

// state returns what the breaker would do with a call now.
func (b *breaker) state(now time.Duration) BreakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open:
		return Closed
	case now-b.openedAt < b.config.Reset.Std():
		return Open
	}
	return HalfOpen
}
