package netfault

import (
	"math"
	"testing"
)

func TestQuantilesHaveMeanAndDeviation(t *testing.T) {
	for _, tt := range []struct {
		d                 Distribution
		deviation, within float64
	}{
		{Uniform, 1 / math.Sqrt(3), .001},
		{"", 1 / math.Sqrt(3), .001},
		{Normal, 1, .01},
		{Pareto, 1, .3}, // the cut takes away much of a heavy tail
		{ParetoNormal, 1, .25},
	} {
		const n = 100000
		var sum, squares float64
		last := math.Inf(-1)
		for i := range n {
			v := tt.d.Quantile((float64(i) + .5) / n)
			if v < last || math.Abs(v) > TableReach {
				t.Fatalf("%q: quantile %d is %v after %v", tt.d, i, v, last)
			}
			last = v
			sum += v
			squares += v * v
		}
		mean, deviation := sum/n, math.Sqrt(squares/n)
		if math.Abs(mean) > .06 || math.Abs(deviation-tt.deviation) > tt.within {
			t.Errorf("%q: mean %.3f, deviation %.3f; want 0, %.3f", tt.d, mean, deviation, tt.deviation)
		}
	}
}

func TestStateLossMean(t *testing.T) {
	for _, tt := range []struct {
		in   StateLoss
		want float64
	}{
		{StateLoss{P13: .1}, .1},          // leaves the burst with 1-p13
		{StateLoss{P13: .1, P31: .4}, .2}, // two states: p13/(p13+p31)
		{StateLoss{P14: .25, P31: 1}, .2}, // one lost, one received for sure
		{StateLoss{P13: .5, P31: .5}, .5},
	} {
		if got := tt.in.Mean(); math.Abs(got-tt.want) > 1e-6 {
			t.Errorf("%+v: mean %v, want %v", tt.in, got, tt.want)
		}
	}
}
