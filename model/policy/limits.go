package policy

import (
	"math"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/exact"
)

// bucket is a token bucket. It starts full.
type bucket struct {
	mu           sync.Mutex
	tokens, size float64
	// perSecond is how many tokens come back per second; 0 for a budget, which
	// earns tokens instead.
	perSecond float64
	last      time.Duration
}

func newBucket(size, perSecond float64) *bucket {
	return &bucket{tokens: size, size: size, perSecond: perSecond}
}

// take removes one token, and reports whether there was one.
func (b *bucket) take(now time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now > b.last {
		b.tokens = math.Min(b.size, exact.MulAdd(b.perSecond, (now-b.last).Seconds(), b.tokens))
		b.last = now
	}
	// Allow for rounding: ten times 0.1 is a little less than 1 in floating point.
	if b.tokens < 1-1e-9 {
		return false
	}
	b.tokens = math.Max(0, b.tokens-1)
	return true
}

// earn adds tokens, up to the size of the bucket.
func (b *bucket) earn(tokens float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = math.Min(b.size, b.tokens+tokens)
}

// semaphore bounds the calls under way: inside of at most most.
type semaphore struct {
	mu           sync.Mutex
	inside, most int
}

func (s *semaphore) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inside >= s.most {
		return false
	}
	s.inside++
	return true
}

func (s *semaphore) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside--
}
