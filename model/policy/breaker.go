package policy

import (
	"sync"
	"time"
)

// BreakerState is what a breaker does with calls.
type BreakerState int

// The states of a breaker; their numbers are those of the metric
// microsim_breaker_state.
const (
	Closed BreakerState = iota
	HalfOpen
	Open
)

func (s BreakerState) String() string {
	return [...]string{"closed", "half-open", "open"}[s]
}

// breaker is the state machine of one Breaker in one scope. Times count from
// any fixed point and must not go back.
type breaker struct {
	config Breaker

	mu       sync.Mutex
	open     bool
	openedAt time.Duration
	// In a row, while closed.
	failures int
	// The last calls, while closed, for a breaker by rate.
	window []bool
	next   int
	filled int
	failed int
	// While half-open: trials out, and trials that succeeded.
	trials, good int
	// generation counts the openings, so that calls let out before one do not
	// decide over what came after.
	generation uint32
}

func newBreaker(config Breaker) *breaker {
	b := &breaker{config: config}
	if config.FailureRate > 0 {
		b.window = make([]bool, config.Window)
	}
	return b
}

// pass is the permission of one call; it is handed back with the result.
type pass struct {
	generation uint32
	trial      bool
}

// allow says whether a call may go out now.
func (b *breaker) allow(now time.Duration) (pass, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return pass{generation: b.generation}, true
	}
	if now-b.openedAt < b.config.Reset.Std() || b.trials >= b.config.Trials {
		return pass{}, false
	}
	b.trials++
	return pass{generation: b.generation, trial: true}, true
}

// record takes the result of a call that allow let out. It reports whether this
// result opened the breaker.
func (b *breaker) record(p pass, now time.Duration, failed bool) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.generation != b.generation || b.open != p.trial {
		return false
	}
	if p.trial {
		if failed {
			b.trip(now)
			return true
		}
		if b.good++; b.good >= b.config.Trials {
			b.reset()
		}
		return false
	}
	if b.count(failed) {
		b.trip(now)
		return true
	}
	return false
}

// cancel hands back a permission whose call had no result.
func (b *breaker) cancel(p pass) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.trial && p.generation == b.generation && b.open {
		b.trials--
	}
}

// count adds a result of the closed state and says whether the threshold is
// reached.
func (b *breaker) count(failed bool) bool {
	if b.window == nil {
		if !failed {
			b.failures = 0
			return false
		}
		b.failures++
		return b.failures >= b.config.Failures
	}
	if b.filled == len(b.window) {
		if b.window[b.next] {
			b.failed--
		}
	} else {
		b.filled++
	}
	b.window[b.next] = failed
	if failed {
		b.failed++
	}
	b.next = (b.next + 1) % len(b.window)
	return b.filled == len(b.window) && float64(b.failed) >= float64(b.config.FailureRate)*float64(b.filled)
}

func (b *breaker) trip(now time.Duration) {
	b.reset()
	b.open, b.openedAt = true, now
	b.generation++
}

func (b *breaker) reset() {
	b.open, b.failures, b.trials, b.good = false, 0, 0, 0
	b.next, b.filled, b.failed = 0, 0, 0
}

// state tells what the breaker would do with a call now.
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
