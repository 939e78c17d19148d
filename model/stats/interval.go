package stats

import (
	"math"

	"github.com/microsim-dev/kubectl-microsim/model/exact"
)

// An Interval holds the true value with the confidence it was asked for.
type Interval struct{ Low, High float64 }

// Contains reports whether v lies in the interval, its ends included.
func (i Interval) Contains(v float64) bool { return i.Low <= v && v <= i.High }

// Wilson returns the score interval for the probability behind hits out of n
// (Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
// 1927). Without draws it is [0, 1]. Confidence is such as 0.95.
func Wilson(hits, n int64, confidence float64) Interval {
	if n <= 0 {
		return Interval{0, 1}
	}
	z, N := NormalQuantile((1+confidence)/2), float64(n)
	p := float64(hits) / N
	middle := p + float64(z*z)/float64(2*N)
	half := float64(z * math.Sqrt(p*(1-p)/N+z*z/float64(4*N*N)))
	scale := 1 + z*z/N
	result := Interval{max((middle-half)/scale, 0), min((middle+half)/scale, 1)}
	// At the edges the formula gives 0 and 1 but for rounding.
	if hits == 0 {
		result.Low = 0
	}
	if hits == n {
		result.High = 1
	}
	return result
}

// Binomial returns the least interval [low, high], cut at equal tails, in which
// the hits of n draws at probability p lie with at least the given confidence.
func Binomial(n int64, p, confidence float64) (low, high int64) {
	if p <= 0 || n <= 0 {
		return 0, 0
	}
	if p >= 1 {
		return n, n
	}
	tail := float64((1 - confidence) / 2)
	low, high = 0, n
	for sum, k := 0.0, int64(0); k <= n; k++ {
		before := sum
		sum += binomialMass(n, k, p)
		if before < tail && sum >= tail {
			low = k
		}
		if sum >= 1-tail {
			high = k
			break
		}
	}
	return low, high
}

// binomialMass is the probability of exactly k hits.
func binomialMass(n, k int64, p float64) float64 {
	a, b, c := exact.Lgamma(float64(n+1)), exact.Lgamma(float64(k+1)), exact.Lgamma(float64(n-k+1))
	return exact.Exp(a - b - c + float64(float64(k)*exact.Log(p)) + float64(float64(n-k)*exact.Log1p(-p)))
}

// MeanInterval returns the interval for the mean that independent values of a
// roughly normal distribution are drawn from, by Student's t (Student, The
// Probable Error of a Mean, 1908). It is unbounded for fewer than two values.
func MeanInterval(values []float64, confidence float64) (mean float64, interval Interval) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	if len(values) == 0 {
		mean = math.NaN()
	}
	if len(values) < 2 {
		return mean, Interval{math.Inf(-1), math.Inf(1)}
	}
	var squares float64
	for _, v := range values {
		squares += float64((v - mean) * (v - mean))
	}
	half := float64(StudentQuantile((1+confidence)/2, n-1) * math.Sqrt(squares/(n-1)/n))
	return mean, Interval{mean - float64(half), mean + float64(half)}
}

// NormalQuantile returns what a standard normal variable lies below with
// probability p.
func NormalQuantile(p float64) float64 { return exact.NormalQuantile(p) }

// StudentQuantile returns what Student's t with the given degrees of freedom
// lies below with probability p in (0, 1), found by bisection of StudentCDF.
func StudentQuantile(p, degrees float64) float64 {
	if p == 0.5 {
		return 0
	}
	if p < 0.5 {
		return -StudentQuantile(1-p, degrees)
	}
	low, high := 0.0, 1.0
	for StudentCDF(high, degrees) < p && high < 1e12 {
		high *= 2
	}
	for range 200 {
		mid := (low + high) / 2
		if mid <= low || mid >= high {
			break
		}
		if StudentCDF(mid, degrees) < p {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// StudentCDF returns the probability that Student's t with the given degrees of
// freedom lies below t, by the incomplete beta function (Abramowitz and Stegun,
// Handbook of Mathematical Functions, 26.7.1).
func StudentCDF(t, degrees float64) float64 {
	tail := incompleteBeta(degrees/(degrees+float64(t*t)), degrees/2, 0.5) / 2
	if t > 0 {
		return 1 - float64(tail)
	}
	return tail
}

// incompleteBeta is the regularized incomplete beta function I_x(a, b), by its
// continued fraction (Abramowitz and Stegun, 26.5.8) in the form of Lentz.
func incompleteBeta(x, a, b float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	if x > (a+1)/(a+b+2) {
		// The fraction converges fast on this side only.
		return 1 - incompleteBeta(1-x, b, a)
	}
	ab, la, lb := exact.Lgamma(a+b), exact.Lgamma(a), exact.Lgamma(b)
	front := exact.Exp(ab-la-lb+float64(a*exact.Log(x))+float64(b*exact.Log1p(-x))) / a
	c, d := 1.0, 1/nonzero(1-float64((a+b)*x)/(a+1))
	f := d
	for m := 1.0; m < 1000; m++ {
		even := m * (b - m) * x / ((a + float64(2*m) - 1) * (a + float64(2*m)))
		d, c = 1/nonzero(1+float64(even*d)), nonzero(1+even/c)
		f *= d * c
		odd := -(a + m) * (a + b + m) * x / ((a + float64(2*m)) * (a + float64(2*m) + 1))
		d, c = 1/nonzero(1+float64(odd*d)), nonzero(1+odd/c)
		f *= d * c
		if math.Abs(float64(d*c)-1) < 1e-15 {
			break
		}
	}
	return front * f
}

// nonzero keeps a denominator of the fraction away from zero.
func nonzero(v float64) float64 {
	const tiny = 1e-300
	if math.Abs(v) < tiny {
		return tiny
	}
	return v
}
