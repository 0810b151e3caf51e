package dev.rhumb.interpret;

/** The normal distribution. */
final class Normal {
  private Normal() {}

  /**
   * The probability that a standard normal number is at least {@code |z|} away from 0, to about
   * 1e-14.
   */
  static double twoSided(double z) {
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
