package dev.rhumb.eval;

/**
 * Two-sided probabilities: how likely a number drawn from a distribution about 0 lies at least as
 * far from 0 as one that was seen.
 */
public final class TwoSided {
  /** Lentz's algorithm puts this in place of a 0. */
  private static final double TINY = 1e-300;

  private TwoSided() {}

  /** For the standard normal distribution, to about 1e-14. */
  public static double normal(double z) {
    double x = Math.abs(z) / Math.sqrt(2);
    if (x < 2.5) {
      return 1 - erf(x);
    }
    // The continued fraction of erfc, from its far end.
    double tail = 0;
    for (int n = 60; n > 0; n--) {
      tail = n / 2.0 / (x + tail);
    }
    return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + tail);
  }

  /**
   * For Student's t distribution, to about 1e-11: the regularized incomplete beta function I_x(v /
   * 2, 1 / 2) at x = v / (v + t^2) (Abramowitz and Stegun 26.5.27 and 26.7.1).
   *
   * @param freedom v, the degrees of freedom; above 0
   */
  public static double student(double t, double freedom) {
    if (Double.isInfinite(t)) {
      return 0;
    }
    double t2 = t * t;
    double a = freedom / 2;
    double b = .5;
    double x = freedom / (freedom + t2);
    double rest = t2 / (freedom + t2);
    if (rest == 0) {
      return 1;
    }
    double front =
        Math.exp(
            a * Math.log1p(-rest) + b * Math.log(rest) + logGammaRatio(a) - Math.log(Math.PI) / 2);
    // The fraction converges fast on this side only.
    return x < (a + 1) / (a + b + 2)
        ? front * fraction(a, b, x) / a
        : 1 - front * fraction(b, a, rest) / b;
  }

  /** The continued fraction of the incomplete beta function (26.5.8), by Lentz's algorithm. */
  private static double fraction(double a, double b, double x) {
    double c = 1;
    double d = 1 / away(1 - (a + b) * x / (a + 1));
    double value = d;
    double change = 0;
    for (int m = 1; Math.abs(change - 1) > 1e-15 && m < 100_000; m++) {
      double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / away(1 + even * d);
      c = away(1 + even / c);
      value *= d * c;
      double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / away(1 + odd * d);
      c = away(1 + odd / c);
      change = d * c;
      value *= change;
    }
    return value;
  }

  private static double away(double value) {
    return Math.abs(value) < TINY ? TINY : value;
  }

  /**
   * The logarithm of gamma(a + 1 / 2) / gamma(a): from 20 on by its asymptotic series, in which two
   * large logarithms do not cancel; below by r(a) = r(a + 1) a / (a + 1 / 2).
   */
  private static double logGammaRatio(double a) {
    double shift = 0;
    double y = a;
    for (; y < 20; y++) {
      shift += Math.log(y / (y + .5));
    }
    double r = 1 / (y * y);
    double series = -1 / 8.0 + r * (1 / 192.0 - r * (1 / 640.0 - r * (17 / 14336.0)));
    return Math.log(y) / 2 + series / y + shift;
  }

  /**
   * The series with terms of one sign: 2 / sqrt(pi) e^(-x^2) times the sum of (2 x^2)^n x / (1 3 5
   * ... (2 n + 1)).
   */
  private static double erf(double x) {
    double term = x;
    double sum = x;
    for (int n = 1; term > sum * 1e-17; n++) {
      term *= 2 * x * x / (2 * n + 1);
      sum += term;
    }
    return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
  }
}
