package dev.rhumb.sae;

/** The point with the least sum of distances to given points. */
final class GeometricMedian {
  private static final int ROUNDS = 100;
  private static final double TOLERANCE = 1e-6;

  private GeometricMedian() {}

  /**
   * Weiszfeld's iteration from the mean. A distance counts as at least a small share of the points'
   * mean distance from their mean, so that a point that the iteration meets does not hold it.
   *
   * @param x (rows, width)
   */
  static double[] of(float[] x, int rows, int width) {
    double[] point = new double[width];
    for (int r = 0; r < rows; r++) {
      for (int d = 0; d < width; d++) {
        point[d] += x[r * width + d] / (double) rows;
      }
    }
    double spread = 0;
    for (int r = 0; r < rows; r++) {
      spread += distance(x, r, point) / rows;
    }
    if (spread == 0) {
      return point;
    }
    double least = TOLERANCE * spread;
    for (int round = 0; round < ROUNDS; round++) {
      double[] next = new double[width];
      double total = 0;
      for (int r = 0; r < rows; r++) {
        double weight = 1 / Math.max(distance(x, r, point), least);
        total += weight;
        for (int d = 0; d < width; d++) {
          next[d] += weight * x[r * width + d];
        }
      }
      double moved = 0;
      for (int d = 0; d < width; d++) {
        next[d] /= total;
        moved += (next[d] - point[d]) * (next[d] - point[d]);
      }
      point = next;
      if (Math.sqrt(moved) <= least) {
        break;
      }
    }
    return point;
  }

  private static double distance(float[] x, int row, double[] point) {
    double squares = 0;
    for (int d = 0; d < point.length; d++) {
      double apart = x[row * point.length + d] - point[d];
      squares += apart * apart;
    }
    return Math.sqrt(squares);
  }
}
