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
	// perSecond refills by time; a budget earns by events instead.
	perSecond float64
	last      time.Duration
}

func newBucket(size, perSecond float64) *bucket {
	return &bucket{tokens: size, size: size, perSecond: perSecond}
}

// take removes one token, if there is one.
func (b *bucket) take(now time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now > b.last {
		b.tokens = math.Min(b.size, exact.MulAdd(b.perSecond, (now-b.last).Seconds(), b.tokens))
		b.last = now
	}
	// Tenths do not add up to one exactly.
	if b.tokens < 1-1e-9 {
		return false
	}
	b.tokens = math.Max(0, b.tokens-1)
	return true
}

// earn adds tokens, up to the size.
func (b *bucket) earn(tokens float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = math.Min(b.size, b.tokens+tokens)
}

// semaphore bounds the calls under way.
type semaphore struct {
	mu         sync.Mutex
	inside, at int
}

func (s *semaphore) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inside >= s.at {
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
