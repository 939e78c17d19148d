// Package stats has the statistics that reports and checks are made of:
// quantiles, mergeable histograms with fixed buckets, and intervals.
package stats

import "math"

// Quantile returns the value that a share q of the ascending values lies below,
// by linear interpolation between neighbours (definition 7 of Hyndman and Fan,
// Sample Quantiles in Statistical Packages, 1996). It is NaN for no values, and
// q is cut to [0, 1].
func Quantile(ascending []float64, q float64) float64 {
	if len(ascending) == 0 || math.IsNaN(q) {
		return math.NaN()
	}
	at := float64(min(max(q, 0), 1) * float64(len(ascending)-1))
	i := int(at)
	if i == len(ascending)-1 {
		return ascending[i]
	}
	low, high := ascending[i], ascending[i+1]
	// Clamped, because rounding must not leave the neighbours.
	return min(max(low+float64((at-float64(i))*(high-low)), low), high)
}
