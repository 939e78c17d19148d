// Package exact has the few functions of package math that decisions need, with
// results that are the same to the last bit on every processor. Those of math are
// not: some are assembly that differs by architecture, and in the others the
// compiler fuses x*y + z into one operation with one rounding where the processor
// has it (arm64, ppc64, riscv64, amd64 from v3 on).
//
// Here each product that is added to something, be it statements later, is
// rounded by an explicit conversion, which the language specification guarantees
// to prevent that ("Floating-point operators"); an assignment does not. A test
// looks for fused operations in the assembly of all packages that decide.
package exact

import "math"

// MulAdd returns x*y + z, with both operations rounded. z is converted as well:
// it may be a product of the caller's, which inlining would let be fused.
func MulAdd(x, y, z float64) float64 { return float64(x*y) + float64(z) }

// ln2 as the sum of a number with few digits and the rest.
const (
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10
)

// Exp returns e to the power of x, to within 1 unit in the last place. The method
// is that of FreeBSD's e_exp.c (Sun Microsystems, 1993), as in package math.
func Exp(x float64) float64 {
	const (
		log2e     = 1.44269504088896338700e+00
		overflow  = 7.09782712893383973096e+02
		underflow = -7.45133219101941108420e+02
		nearZero  = 1.0 / (1 << 28)

		p1 = 1.66666666666666657415e-01
		p2 = -2.77777777770155933842e-03
		p3 = 6.61375632143793436117e-05
		p4 = -1.65339022054652515390e-06
		p5 = 4.13813679705723846039e-08
	)
	switch {
	case math.IsNaN(x):
		return x
	case x > overflow:
		return math.Inf(1)
	case x < underflow:
		return 0
	case -nearZero < x && x < nearZero:
		return 1 + x
	}
	// x = k*ln2 + hi - lo with |hi - lo| at most half of ln2.
	k := int(MulAdd(log2e, x, math.Copysign(0.5, x)))
	hi := x - float64(float64(k)*ln2Hi)
	lo := float64(float64(k) * ln2Lo)
	r := hi - lo
	t := r * r
	p := MulAdd(t, p5, p4)
	p = MulAdd(t, p, p3)
	p = MulAdd(t, p, p2)
	p = MulAdd(t, p, p1)
	c := r - float64(t*p)
	return math.Ldexp(1-((lo-float64(r*c)/(2-c))-hi), k)
}

// logSeries approximates, for s = f/(2+f), what log(1+f) is beside f and its
// square: coefficients of FreeBSD's e_log.c.
func logSeries(s float64) float64 {
	const (
		l1 = 6.666666666666735130e-01
		l2 = 3.999999999940941908e-01
		l3 = 2.857142874366239149e-01
		l4 = 2.222219843214978396e-01
		l5 = 1.818357216161805012e-01
		l6 = 1.531383769920937332e-01
		l7 = 1.479819860510658591e-01
	)
	z := s * s
	r := MulAdd(z, l7, l6)
	r = MulAdd(z, r, l5)
	r = MulAdd(z, r, l4)
	r = MulAdd(z, r, l3)
	r = MulAdd(z, r, l2)
	r = MulAdd(z, r, l1)
	return float64(z * r)
}

// Log returns the natural logarithm of x, to within 1 unit in the last place.
func Log(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	f, exponent := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f *= 2
		exponent--
	}
	f--
	k := float64(exponent)
	s := f / (2 + f)
	half := float64(float64(0.5*f) * f)
	inner := float64(s*(half+logSeries(s))) + float64(k*ln2Lo)
	return float64(k*ln2Hi) - ((half - inner) - f)
}

// Log1p returns the natural logarithm of 1 + x, to within a few units in the last
// place, for small x too: with u = 1 + x rounded, log(u) is corrected by what the
// rounding lost (Kahan; HP-15C Advanced Functions Handbook, p. 193).
func Log1p(x float64) float64 {
	u := 1 + x
	switch {
	case u == 1:
		return x
	case !(x > -1) || math.IsInf(u, 1):
		return Log(u)
	}
	return float64(Log(u)*x) / (u - 1)
}

// Lgamma returns the logarithm of the gamma function of x > 0, to within a few units in
// the last place of the largest of its terms, by Stirling's series beyond 10 (Abramowitz
// and Stegun, 6.1.41).
func Lgamma(x float64) float64 {
	const halfLog2Pi = 0.91893853320467274178
	below := 1.0 // the product of what leads up to 10
	for x < 10 {
		below *= x
		x++
	}
	z := 1 / float64(x*x)
	s := MulAdd(z, -691.0/360360, 1.0/1188)
	s = MulAdd(z, s, -1.0/1680)
	s = MulAdd(z, s, 1.0/1260)
	s = MulAdd(z, s, -1.0/360)
	s = MulAdd(z, s, 1.0/12)
	return float64((x-0.5)*Log(x)) - x + halfLog2Pi + float64(s/x) - Log(below)
}

// PowInt returns x to the power of n >= 0, by multiplication.
func PowInt(x float64, n int) float64 {
	power := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			power *= x
		}
		x *= x
	}
	return power
}

// CosTurns returns the cosine of an angle of x turns: of 2*pi*x. The kernels are
// those of Cephes (Moshier, 1989), as in package math.
func CosTurns(x float64) float64 {
	const (
		s0 = 1.58962301576546568060e-10
		s1 = -2.50507477628578072866e-8
		s2 = 2.75573136213857245213e-6
		s3 = -1.98412698295895385996e-4
		s4 = 8.33333333332211858878e-3
		s5 = -1.66666666666666307295e-1

		c0 = -1.13585365213876817300e-11
		c1 = 2.08757008419747316778e-9
		c2 = -2.75573141792967388112e-7
		c3 = 2.48015872888517045348e-5
		c4 = -1.38888888888730564116e-3
		c5 = 4.16666666666665929218e-2
	)
	x = math.Abs(x)
	x -= math.Floor(x) // exact
	quarter := int(float64(4*x) + 0.5)
	z := float64((x - float64(float64(quarter)/4)) * (2 * math.Pi)) // within pi/4
	zz := z * z
	var y float64
	if quarter&1 == 0 {
		y = MulAdd(zz, c0, c1)
		y = MulAdd(zz, y, c2)
		y = MulAdd(zz, y, c3)
		y = MulAdd(zz, y, c4)
		y = MulAdd(zz, y, c5)
		y = float64(float64(zz*zz)*y) + (1 - float64(0.5*zz))
	} else {
		y = MulAdd(zz, s0, s1)
		y = MulAdd(zz, y, s2)
		y = MulAdd(zz, y, s3)
		y = MulAdd(zz, y, s4)
		y = MulAdd(zz, y, s5)
		y = float64(float64(z*zz)*y) + z
	}
	if quarter == 1 || quarter == 2 {
		return -y
	}
	return y
}
