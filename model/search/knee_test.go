package search

import (
	"math"
	"testing"
)

func TestKnees(t *testing.T) {
	series := func(n int, y func(x float64) float64) (xs, ys []float64) {
		for i := range n {
			x := float64(i) / float64(n-1)
			xs, ys = append(xs, x), append(ys, y(x))
		}
		return xs, ys
	}
	for name, tt := range map[string]struct {
		y    func(x float64) float64
		want float64 // NaN: none
	}{
		"a bend upwards":         {func(x float64) float64 { return max(0, x-0.7) }, 0.7},
		"a bend to flat":         {func(x float64) float64 { return min(x, 0.3) }, 0.3},
		"a bend of a fall":       {func(x float64) float64 { return max(0.2, 1-2*x) }, 0.4},
		"the paper's curve":      {func(x float64) float64 { return -1/(x+0.1) + 5 }, math.NaN()}, // checked below
		"a straight line":        {func(x float64) float64 { return 3 * x }, math.NaN()},
		"flat":                   {func(float64) float64 { return 1 }, math.NaN()},
		"a jump at the last one": {func(x float64) float64 { return math.Floor(x) }, 0.95},
	} {
		xs, ys := series(21, tt.y)
		at, ok := Knee(xs, ys)
		switch {
		case name == "the paper's curve":
			// With x from 0 to 1, y = -1/(x+0.1)+5 has its greatest distance from the
			// diagonal at about 0.22 (figure 2 of the paper).
			if !ok || math.Abs(xs[at]-0.22) > 0.05 {
				t.Errorf("%s: got %v, %v", name, xs[at], ok)
			}
		case math.IsNaN(tt.want) == ok:
			t.Errorf("%s: got %v at %v", name, ok, xs[at])
		case ok && math.Abs(xs[at]-tt.want) > 0.051:
			t.Errorf("%s: got %v, want %v", name, xs[at], tt.want)
		}
	}
	if _, ok := Knee([]float64{1, 2, 3}, []float64{0, 0, 1}); ok {
		t.Error("three points have a knee")
	}
}
