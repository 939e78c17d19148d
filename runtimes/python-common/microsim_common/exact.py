"""The functions of mathematics that decisions need, the same to the last bit everywhere.

Those of the platform's C library differ. The methods are those of FreeBSD's msun and of
Wichura's AS 241, as in the agent.
"""

import math

LN2_HI = 6.93147180369123816490e-01
LN2_LO = 1.90821492927058770002e-10


def exp(x: float) -> float:
    """Return e to the power of x."""
    if math.isnan(x):
        return x
    if x > 7.09782712893383973096e02:
        return math.inf
    if x < -7.45133219101941108420e02:
        return 0.0
    if abs(x) < 2.0**-28:
        return 1 + x
    k = int(1.44269504088896338700 * x + math.copysign(0.5, x))
    hi = x - k * LN2_HI
    lo = k * LN2_LO
    r = hi - lo
    t = r * r
    p = t * 4.13813679705723846039e-08 + -1.65339022054652515390e-06
    p = t * p + 6.61375632143793436117e-05
    p = t * p + -2.77777777770155933842e-03
    p = t * p + 1.66666666666666657415e-01
    c = r - t * p
    return math.ldexp(1 - ((lo - (r * c) / (2 - c)) - hi), k)


def _log_series(s: float) -> float:
    z = s * s
    r = z * 1.479819860510658591e-01 + 1.531383769920937332e-01
    r = z * r + 1.818357216161805012e-01
    r = z * r + 2.222219843214978396e-01
    r = z * r + 2.857142874366239149e-01
    r = z * r + 3.999999999940941908e-01
    r = z * r + 6.666666666666735130e-01
    return z * r


def log(x: float) -> float:
    """Return the natural logarithm of x."""
    if math.isnan(x) or x == math.inf:
        return x
    if x < 0:
        return math.nan
    if x == 0:
        return -math.inf
    f, exponent = math.frexp(x)
    if f < math.sqrt(2) / 2:
        f *= 2
        exponent -= 1
    f -= 1
    k = float(exponent)
    s = f / (2 + f)
    half = 0.5 * f * f
    inner = s * (half + _log_series(s)) + k * LN2_LO
    return k * LN2_HI - ((half - inner) - f)


def log1p(x: float) -> float:
    """Return the natural logarithm of 1 + x."""
    u = 1 + x
    if u == 1:
        return x
    if not x > -1 or u == math.inf:
        return log(u)
    return (log(u) * x) / (u - 1)


def _horner(r: float, coefficients: tuple[float, ...]) -> float:
    total = coefficients[0]
    for k in coefficients[1:]:
        total = total * r + k
    return total


# fmt: off
_CENTRE = (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0)
_CENTRE_BELOW = (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0)
_MIDDLE = (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0)
_MIDDLE_BELOW = (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0)
_TAIL = (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0)
_TAIL_BELOW = (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0)
# fmt: on


def normal_quantile(p: float) -> float:
    """Return the value that a share p of the standard normal distribution lies below."""
    if p == 0:
        return -math.inf
    if p == 1:
        return math.inf
    if not 0 < p < 1:
        return math.nan
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return (q * _horner(r, _CENTRE)) / _horner(r, _CENTRE_BELOW)
    r = math.sqrt(-log(1 - p if q > 0 else p))
    if r <= 5:
        r -= 1.6
        z = _horner(r, _MIDDLE) / _horner(r, _MIDDLE_BELOW)
    else:
        r -= 5
        z = _horner(r, _TAIL) / _horner(r, _TAIL_BELOW)
    return math.copysign(z, q)
