package netfault

import (
	"math"
	"slices"
	"sync"
)

// TableReach is how far a distribution's table reaches, in jitters: netem holds
// it in 16 bits, 8192 to a jitter, and cuts off what lies beyond.
const TableReach = 32767.0 / 8192

// Quantile returns the delay that a share u (0..1) of packets stays below, as a
// multiple of the jitter around the delay. Uniform reaches from -1 to 1; the
// others have mean 0 and, before they are cut off at ±[TableReach], standard
// deviation 1: Normal; Pareto with shape 3; ParetoNormal, the sum of a quarter
// Normal and three quarters Pareto.
func (d Distribution) Quantile(u float64) float64 {
	var v float64
	switch d {
	case Normal:
		v = normalQuantile(u)
	case Pareto:
		v = paretoQuantile(u)
	case ParetoNormal:
		sums := paretoNormalSums()
		v = sums[min(int(u*float64(len(sums))), len(sums)-1)]
	default:
		return 2*u - 1
	}
	return min(max(v, -TableReach), TableReach)
}

func normalQuantile(u float64) float64 { return math.Sqrt2 * math.Erfinv(2*u-1) }

// paretoQuantile: a Pareto variable of shape 3 and scale 1 has mean 3/2 and
// variance 3/4.
func paretoQuantile(u float64) float64 {
	return (math.Pow(1-u, -1.0/3) - 1.5) / math.Sqrt(0.75)
}

// paretoNormalSums holds the sums of the mid quantiles of both parts, sorted:
// the convolution has no closed form.
var paretoNormalSums = sync.OnceValue(func() []float64 { //nolint:gochecknoglobals // computed once, never changed
	const n = 256
	scale := math.Sqrt(0.25*0.25 + 0.75*0.75)
	sums := make([]float64, 0, n*n)
	for a := range n {
		for b := range n {
			u, v := (float64(a)+0.5)/n, (float64(b)+0.5)/n
			sums = append(sums, (0.25*normalQuantile(u)+0.75*paretoQuantile(v))/scale)
		}
	}
	slices.Sort(sums)
	return sums
})
