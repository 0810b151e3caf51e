package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import java.util.Map;
import java.util.TreeMap;

/** A float matrix under test, what it held at first, and how a result in it is judged. */
final class Matrix {
  /** The worst share of its tolerance that each operation used, by backend and name. */
  static final Map<String, Double> WORST = new TreeMap<>();

  private static final double EPSILON = 0x1p-23;

  final int rows;
  final int cols;
  final int stride;
  final Buffer buffer;
  private final Backend backend;
  private final boolean judged;
  private final float[] was;
  private boolean output;

  Matrix(
      Backend backend, boolean judged, int rows, int cols, int stride, Buffer buffer, float[] was) {
    this.backend = backend;
    this.judged = judged;
    this.rows = rows;
    this.cols = cols;
    this.stride = stride;
    this.buffer = buffer;
    this.was = was;
  }

  /** What the element held before the operation. */
  double was(int row, int col) {
    return was[row * stride + col];
  }

  /** What the element of a vector held before the operation. */
  double was(int i) {
    return was[i];
  }

  float[] wasRow(int row) {
    return java.util.Arrays.copyOfRange(was, row * stride, row * stride + cols);
  }

  /** All present elements, pads too; the operation was allowed to write the rows. */
  float[] now() {
    output = true;
    return buffer.floats();
  }

  /** {@link #check(String, double, double, Memory.Fill)} for values of the order of 1. */
  void check(String op, double terms, Memory.Fill reference) {
    check(op, terms, 1, reference);
  }

  /**
   * Holds every element against its reference: |a - b| &lt;= r (|b| + magnitude), where r is 2^-22
   * (2 + sqrt(terms)): rounding errors of a sum of {@code terms} add up like a random walk.
   *
   * @param terms how many were summed
   * @param magnitude of what was summed
   */
  void check(String op, double terms, double magnitude, Memory.Fill reference) {
    float[] now = now();
    if (!judged) {
      return;
    }
    double relative = 2 * EPSILON * (2 + Math.sqrt(terms));
    double worst = 0;
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        double expected = reference.at(r, c);
        float actual = now[r * stride + c];
        float rounded = (float) expected;
        if (!Float.isFinite(rounded)) {
          assertEquals(rounded, actual, () -> op + " " + this);
          continue;
        }
        double tolerance = relative * (Math.abs(expected) + magnitude) + Float.MIN_VALUE;
        double share = Math.abs(actual - expected) / tolerance;
        if (!(share <= 1)) {
          fail(
              "%s on %s, %s: element (%d, %d) is %s, but should be %s within %s"
                  .formatted(op, backend, this, r, c, actual, expected, tolerance));
        }
        worst = Math.max(worst, share);
      }
    }
    WORST.merge(backend.label() + " " + op, worst, Math::max);
  }

  /** Whether results are held against references; else their bits against another run's. */
  boolean judged() {
    return judged;
  }

  /** Holds every element against its reference, bit for bit; NaN equals NaN. */
  void checkExact(String op, Memory.Fill reference) {
    float[] now = now();
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        int row = r;
        int col = c;
        assertEquals(
            (float) reference.at(r, c),
            now[r * stride + c],
            () -> "%s on %s, %s: element (%d, %d)".formatted(op, backend, this, row, col));
      }
    }
  }

  /** Checks that pads, and all of what was no result, are untouched. */
  void verify() {
    float[] now = buffer.floats();
    for (int i = 0; i < now.length; i++) {
      boolean pad = i % stride >= cols;
      if (pad || !output) {
        int at = i;
        assertEquals(
            Float.floatToRawIntBits(was[i]),
            Float.floatToRawIntBits(now[i]),
            () -> "element " + at + (pad ? ", a pad of " : ", in the input ") + this + " changed");
      }
    }
  }

  @Override
  public String toString() {
    return rows + " x " + cols + " (stride " + stride + ")";
  }
}
