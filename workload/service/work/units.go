package work

import (
	"math"
	"math/rand"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// unitRoots is how many square roots of random numbers a unit of CPU is, as in
// VECROsim (vecro-base, stress.go).
const unitRoots = 32768

// Units does units of CPU. It draws random numbers at the cost at which VECROsim's
// services draw theirs, which is most of a unit: they seed package math/rand, whose functions then share one generator behind a lock, and so do
// all requests of a service here.
type Units struct {
	generator atomic.Pointer[rand.Rand]
}

// NewUnits makes a generator; that takes some 10 us.
func NewUnits() *Units {
	u := &Units{}
	u.generator.Store(rand.New(&lockedSource{source: rand.NewSource(1)})) //nolint:gosec // it is work, not a secret
	return u
}

// float64 is a call like that of rand.Float64, which is not inlined either.
//
//go:noinline
func (u *Units) float64() float64 { return u.generator.Load().Float64() }

type lockedSource struct {
	mu     sync.Mutex
	source rand.Source
}

func (s *lockedSource) Int63() int64 {
	s.mu.Lock()
	n := s.source.Int63()
	s.mu.Unlock()
	return n
}

func (s *lockedSource) Seed(seed int64) {
	s.mu.Lock()
	s.source.Seed(seed)
	s.mu.Unlock()
}

// roots takes n square roots. It does not use them, as VECROsim does not, so that
// the compiler may leave out the same here and there.
func (u *Units) roots(n int) {
	for range n {
		_ = math.Sqrt(u.float64())
	}
}

// Burn does exactly units x 32 768 iterations, fewer only if stopped.
func (u *Units) Burn(units float64, stopped func() bool) {
	for left := int(units * unitRoots); left > 0 && !stopped(); left -= burnChunk {
		u.roots(min(left, burnChunk))
	}
}

// A Calibration is what work costs on this processor.
type Calibration struct {
	// Unit is the time of one unit of CPU, Step the least time that work of a
	// given time takes more than asked: it looks at the clock so often.
	Unit, Step time.Duration
}

// Calibrate measures what work costs, in a few milliseconds: the least of several
// tries, which others on the machine have disturbed least.
func Calibrate() Calibration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const tries, part = 12, 8
	units, steps := NewUnits(), newRandom()
	unit, step := make([]time.Duration, tries), make([]time.Duration, tries)
	sum := 0.0
	for i := range tries {
		begun := threadTime()
		units.roots(unitRoots / part)
		unit[i] = (threadTime() - begun) * part
		begun = threadTime()
		sum += roots(burnChunk, steps)
		step[i] = threadTime() - begun
	}
	runtime.KeepAlive(sum)
	return Calibration{Unit: slices.Min(unit), Step: slices.Min(step)}
}
