package exact

import "math"

// NormalQuantile returns the value that a share p, in (0, 1), of the standard
// normal distribution lies below, to about 16 digits: algorithm AS 241 (Wichura,
// Applied Statistics 37, 1988). It is -Inf at 0 and +Inf at 1.
func NormalQuantile(p float64) float64 {
	switch {
	case p == 0:
		return math.Inf(-1)
	case p == 1:
		return math.Inf(1)
	case !(p > 0 && p < 1):
		return math.NaN()
	}
	q := p - 0.5
	if math.Abs(q) <= 0.425 {
		r := 0.180625 - float64(q*q)
		return float64(q*centre(r)) / centreBelow(r)
	}
	r := p
	if q > 0 {
		r = 1 - p
	}
	r = math.Sqrt(-Log(r))
	var z float64
	if r <= 5 {
		r -= 1.6
		z = middle(r) / middleBelow(r)
	} else {
		r -= 5
		z = tail(r) / tailBelow(r)
	}
	return math.Copysign(z, q)
}

// horner evaluates a polynomial of degree 7, whose coefficients come from the
// highest power down.
func horner(r, k7, k6, k5, k4, k3, k2, k1, k0 float64) float64 {
	sum := MulAdd(k7, r, k6)
	sum = MulAdd(sum, r, k5)
	sum = MulAdd(sum, r, k4)
	sum = MulAdd(sum, r, k3)
	sum = MulAdd(sum, r, k2)
	sum = MulAdd(sum, r, k1)
	return MulAdd(sum, r, k0)
}

// The polynomials of the three ranges, above and below the line of fraction.

func centre(r float64) float64 {
	return horner(r, 2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
		1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0)
}

func centreBelow(r float64) float64 {
	return horner(r, 5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
		5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1)
}

func middle(r float64) float64 {
	return horner(r, 7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
		3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0)
}

func middleBelow(r float64) float64 {
	return horner(r, 1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
		6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1)
}

func tail(r float64) float64 {
	return horner(r, 2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
		2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0)
}

func tailBelow(r float64) float64 {
	return horner(r, 2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
		1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1)
}
