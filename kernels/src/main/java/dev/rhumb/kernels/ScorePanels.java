package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.FLOAT;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.set;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Scores of a block of rows against panels of candidates: features of a dictionary, or items.
 *
 * <p>A panel holds {@link #PANEL} candidates: their start values, then their weights, one row of
 * PANEL floats for each d. A score is one chain, acc = start; for d ascending acc = fma(x[d], w[d],
 * acc): the same bits for any number of rows in a call and in any tile. Panels are filled up with
 * candidates that start at NaN: no comparison ever lets them in.
 *
 * <p>Rows come six to a group, interleaved: x[d] of the six beside each other.
 */
final class ScorePanels {
  /** Vectors of a panel. */
  static final int VECTORS = LANES == 16 ? 4 : 2;

  /** Candidates of a panel. Six rows of a panel fill the registers of the width in use. */
  static final int PANEL = VECTORS * LANES;

  /** Rows of a group. */
  static final int ROWS = SimdTile.ROWS;

  /** Bytes of a panel's start values, and of its weights for one d. */
  private static final long ROW = PANEL * 4L;

  /** Groups with fewer rows than this are scored row by row. */
  private static final int FEW = 3;

  private ScorePanels() {}

  /** Bytes of one panel. */
  static long bytes(int width) {
    return (width + 1L) * PANEL * 4;
  }

  /** How many panels hold a number of candidates. */
  static int panels(int candidates) {
    return (candidates + PANEL - 1) / PANEL;
  }

  /**
   * Sets scores (rows, stride) and, for each row and panel, one vector of maxima over the panel's
   * vectors. Rows are computed in groups: scores and maxima need room for whole groups.
   *
   * @param x groups of rows, (width, ROWS) each
   * @param stride bytes from one row of scores to the next
   * @param maximaStride bytes from one row of maxima to the next
   */
  static void score(
      long x,
      int rows,
      int width,
      long panels,
      int count,
      long scores,
      long stride,
      long maxima,
      long maximaStride) {
    long panelBytes = bytes(width);
    int whole = rows - rows % ROWS;
    if (rows - whole >= FEW) {
      whole = rows;
    }
    for (int p = 0; p < count; p++) {
      long panel = panels + p * panelBytes;
      long to = scores + p * (PANEL * 4L);
      for (int r = 0; r < whole; r += ROWS) {
        long group = to + r * stride;
        long from = x + r * (width * 4L);
        if (VECTORS == 4) {
          SimdTile.tile4(width, from, 4, ROWS * 4, panel + ROW, ROW, panel, group, stride);
        } else {
          SimdTile.tile2(width, from, 4, ROWS * 4, panel + ROW, ROW, panel, group, stride);
        }
        long groupMaxima = maxima + r * maximaStride + p * (long) BYTES;
        for (int i = 0; i < ROWS; i++) {
          maxima(group + i * stride, groupMaxima + i * maximaStride);
        }
      }
    }
    for (int r = whole; r < rows; r++) {
      long from = x + (r / ROWS * ROWS) * (width * 4L) + r % ROWS * 4;
      long to = scores + r * stride;
      int p = 0;
      for (; p + 1 < count; p += 2) {
        if (VECTORS == 4) {
          pair4(from, ROWS * 4, width, panels + p * panelBytes, to + p * (PANEL * 4L));
        } else {
          pair2(from, ROWS * 4, width, panels + p * panelBytes, to + p * (PANEL * 4L));
        }
      }
      if (p < count) {
        if (VECTORS == 4) {
          one4(from, ROWS * 4, width, panels + p * panelBytes, to + p * (PANEL * 4L));
        } else {
          one2(from, ROWS * 4, width, panels + p * panelBytes, to + p * (PANEL * 4L));
        }
      }
      for (p = 0; p < count; p++) {
        maxima(to + p * (PANEL * 4L), maxima + r * maximaStride + p * (long) BYTES);
      }
    }
  }

  /**
   * The maxima over the vectors of a panel's scores. A NaN hides what comes after it in its lane:
   * only padding, which is at the end, may be NaN.
   */
  private static void maxima(long scores, long maxima) {
    FloatVector most = FloatVector.fromMemorySegment(F, MEMORY, scores, ORDER);
    for (int v = 1; v < VECTORS; v++) {
      FloatVector next = FloatVector.fromMemorySegment(F, MEMORY, scores + v * BYTES, ORDER);
      most = most.blend(next, next.compare(VectorOperators.GT, most));
    }
    most.intoMemorySegment(MEMORY, maxima, ORDER);
  }

  /** The maxima over the vectors of a panel's scores, of which any may be NaN. */
  static void maximaOfNumbers(long scores, long maxima) {
    FloatVector most = FloatVector.broadcast(F, Float.NEGATIVE_INFINITY);
    for (int v = 0; v < VECTORS; v++) {
      FloatVector next = FloatVector.fromMemorySegment(F, MEMORY, scores + v * BYTES, ORDER);
      most = most.blend(next, next.compare(VectorOperators.GT, most));
    }
    most.intoMemorySegment(MEMORY, maxima, ORDER);
  }

  /**
   * Puts a candidate in its place of a panel.
   *
   * @param from its weights, width floats
   * @param start what its chains start from
   */
  static void put(long from, int width, float start, long panel, int place) {
    long to = panel + place * 4L;
    set(to, start);
    for (int d = 0; d < width; d++) {
      to += PANEL * 4L;
      set(to, get(from + d * 4L));
    }
  }

  /** The largest magnitude among some weights; infinite where one is infinite or NaN. */
  static float magnitude(long from, int width) {
    FloatVector most = FloatVector.zero(F);
    boolean finite = true;
    for (int d = 0; d < width; d += LANES) {
      FloatVector size =
          FloatVector.fromMemorySegment(F, MEMORY, from + d * 4L, ORDER, F.indexInRange(d, width))
              .abs();
      finite &= size.compare(VectorOperators.LE, Float.MAX_VALUE).allTrue();
      most = most.blend(size, size.compare(VectorOperators.GT, most));
    }
    return finite ? most.reduceLanes(VectorOperators.MAX) : Float.POSITIVE_INFINITY;
  }

  /** Fills a panel up from a place on. */
  static void pad(int width, long panel, int place) {
    for (int i = place; i < PANEL; i++) {
      long to = panel + i * 4L;
      set(to, Float.NaN);
      for (int d = 0; d < width; d++) {
        to += PANEL * 4L;
        set(to, 0);
      }
    }
  }

  /** One row by two panels of four vectors each. */
  private static void pair4(long x, long step, int width, long panel, long scores) {
    long next = panel + bytes(width);
    FloatVector s0 = FloatVector.fromMemorySegment(F, MEMORY, panel + 0 * BYTES, ORDER);
    FloatVector s1 = FloatVector.fromMemorySegment(F, MEMORY, panel + 1 * BYTES, ORDER);
    FloatVector s2 = FloatVector.fromMemorySegment(F, MEMORY, panel + 2 * BYTES, ORDER);
    FloatVector s3 = FloatVector.fromMemorySegment(F, MEMORY, panel + 3 * BYTES, ORDER);
    FloatVector s4 = FloatVector.fromMemorySegment(F, MEMORY, next + 0 * BYTES, ORDER);
    FloatVector s5 = FloatVector.fromMemorySegment(F, MEMORY, next + 1 * BYTES, ORDER);
    FloatVector s6 = FloatVector.fromMemorySegment(F, MEMORY, next + 2 * BYTES, ORDER);
    FloatVector s7 = FloatVector.fromMemorySegment(F, MEMORY, next + 3 * BYTES, ORDER);
    for (int d = 0; d < width; d++) {
      panel = (panel + ROW) & ADDRESS;
      x &= ADDRESS;
      next = (next + ROW) & ADDRESS;
      FloatVector c = FloatVector.broadcast(F, MEMORY.get(FLOAT, x));
      s0 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 0 * BYTES, ORDER), s0);
      s1 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 1 * BYTES, ORDER), s1);
      s2 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 2 * BYTES, ORDER), s2);
      s3 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 3 * BYTES, ORDER), s3);
      s4 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, next + 0 * BYTES, ORDER), s4);
      s5 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, next + 1 * BYTES, ORDER), s5);
      s6 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, next + 2 * BYTES, ORDER), s6);
      s7 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, next + 3 * BYTES, ORDER), s7);
      x += step;
    }
    s0.intoMemorySegment(MEMORY, scores + 0 * BYTES, ORDER);
    s1.intoMemorySegment(MEMORY, scores + 1 * BYTES, ORDER);
    s2.intoMemorySegment(MEMORY, scores + 2 * BYTES, ORDER);
    s3.intoMemorySegment(MEMORY, scores + 3 * BYTES, ORDER);
    s4.intoMemorySegment(MEMORY, scores + 4 * BYTES, ORDER);
    s5.intoMemorySegment(MEMORY, scores + 5 * BYTES, ORDER);
    s6.intoMemorySegment(MEMORY, scores + 6 * BYTES, ORDER);
    s7.intoMemorySegment(MEMORY, scores + 7 * BYTES, ORDER);
  }

  /** One row by one panel of four vectors each. */
  private static void one4(long x, long step, int width, long panel, long scores) {
    FloatVector s0 = FloatVector.fromMemorySegment(F, MEMORY, panel + 0 * BYTES, ORDER);
    FloatVector s1 = FloatVector.fromMemorySegment(F, MEMORY, panel + 1 * BYTES, ORDER);
    FloatVector s2 = FloatVector.fromMemorySegment(F, MEMORY, panel + 2 * BYTES, ORDER);
    FloatVector s3 = FloatVector.fromMemorySegment(F, MEMORY, panel + 3 * BYTES, ORDER);
    for (int d = 0; d < width; d++) {
      panel = (panel + ROW) & ADDRESS;
      x &= ADDRESS;
      FloatVector c = FloatVector.broadcast(F, MEMORY.get(FLOAT, x));
      s0 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 0 * BYTES, ORDER), s0);
      s1 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 1 * BYTES, ORDER), s1);
      s2 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 2 * BYTES, ORDER), s2);
      s3 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 3 * BYTES, ORDER), s3);
      x += step;
    }
    s0.intoMemorySegment(MEMORY, scores + 0 * BYTES, ORDER);
    s1.intoMemorySegment(MEMORY, scores + 1 * BYTES, ORDER);
    s2.intoMemorySegment(MEMORY, scores + 2 * BYTES, ORDER);
    s3.intoMemorySegment(MEMORY, scores + 3 * BYTES, ORDER);
  }

  /** One row by two panels of two vectors each. */
  private static void pair2(long x, long step, int width, long panel, long scores) {
    long next = panel + bytes(width);
    FloatVector s0 = FloatVector.fromMemorySegment(F, MEMORY, panel + 0 * BYTES, ORDER);
    FloatVector s1 = FloatVector.fromMemorySegment(F, MEMORY, panel + 1 * BYTES, ORDER);
    FloatVector s2 = FloatVector.fromMemorySegment(F, MEMORY, next + 0 * BYTES, ORDER);
    FloatVector s3 = FloatVector.fromMemorySegment(F, MEMORY, next + 1 * BYTES, ORDER);
    for (int d = 0; d < width; d++) {
      panel = (panel + ROW) & ADDRESS;
      x &= ADDRESS;
      next = (next + ROW) & ADDRESS;
      FloatVector c = FloatVector.broadcast(F, MEMORY.get(FLOAT, x));
      s0 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 0 * BYTES, ORDER), s0);
      s1 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 1 * BYTES, ORDER), s1);
      s2 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, next + 0 * BYTES, ORDER), s2);
      s3 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, next + 1 * BYTES, ORDER), s3);
      x += step;
    }
    s0.intoMemorySegment(MEMORY, scores + 0 * BYTES, ORDER);
    s1.intoMemorySegment(MEMORY, scores + 1 * BYTES, ORDER);
    s2.intoMemorySegment(MEMORY, scores + 2 * BYTES, ORDER);
    s3.intoMemorySegment(MEMORY, scores + 3 * BYTES, ORDER);
  }

  /** One row by one panel of two vectors each. */
  private static void one2(long x, long step, int width, long panel, long scores) {
    FloatVector s0 = FloatVector.fromMemorySegment(F, MEMORY, panel + 0 * BYTES, ORDER);
    FloatVector s1 = FloatVector.fromMemorySegment(F, MEMORY, panel + 1 * BYTES, ORDER);
    for (int d = 0; d < width; d++) {
      panel = (panel + ROW) & ADDRESS;
      x &= ADDRESS;
      FloatVector c = FloatVector.broadcast(F, MEMORY.get(FLOAT, x));
      s0 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 0 * BYTES, ORDER), s0);
      s1 = c.fma(FloatVector.fromMemorySegment(F, MEMORY, panel + 1 * BYTES, ORDER), s1);
      x += step;
    }
    s0.intoMemorySegment(MEMORY, scores + 0 * BYTES, ORDER);
    s1.intoMemorySegment(MEMORY, scores + 1 * BYTES, ORDER);
  }
}
