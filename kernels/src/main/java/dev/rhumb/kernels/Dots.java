package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.load;
import static dev.rhumb.kernels.Simd.set;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;

/**
 * Dot products of contiguous rows. Each is one chain of fused multiply-adds for each lane, d
 * ascending from 0, then the lanes by halves, lane i with lane i + LANES / 2: the same bits however
 * many are computed together.
 */
final class Dots {
  private static final VectorShuffle<Float> BY_8 = rotation(8);
  private static final VectorShuffle<Float> BY_4 = rotation(4);
  private static final VectorShuffle<Float> BY_2 = rotation(2);
  private static final VectorShuffle<Float> BY_1 = rotation(1);

  private Dots() {}

  private static VectorShuffle<Float> rotation(int lanes) {
    return VectorShuffle.iota(F, lanes, 1, true);
  }

  /** a.b, of {@code width} floats each. */
  static float dot(long a, long b, int width) {
    FloatVector sum = FloatVector.zero(F);
    int d = 0;
    for (; d + LANES <= width; d += LANES) {
      sum = load(a + d * 4L).fma(load(b + d * 4L), sum);
    }
    if (d < width) {
      VectorMask<Float> mask = F.indexInRange(d, width);
      sum = load(a + d * 4L, mask).fma(load(b + d * 4L, mask), sum);
    }
    return sum(sum);
  }

  /**
   * Dot products of one row with each of many.
   *
   * @param rows (count, width), contiguous
   * @param to (count), set
   */
  static void dots(long row, long rows, int count, int width, long to) {
    long bytes = width * 4L;
    int i = 0;
    for (; i + 4 <= count; i += 4) {
      dots4(row, rows + i * bytes, width, to + i * 4L);
    }
    for (; i < count; i++) {
      set(to + i * 4L, dot(row, rows + i * bytes, width));
    }
  }

  private static void dots4(long row, long rows, int width, long to) {
    long bytes = width * 4L;
    long rows1 = rows + bytes;
    long rows2 = rows1 + bytes;
    long rows3 = rows2 + bytes;
    FloatVector s0 = FloatVector.zero(F);
    FloatVector s1 = FloatVector.zero(F);
    FloatVector s2 = FloatVector.zero(F);
    FloatVector s3 = FloatVector.zero(F);
    int d = 0;
    for (; d + LANES <= width; d += LANES) {
      FloatVector x = load(row + d * 4L);
      s0 = x.fma(load(rows + d * 4L), s0);
      s1 = x.fma(load(rows1 + d * 4L), s1);
      s2 = x.fma(load(rows2 + d * 4L), s2);
      s3 = x.fma(load(rows3 + d * 4L), s3);
    }
    if (d < width) {
      VectorMask<Float> mask = F.indexInRange(d, width);
      FloatVector x = load(row + d * 4L, mask);
      s0 = x.fma(load(rows + d * 4L, mask), s0);
      s1 = x.fma(load(rows1 + d * 4L, mask), s1);
      s2 = x.fma(load(rows2 + d * 4L, mask), s2);
      s3 = x.fma(load(rows3 + d * 4L, mask), s3);
    }
    set(to, sum(s0));
    set(to + 4, sum(s1));
    set(to + 8, sum(s2));
    set(to + 12, sum(s3));
  }

  /** The sum of the lanes by halves; the order of reduceLanes(ADD) is not defined for floats. */
  private static float sum(FloatVector x) {
    FloatVector sum = x;
    if (LANES > 8) {
      sum = sum.add(sum.rearrange(BY_8));
    }
    if (LANES > 4) {
      sum = sum.add(sum.rearrange(BY_4));
    }
    sum = sum.add(sum.rearrange(BY_2));
    sum = sum.add(sum.rearrange(BY_1));
    return sum.lane(0);
  }
}
