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

// Units does units of CPU. Its random numbers cost as much as those of VECROsim's services,
// which is most of a unit. These services seed package math/rand, whose functions then share
// one generator behind a lock. So all requests of a service share a generator here, too.
type Units struct {
	generator atomic.Pointer[rand.Rand]
}

// NewUnits makes a generator, which takes about 10 us.
func NewUnits() *Units {
	u := &Units{}
	u.generator.Store(rand.New(&lockedSource{source: rand.NewSource(1)})) //nolint:gosec // it is work, not a secret
	return u
}

// float64 is not inlined, because rand.Float64 is not, either.
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

// roots computes n square roots. It does not use them, because VECROsim does not,
// either, so that the compiler may omit the same code in both.
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

// A Calibration has the costs of work on this processor.
type Calibration struct {
	// Unit is the time of one unit of CPU. Step is the interval between two looks
	// at the clock in work of a given time, and so the least time by which such
	// work is too long.
	Unit, Step time.Duration
}

// Calibrate measures the costs in a few milliseconds. It returns the least of
// several tries, because other programs have disturbed that one least.
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
