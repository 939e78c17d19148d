package dev.microsim.mock;

/**
 * The few functions that decisions need, with results that are the same to the last bit
 * everywhere. Those of Math may differ by platform; Java never fuses a product and a sum.
 */
final class Exact {
  private Exact() {}

  private static final double LN2_HI = 6.93147180369123816490e-01;
  private static final double LN2_LO = 1.90821492927058770002e-10;

  /** e to the power of x: FreeBSD's e_exp.c (Sun Microsystems, 1993). */
  static double exp(double x) {
    if (Double.isNaN(x)) return x;
    if (x > 7.09782712893383973096e+02) return Double.POSITIVE_INFINITY;
    if (x < -7.45133219101941108420e+02) return 0;
    if (Math.abs(x) < 1.0 / (1 << 28)) return 1 + x;
    // x = k*ln2 + hi - lo with |hi - lo| at most half of ln2.
    int k = (int) (1.44269504088896338700e+00 * x + Math.copySign(0.5, x));
    double hi = x - k * LN2_HI;
    double lo = k * LN2_LO;
    double r = hi - lo;
    double t = r * r;
    double p = polynomial(t, 4.13813679705723846039e-08, -1.65339022054652515390e-06, 6.61375632143793436117e-05, -2.77777777770155933842e-03, 1.66666666666666657415e-01);
    double c = r - t * p;
    return Math.scalb(1 - ((lo - (r * c) / (2 - c)) - hi), k);
  }

  /** The natural logarithm: FreeBSD's e_log.c. */
  static double log(double x) {
    if (Double.isNaN(x) || x == Double.POSITIVE_INFINITY) return x;
    if (x < 0) return Double.NaN;
    if (x == 0) return Double.NEGATIVE_INFINITY;
    int exponent = 0;
    if (x < Double.MIN_NORMAL) {
      x *= 0x1.0p52;
      exponent = -52;
    }
    exponent += Math.getExponent(x) + 1;
    double f = Math.scalb(x, -Math.getExponent(x) - 1);
    if (f < 1.41421356237309504880168872420969807856967187537694 / 2) {
      f *= 2;
      exponent--;
    }
    f -= 1;
    double k = exponent;
    double s = f / (2 + f);
    double z = s * s;
    double series = z * polynomial(z, 1.479819860510658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01);
    double half = 0.5 * f * f;
    double inner = s * (half + series) + k * LN2_LO;
    return k * LN2_HI - ((half - inner) - f);
  }

  /** The natural logarithm of 1 + x, for small x too (Kahan). */
  static double log1p(double x) {
    double u = 1 + x;
    if (u == 1) return x;
    if (!(x > -1) || u == Double.POSITIVE_INFINITY) return log(u);
    return log(u) * x / (u - 1);
  }

  /** The value that a share p of the standard normal distribution lies below: algorithm AS 241 (Wichura, 1988). */
  static double normalQuantile(double p) {
    if (p == 0) return Double.NEGATIVE_INFINITY;
    if (p == 1) return Double.POSITIVE_INFINITY;
    if (!(p > 0 && p < 1)) return Double.NaN;
    double q = p - 0.5;
    if (Math.abs(q) <= 0.425) {
      double r = 0.180625 - q * q;
      return q * polynomial(r, 2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0)
          / polynomial(r, 5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1);
    }
    double r = Math.sqrt(-log(q > 0 ? 1 - p : p));
    double z;
    if (r <= 5) {
      r -= 1.6;
      z = polynomial(r, 7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0)
          / polynomial(r, 1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1);
    } else {
      r -= 5;
      z = polynomial(r, 2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0)
          / polynomial(r, 2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1);
    }
    return Math.copySign(z, q);
  }

  /** Evaluates a polynomial whose coefficients come from the highest power down. */
  private static double polynomial(double x, double... coefficients) {
    double sum = coefficients[0];
    for (int i = 1; i < coefficients.length; i++) sum = sum * x + coefficients[i];
    return sum;
  }
}
