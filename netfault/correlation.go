package netfault

import (
	"math"
	"sort"
)

// Threshold returns below which number an event of that probability happens if
// the numbers are netem's correlated ones, x = u(1-c) + x'c with a uniform u and
// the number before x'. These crowd around 1/2: the threshold 0.3 would let only
// 0.1 % happen at a correlation of 0.9, where 30 % are asked.
//
// The distribution of x is the fixed point of F(t) = E[F((t-(1-c)u)/c)], which is
// iterated on a grid. Beyond normalCorrelation x is taken as normal: a probability
// of 0.1 % is then missed by at most a tenth of it, one of 1 % by 3 % of it.
func Threshold(probability, correlation float64) float64 {
	if correlation <= noCorrelation || probability <= 0 || probability >= 1 {
		return probability
	}
	if correlation > normalCorrelation {
		return min(max(0, 0.5-spreadAt(correlation)*math.Sqrt2*math.Erfcinv(2*probability)), 1)
	}
	f := stationary(correlation)
	above := min(sort.SearchFloat64s(f, probability), len(f)-1)
	if above == 0 {
		return 0
	}
	part := (probability - f[above-1]) / (f[above] - f[above-1])
	return min((float64(above-1)+part)/float64(len(f)-1), 1)
}

// Probability is the reverse of [Threshold].
func Probability(threshold, correlation float64) float64 {
	if correlation <= noCorrelation || threshold <= 0 || threshold >= 1 {
		return threshold
	}
	if correlation > normalCorrelation {
		return math.Erfc((0.5-threshold)/spreadAt(correlation)/math.Sqrt2) / 2
	}
	f := stationary(correlation)
	at := threshold * float64(len(f)-1)
	below := min(int(at), len(f)-2)
	return min(f[below]+(at-float64(below))*(f[below+1]-f[below]), 1)
}

// Up to noCorrelation the numbers are uniform to within what packets can show.
const noCorrelation = 1e-6

const normalCorrelation = 0.97

// spreadAt is the standard deviation of correlated numbers.
func spreadAt(c float64) float64 { return math.Sqrt((1 - c) / (1 + c) / 12) }

// stationary returns the distribution function of correlated numbers at equally
// distant places from 0 to 1.
func stationary(c float64) []float64 {
	const parts = 1 << 12
	f, sum, next := make([]float64, parts+1), make([]float64, parts+1), make([]float64, parts+1)
	// Beginning with the right mean and variance, what is wrong shrinks by c^4.
	for n := range f {
		f[n] = math.Erfc((0.5-float64(n)/parts)/spreadAt(c)/math.Sqrt2) / 2
	}
	for change := 1.0; change > 1e-11; {
		for n := 1; n <= parts; n++ {
			sum[n] = sum[n-1] + (f[n-1]+f[n])/(2*parts)
		}
		// integral is that of f from 0 to t; f is 0 before 0 and 1 after 1.
		integral := func(t float64) float64 {
			switch {
			case t <= 0:
				return 0
			case t >= 1:
				return sum[parts] + t - 1
			}
			at := t * parts
			below := int(at)
			rest := at - float64(below)
			return sum[below] + rest/parts*(f[below]+rest/2*(f[below+1]-f[below]))
		}
		change = 0
		for n := range next {
			t := float64(n) / parts
			next[n] = c / (1 - c) * (integral(t/c) - integral((t-1+c)/c))
			change = max(change, math.Abs(next[n]-f[n]))
		}
		f, next = next, f
	}
	return f
}
