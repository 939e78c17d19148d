//go:build linux && !race

// The time of one thread is known on Linux only, and the race detector slows the
// compared loops differently.

package work

import (
	"math"
	"math/rand"
	"runtime"
	"slices"
	"testing"
	"time"
)

// reference is VECROsim's loop (vecro-base, stress.go), as its main seeds it.
func reference(units int) {
	for range unitRoots * units {
		math.Sqrt(rand.Float64())
	}
}

// leastOf returns the least processor time that each of several pieces of work
// takes, measured by turns, so that what slows the processor slows all of them.
func leastOf(tries int, work ...func()) []time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	least := make([]time.Duration, len(work))
	for i := range tries {
		for j, do := range work {
			begun := threadTime()
			do()
			if took := threadTime() - begun; i == 0 || took < least[j] {
				least[j] = took
			}
		}
	}
	return least
}

// seedLikeVECROsim makes rand.Float64 draw from the seeded generator, which the
// toolchain leaves alone for modules as new as this one unless it is told so.
func seedLikeVECROsim(t testing.TB) {
	t.Setenv("GODEBUG", "randseednop=0")
	rand.Seed(time.Now().UnixNano()) //nolint:staticcheck // it is what is imitated
}

// A unit costs what VECROsim's loop costs on this processor, within 10 %.
func TestAUnitCostsWhatVECROsimsDoes(t *testing.T) {
	seedLikeVECROsim(t)
	never := func() bool { return false }
	u := NewUnits()
	var ratio float64
	// Another process on the same core disturbs a measurement, not all of them.
	for range 5 {
		least := leastOf(20, func() { reference(2) }, func() { u.Burn(2, never) })
		if ratio = float64(least[1]) / float64(least[0]); math.Abs(ratio-1) <= 0.1 {
			break
		}
	}
	if math.Abs(ratio-1) > 0.1 {
		t.Errorf("a unit costs %.2f of what VECROsim's costs, want 0.9 to 1.1", ratio)
	}
	if c := Calibrate(); c.Step <= 0 || c.Unit < 10*c.Step {
		t.Errorf("the calibration is %+v", c)
	}
}

func TestCalibrationIsQuickAndRepeats(t *testing.T) {
	var units []time.Duration
	for range 5 {
		begun := time.Now()
		units = append(units, Calibrate().Unit)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
	}
	if least, most := slices.Min(units), slices.Max(units); most > 2*least {
		t.Errorf("it differs between %v and %v", least, most)
	}
}

// BenchmarkUnits prints what 20 units cost, and what VECROsim's loop costs.
func BenchmarkUnits(b *testing.B) {
	seedLikeVECROsim(b)
	never := func() bool { return false }
	b.Run("VECROsim", func(b *testing.B) {
		for b.Loop() {
			reference(20)
		}
	})
	u := NewUnits()
	b.Run("cpuUnits", func(b *testing.B) {
		for b.Loop() {
			u.Burn(20, never)
		}
	})
}
