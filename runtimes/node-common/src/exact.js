// The functions of mathematics that decisions need, with the same results to the
// last bit as every other runtime has: those of Math differ between engines. The
// methods are those of FreeBSD's msun and of Wichura's AS 241, as in the agent.

const LN2_HI = 6.93147180369123816490e-01;
const LN2_LO = 1.90821492927058770002e-10;

const bits = new DataView(new ArrayBuffer(8));

/**
 * Splits a positive number into a fraction in [0.5, 1) and a power of two.
 * @param {number} x
 * @returns {[number, number]}
 */
function frexp(x) {
  let scale = 0;
  if (x < 2 ** -1022) {
    x *= 2 ** 54;
    scale = -54;
  }
  bits.setFloat64(0, x);
  const high = bits.getUint32(0);
  const exponent = ((high >>> 20) & 0x7ff) - 1022;
  bits.setUint32(0, (high & ~(0x7ff << 20)) | (1022 << 20));
  return [bits.getFloat64(0), exponent + scale];
}

/**
 * @param {number} x
 * @param {number} k
 */
function ldexp(x, k) {
  const half = Math.trunc(k / 2);
  return x * 2 ** half * 2 ** (k - half);
}

/** @param {number} x */
export function exp(x) {
  if (Number.isNaN(x)) return x;
  if (x > 7.09782712893383973096e2) return Infinity;
  if (x < -7.45133219101941108420e2) return 0;
  if (Math.abs(x) < 2 ** -28) return 1 + x;
  const k = Math.trunc(1.44269504088896338700 * x + (x < 0 ? -0.5 : 0.5));
  const hi = x - k * LN2_HI;
  const lo = k * LN2_LO;
  const r = hi - lo;
  const t = r * r;
  let p = t * 4.13813679705723846039e-08 + -1.65339022054652515390e-06;
  p = t * p + 6.61375632143793436117e-05;
  p = t * p + -2.77777777770155933842e-03;
  p = t * p + 1.66666666666666657415e-01;
  const c = r - t * p;
  return ldexp(1 - ((lo - (r * c) / (2 - c)) - hi), k);
}

/** @param {number} s */
function logSeries(s) {
  const z = s * s;
  let r = z * 1.479819860510658591e-01 + 1.531383769920937332e-01;
  r = z * r + 1.818357216161805012e-01;
  r = z * r + 2.222219843214978396e-01;
  r = z * r + 2.857142874366239149e-01;
  r = z * r + 3.999999999940941908e-01;
  r = z * r + 6.666666666666735130e-01;
  return z * r;
}

/** @param {number} x */
export function log(x) {
  if (Number.isNaN(x) || x === Infinity) return x;
  if (x < 0) return NaN;
  if (x === 0) return -Infinity;
  let [f, exponent] = frexp(x);
  if (f < Math.SQRT2 / 2) {
    f *= 2;
    exponent--;
  }
  f--;
  const s = f / (2 + f);
  const half = 0.5 * f * f;
  const inner = s * (half + logSeries(s)) + exponent * LN2_LO;
  return exponent * LN2_HI - ((half - inner) - f);
}

/** @param {number} x */
export function log1p(x) {
  const u = 1 + x;
  if (u === 1) return x;
  if (!(x > -1) || u === Infinity) return log(u);
  return (log(u) * x) / (u - 1);
}

/**
 * Evaluates a polynomial whose coefficients come from the highest power down.
 * @param {number} r
 * @param {readonly number[]} k
 */
function horner(r, k) {
  let sum = k[0] ?? 0;
  for (let i = 1; i < k.length; i++) sum = sum * r + /** @type {number} */ (k[i]);
  return sum;
}

const CENTRE = [2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0];
const CENTRE_BELOW = [5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1];
const MIDDLE = [7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0];
const MIDDLE_BELOW = [1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1];
const TAIL = [2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0];
const TAIL_BELOW = [2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1];

/**
 * The value that a share p of the standard normal distribution lies below.
 * @param {number} p
 */
export function normalQuantile(p) {
  if (p === 0) return -Infinity;
  if (p === 1) return Infinity;
  if (!(p > 0 && p < 1)) return NaN;
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (q * horner(r, CENTRE)) / horner(r, CENTRE_BELOW);
  }
  let r = Math.sqrt(-log(q > 0 ? 1 - p : p));
  let z;
  if (r <= 5) {
    r -= 1.6;
    z = horner(r, MIDDLE) / horner(r, MIDDLE_BELOW);
  } else {
    r -= 5;
    z = horner(r, TAIL) / horner(r, TAIL_BELOW);
  }
  return q < 0 ? -Math.abs(z) : Math.abs(z);
}
