package search

import "math"

// Knee returns the index of the knee of a curve, or false if it has none. The knee
// is the point from which a nearly flat curve rises, or from which a rising curve is
// nearly flat. It is found by Kneedle with sensitivity 1, without smoothing
// (Satopää, Albrecht, Irwin, Raghavan, Finding a "Kneedle" in a Haystack, 2011): the
// curve is scaled to a square, and its knee is where it is farthest from the
// diagonal, if it comes back towards it by a mean step. The x must ascend.
func Knee(x, y []float64) (int, bool) {
	n := len(x)
	if n < 5 || n != len(y) {
		return 0, false
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range y {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, false
		}
		low, high = min(low, v), max(high, v)
	}
	left, right := x[0], x[n-1]
	falls := y[n-1] < y[0]
	if high == low || right == left {
		return 0, false
	}
	// A falling curve is mirrored; then a convex curve is below the diagonal, and a
	// concave curve above it.
	sign, sum := 1.0, 0.0
	distance := make([]float64, n)
	for i := range x {
		u, v := (x[i]-left)/(right-left), (y[i]-low)/(high-low)
		if falls {
			v = 1 - v
		}
		distance[i] = v - u
		sum += distance[i]
	}
	if sum < 0 {
		sign = -1
	}
	best := 0
	for i := range distance {
		if sign*distance[i] > sign*distance[best] {
			best = i
		}
	}
	threshold := sign*distance[best] - 1/float64(n-1)
	if best == 0 || best == n-1 || threshold <= 0 {
		return 0, false
	}
	for _, d := range distance[best+1:] {
		if sign*d < threshold {
			return best, true
		}
	}
	return 0, false
}
