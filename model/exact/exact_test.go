package exact

import (
	"math"
	"math/rand/v2"
	"testing"
)

// ulps is how many units in the last place lie between two numbers.
func ulps(a, b float64) float64 {
	if a == b || math.IsNaN(a) && math.IsNaN(b) {
		return 0
	}
	return math.Abs(a-b) / (math.Nextafter(math.Abs(b), math.Inf(1)) - math.Abs(b))
}

func TestAgainstTheStandardLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	of := map[string]struct {
		ours, theirs func(float64) float64
		draw         func() float64
		within       float64
	}{
		// math's own is off by 1 on amd64.
		"Exp":                {Exp, math.Exp, func() float64 { return random.NormFloat64() * 100 }, 2},
		"Log":                {Log, math.Log, func() float64 { return math.Exp(random.NormFloat64() * 50) }, 1},
		"Log1p":              {Log1p, math.Log1p, func() float64 { return -random.Float64() }, 4},
		"Log1p of the small": {Log1p, math.Log1p, func() float64 { return random.NormFloat64() * math.Exp(-30*random.Float64()) }, 4},
		"PowInt": {
			func(x float64) float64 { return PowInt(x, 13) }, func(x float64) float64 { return math.Pow(x, 13) },
			func() float64 { return 1 + random.Float64()*4 }, 8,
		},
		// Erfinv itself is known to some 1e-16, which is much where it is near 0.
		"NormalQuantile": {NormalQuantile, func(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }, func() float64 { return 0.5 + random.Float64()/2 }, 64},
	}
	for name, f := range of {
		worst, at := 0.0, 0.0
		for range 200000 {
			x := f.draw()
			if d := ulps(f.ours(x), f.theirs(x)); d > worst {
				worst, at = d, x
			}
		}
		if worst > f.within {
			t.Errorf("%s(%v) is %v, and %v in package math: %v units in the last place, at most %v are right", name, at, f.ours(at), f.theirs(at), worst, f.within)
		}
	}
}

func TestCosTurns(t *testing.T) {
	for i := range 100000 {
		x := float64(i) / 7919
		if got, want := CosTurns(x), math.Cos(2*math.Pi*(x-math.Floor(x))); math.Abs(got-want) > 1e-15 {
			t.Fatalf("%v turns: %v, want %v", x, got, want)
		}
	}
	for x, want := range map[float64]float64{0: 1, 0.25: 0, 0.5: -1, 0.75: 0, 1: 1, -0.5: -1, 1e9 + 0.5: -1} {
		if got := CosTurns(x); got != want {
			t.Errorf("%v turns: %v, want %v", x, got, want)
		}
	}
}

func TestNormalQuantile(t *testing.T) {
	// From tables of the standard normal distribution.
	for p, want := range map[float64]float64{0.5: 0, 0.99: 2.3263478740408408, 0.975: 1.959963984540054, 0.001: -3.090232306167813, 1e-20: -9.262340089798408} {
		if got := NormalQuantile(p); math.Abs(got-want) > 1e-15*max(1, math.Abs(want)) {
			t.Errorf("%v: %v, want %v", p, got, want)
		}
	}
}

func TestSpecialValues(t *testing.T) {
	inf := math.Inf(1)
	for _, tt := range []struct{ got, want float64 }{
		{Exp(inf), inf}, {Exp(-inf), 0}, {Exp(0), 1}, {Exp(1e-300), 1}, {Exp(709.9), inf}, {Exp(-746), 0},
		{Log(0), -inf}, {Log(1), 0}, {Log(inf), inf}, {Log(-1), math.NaN()}, {Log(5e-324), -744.4400719213812},
		{Log1p(-1), -inf}, {Log1p(0), 0}, {Log1p(inf), inf}, {Log1p(-2), math.NaN()}, {Log1p(1e-300), 1e-300},
		{NormalQuantile(0), -inf}, {NormalQuantile(1), inf}, {NormalQuantile(-1), math.NaN()}, {PowInt(0, 0), 1}, {PowInt(2, 10), 1024},
		{Exp(math.NaN()), math.NaN()}, {Log(math.NaN()), math.NaN()},
	} {
		if tt.got != tt.want && !(math.IsNaN(tt.got) && math.IsNaN(tt.want)) {
			t.Errorf("%v, want %v", tt.got, tt.want)
		}
	}
}

func TestLgamma(t *testing.T) {
	for i := 1; i < 20000; i++ {
		x := float64(i) / 16
		want, _ := math.Lgamma(x)
		if got := Lgamma(x); math.Abs(got-want) > 1e-14*max(10, math.Abs(want)) {
			t.Fatalf("Lgamma(%v) is %v, want %v", x, got, want)
		}
	}
}
