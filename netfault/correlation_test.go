package netfault

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Events that are drawn by correlated numbers below the threshold are as many as
// was asked.
func TestThresholdKeepsTheMean(t *testing.T) {
	for _, c := range []float64{.01, .25, .5, .75, .9, .97, .98} {
		for _, p := range []float64{.001, .01, .1, .3, .5, .9} {
			threshold := Threshold(p, c)
			if back := Probability(threshold, c); math.Abs(back-p) > 1e-6 {
				t.Errorf("the probability %v at a correlation of %v becomes %v", p, c, back)
			}
			r := rand.New(rand.NewPCG(1, math.Float64bits(c)))
			const count = 4_000_000
			last, hits := r.Float64(), 0
			for range count {
				last = r.Float64()*(1-c) + last*c
				if last < threshold {
					hits++
				}
			}
			// Correlated draws tell less than independent ones, by (1+c)/(1-c).
			deviation := math.Sqrt(p * (1 - p) / count * (1 + c) / (1 - c))
			if got := float64(hits) / count; math.Abs(got-p) > 5*deviation+.002*p {
				t.Errorf("the probability %v at a correlation of %v gives %v", p, c, got)
			}
		}
	}
	for _, c := range []float64{5e-324, 1e-7, 1e-5, .5, .97, .98, .999999} {
		for _, p := range []float64{1e-12, 1e-9, 1e-5, .5, 1 - 1e-9, 1 - 1e-16} {
			threshold := Threshold(p, c)
			back := Probability(threshold, c)
			if !(threshold >= 0 && threshold <= 1 && back >= 0 && back <= 1) || math.Abs(back-p) > 1e-4*p {
				t.Errorf("the probability %v at a correlation of %v becomes %v, by the threshold %v", p, c, back, threshold)
			}
		}
	}
	if Threshold(.2, 0) != .2 || Threshold(0, .5) != 0 || Threshold(1, .5) != 1 {
		t.Error("what needs no threshold has one")
	}
}
