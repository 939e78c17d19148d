package loadgen

import (
	"math"
	"sync"
)

// A Control changes a load while it runs. Its factors multiply the values of the
// profile, from now on and in every phase; they begin as 1. It may be used by
// several goroutines at once.
type Control struct {
	mu      sync.Mutex
	factors factors
	changed chan struct{}
}

type factors struct{ rate, burst, users float64 }

// NewControl returns a control that changes nothing yet.
func NewControl() *Control {
	return &Control{factors: factors{1, 1, 1}, changed: make(chan struct{})}
}

// SetRate sets the factor of the arrival rate of open loops; 0 pauses them.
func (c *Control) SetRate(factor float64) { c.set(func(f *factors) { f.rate = clean(factor) }) }

// SetBurst sets the factor of the number of requests that each arrival of an
// open loop sends at once, rounded to whole requests.
func (c *Control) SetBurst(factor float64) { c.set(func(f *factors) { f.burst = clean(factor) }) }

// SetUsers sets the factor of the number of users of closed loops, rounded to whole
// users. Users beyond the new number leave after the answer to their request.
func (c *Control) SetUsers(factor float64) { c.set(func(f *factors) { f.users = clean(factor) }) }

// Set sets all factors at once.
func (c *Control) Set(rate, burst, users float64) {
	c.set(func(f *factors) { *f = factors{clean(rate), clean(burst), clean(users)} })
}

func (c *Control) set(change func(*factors)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.factors)
	close(c.changed)
	c.changed = make(chan struct{})
}

// now returns the factors, and a channel that is closed when they change.
func (c *Control) now() (factors, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.factors, c.changed
}

// clean returns the factor, or 0 if it is negative or not a number.
func clean(factor float64) float64 {
	if !(factor > 0) {
		return 0
	}
	return min(factor, 1e6)
}

func scaled(n int, factor float64, most int) int {
	return int(min(math.Round(float64(n)*factor), float64(most)))
}
