//go:build linux && !race

// The time of one thread is known on Linux only, and the race detector slows the
// compared loops differently.

package work

import (
	"fmt"
	"math"
	"math/rand"
	"os"
	"os/exec"
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

// ratioOfAUnit names the environment variable with which the test runs itself to
// print a ratio.
const ratioOfAUnit = "TEST_RATIO_OF_A_UNIT"

// A unit costs what VECROsim's loop costs on this processor, within 10 %. Another
// program on the same core disturbs a measurement, and an unlucky place of the
// generator in memory disturbs all measurements of a process. So the ratio is
// measured in several processes until it is right once.
func TestAUnitCostsWhatVECROsimsDoes(t *testing.T) {
	if os.Getenv(ratioOfAUnit) != "" {
		seedLikeVECROsim(t)
		u := NewUnits()
		least := leastOf(20, func() { reference(2) }, func() { u.Burn(2, func() bool { return false }) })
		fmt.Printf("ratio %.3f\n", float64(least[1])/float64(least[0]))
		return
	}
	var ratios []float64
	for range 20 {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // it is this test
		child.Env = append(os.Environ(), ratioOfAUnit+"=print")
		output, err := child.CombinedOutput()
		var ratio float64
		if _, scanErr := fmt.Sscanf(string(output), "ratio %g", &ratio); err != nil || scanErr != nil {
			t.Fatalf("measuring in a process of its own: %v, %v\n%s", err, scanErr, output)
		}
		if math.Abs(ratio-1) <= 0.1 {
			return
		}
		ratios = append(ratios, ratio)
	}
	t.Errorf("a unit costs %v of what VECROsim's costs, want 0.9 to 1.1", ratios)
}

func TestTheCalibrationIsPossible(t *testing.T) {
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
