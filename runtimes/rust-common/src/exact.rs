//! The few functions that decisions need, with results that are the same to the last
//! bit everywhere: those of the standard library differ by platform. Rust never
//! fuses a product and a sum.

const LN2_HI: f64 = 6.93147180369123816490e-01;
const LN2_LO: f64 = 1.90821492927058770002e-10;

/// e to the power of x: FreeBSD's e_exp.c (Sun Microsystems, 1993).
pub fn exp(x: f64) -> f64 {
    const LOG2E: f64 = 1.44269504088896338700e+00;
    const OVERFLOW: f64 = 7.09782712893383973096e+02;
    const UNDERFLOW: f64 = -7.45133219101941108420e+02;
    const NEAR_ZERO: f64 = 1.0 / (1u64 << 28) as f64;
    if x.is_nan() {
        return x;
    } else if x > OVERFLOW {
        return f64::INFINITY;
    } else if x < UNDERFLOW {
        return 0.0;
    } else if -NEAR_ZERO < x && x < NEAR_ZERO {
        return 1.0 + x;
    }
    // x = k*ln2 + hi - lo with |hi - lo| at most half of ln2.
    let k = (LOG2E * x + 0.5f64.copysign(x)) as i32;
    let hi = x - f64::from(k) * LN2_HI;
    let lo = f64::from(k) * LN2_LO;
    let r = hi - lo;
    let t = r * r;
    let p = polynomial(
        t,
        &[
            4.13813679705723846039e-08,
            -1.65339022054652515390e-06,
            6.61375632143793436117e-05,
            -2.77777777770155933842e-03,
            1.66666666666666657415e-01,
        ],
    );
    let c = r - t * p;
    libm::ldexp(1.0 - ((lo - (r * c) / (2.0 - c)) - hi), k)
}

/// The natural logarithm: FreeBSD's e_log.c.
pub fn log(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    } else if x < 0.0 {
        return f64::NAN;
    } else if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    let (mut f, mut exponent) = libm::frexp(x);
    if f < std::f64::consts::SQRT_2 / 2.0 {
        f *= 2.0;
        exponent -= 1;
    }
    f -= 1.0;
    let k = f64::from(exponent);
    let s = f / (2.0 + f);
    let z = s * s;
    let series = z * polynomial(
        z,
        &[
            1.479819860510658591e-01,
            1.531383769920937332e-01,
            1.818357216161805012e-01,
            2.222219843214978396e-01,
            2.857142874366239149e-01,
            3.999999999940941908e-01,
            6.666666666666735130e-01,
        ],
    );
    let half = 0.5 * f * f;
    let inner = s * (half + series) + k * LN2_LO;
    k * LN2_HI - ((half - inner) - f)
}

/// The natural logarithm of 1 + x, for small x too (Kahan).
pub fn log1p(x: f64) -> f64 {
    let u = 1.0 + x;
    if u == 1.0 {
        x
    } else if x.is_nan() || x <= -1.0 || u == f64::INFINITY {
        log(u)
    } else {
        log(u) * x / (u - 1.0)
    }
}

/// The value that a share p of the standard normal distribution lies below: algorithm
/// AS 241 (Wichura, Applied Statistics 37, 1988).
pub fn normal_quantile(p: f64) -> f64 {
    if p == 0.0 {
        return f64::NEG_INFINITY;
    } else if p == 1.0 {
        return f64::INFINITY;
    } else if !(p > 0.0 && p < 1.0) {
        return f64::NAN;
    }
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * polynomial(r, &CENTRE) / polynomial(r, &CENTRE_BELOW);
    }
    let r = (-log(if q > 0.0 { 1.0 - p } else { p })).sqrt();
    let z = if r <= 5.0 {
        polynomial(r - 1.6, &MIDDLE) / polynomial(r - 1.6, &MIDDLE_BELOW)
    } else {
        polynomial(r - 5.0, &TAIL) / polynomial(r - 5.0, &TAIL_BELOW)
    };
    z.copysign(q)
}

/// Evaluates a polynomial whose coefficients come from the highest power down.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients[1..].iter().fold(coefficients[0], |sum, c| sum * x + c)
}

const CENTRE: [f64; 8] = [
    2.5090809287301226727e3,
    3.3430575583588128105e4,
    6.7265770927008700853e4,
    4.5921953931549871457e4,
    1.3731693765509461125e4,
    1.9715909503065514427e3,
    1.3314166789178437745e2,
    3.3871328727963666080e0,
];
const CENTRE_BELOW: [f64; 8] = [
    5.2264952788528545610e3,
    2.8729085735721942674e4,
    3.9307895800092710610e4,
    2.1213794301586595867e4,
    5.3941960214247511077e3,
    6.8718700749205790830e2,
    4.2313330701600911252e1,
    1.0,
];
const MIDDLE: [f64; 8] = [
    7.74545014278341407640e-4,
    2.27238449892691845833e-2,
    2.41780725177450611770e-1,
    1.27045825245236838258e0,
    3.64784832476320460504e0,
    5.76949722146069140550e0,
    4.63033784615654529590e0,
    1.42343711074968357734e0,
];
const MIDDLE_BELOW: [f64; 8] = [
    1.05075007164441684324e-9,
    5.47593808499534494600e-4,
    1.51986665636164571966e-2,
    1.48103976427480074590e-1,
    6.89767334985100004550e-1,
    1.67638483018380384940e0,
    2.05319162663775882187e0,
    1.0,
];
const TAIL: [f64; 8] = [
    2.01033439929228813265e-7,
    2.71155556874348757815e-5,
    1.24266094738807843860e-3,
    2.65321895265761230930e-2,
    2.96560571828504891230e-1,
    1.78482653991729133580e0,
    5.46378491116411436990e0,
    6.65790464350110377720e0,
];
const TAIL_BELOW: [f64; 8] = [
    2.04426310338993978564e-15,
    1.42151175831644588870e-7,
    1.84631831751005468180e-5,
    7.86869131145613259100e-4,
    1.48753612908506148525e-2,
    1.36929880922735805310e-1,
    5.99832206555887937690e-1,
    1.0,
];
