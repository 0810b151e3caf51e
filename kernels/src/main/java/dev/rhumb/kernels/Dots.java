package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
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

  // Lanes by the bits of their number: halves of a vector, and quarters within a half.
  private static final VectorMask<Float> UPPER = lanesWith(LANES / 2, true);
  private static final VectorMask<Float> LOWER = lanesWith(LANES / 2, false);
  private static final VectorMask<Float> ODD = lanesWith(LANES / 4, true);
  private static final VectorMask<Float> EVEN = lanesWith(LANES / 4, false);
  private static final VectorShuffle<Float> ACROSS_HALVES =
      VectorShuffle.fromOp(F, lane -> lane ^ (LANES / 2));
  private static final VectorShuffle<Float> ACROSS_QUARTERS =
      VectorShuffle.fromOp(F, lane -> lane ^ (LANES / 4));
  private static final VectorMask<Float> FIRST_OF_QUARTER = firstOfQuarter();
  private static final VectorMask<Float> FOUR = F.indexInRange(0, 4);

  private Dots() {}

  private static VectorMask<Float> lanesWith(int bit, boolean set) {
    boolean[] lanes = new boolean[LANES];
    for (int i = 0; i < LANES; i++) {
      lanes[i] = (i & bit) != 0 == set;
    }
    return VectorMask.fromArray(F, lanes, 0);
  }

  private static VectorMask<Float> firstOfQuarter() {
    boolean[] lanes = new boolean[LANES];
    for (int i = 0; i < LANES; i += LANES / 4) {
      lanes[i] = true;
    }
    return VectorMask.fromArray(F, lanes, 0);
  }

  private static VectorShuffle<Float> rotation(int lanes) {
    return VectorShuffle.iota(F, lanes, 1, true);
  }

  /** a.b, of {@code width} floats each. */
  static float dot(long a, long b, int width) {
    FloatVector sum = FloatVector.zero(F);
    int d = 0;
    for (; d + LANES <= width; d += LANES) {
      sum =
          FloatVector.fromMemorySegment(F, MEMORY, a + d * 4L, ORDER)
              .fma(FloatVector.fromMemorySegment(F, MEMORY, b + d * 4L, ORDER), sum);
    }
    if (d < width) {
      VectorMask<Float> mask = F.indexInRange(d, width);
      sum =
          FloatVector.fromMemorySegment(F, MEMORY, a + d * 4L, ORDER, mask)
              .fma(FloatVector.fromMemorySegment(F, MEMORY, b + d * 4L, ORDER, mask), sum);
    }
    // By halves: the order of reduceLanes(ADD) is not defined for floats.
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
      long at = rows + i * bytes;
      dots4(row, at, at + bytes, at + 2 * bytes, at + 3 * bytes, width, to + i * 4L);
    }
    for (; i < count; i++) {
      set(to + i * 4L, dot(row, rows + i * bytes, width));
    }
  }

  /**
   * Dot products of one row with four others, wherever they lie.
   *
   * @param to (4), set
   */
  static void dots4(long row, long r0, long r1, long r2, long r3, int width, long to) {
    if (width % LANES == 0) {
      whole4(row, r0, r1, r2, r3, width, to);
    } else {
      set(to, dot(row, r0, width));
      set(to + 4, dot(row, r1, width));
      set(to + 8, dot(row, r2, width));
      set(to + 12, dot(row, r3, width));
    }
  }

  private static void whole4(long row, long r0, long r1, long r2, long r3, int width, long to) {
    FloatVector s0 = FloatVector.zero(F);
    FloatVector s1 = FloatVector.zero(F);
    FloatVector s2 = FloatVector.zero(F);
    FloatVector s3 = FloatVector.zero(F);
    long d = 0;
    long end = width * 4L;
    for (; d + 4 * BYTES <= end; d += 4 * BYTES) {
      long at = (row + d) & ADDRESS;
      long at0 = (r0 + d) & ADDRESS;
      long at1 = (r1 + d) & ADDRESS;
      long at2 = (r2 + d) & ADDRESS;
      long at3 = (r3 + d) & ADDRESS;
      FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER);
      s0 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at0, ORDER), s0);
      s1 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at1, ORDER), s1);
      s2 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at2, ORDER), s2);
      s3 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at3, ORDER), s3);
      x = FloatVector.fromMemorySegment(F, MEMORY, at + BYTES, ORDER);
      s0 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at0 + BYTES, ORDER), s0);
      s1 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at1 + BYTES, ORDER), s1);
      s2 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at2 + BYTES, ORDER), s2);
      s3 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at3 + BYTES, ORDER), s3);
      x = FloatVector.fromMemorySegment(F, MEMORY, at + 2 * BYTES, ORDER);
      s0 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at0 + 2 * BYTES, ORDER), s0);
      s1 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at1 + 2 * BYTES, ORDER), s1);
      s2 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at2 + 2 * BYTES, ORDER), s2);
      s3 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at3 + 2 * BYTES, ORDER), s3);
      x = FloatVector.fromMemorySegment(F, MEMORY, at + 3 * BYTES, ORDER);
      s0 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at0 + 3 * BYTES, ORDER), s0);
      s1 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at1 + 3 * BYTES, ORDER), s1);
      s2 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at2 + 3 * BYTES, ORDER), s2);
      s3 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, at3 + 3 * BYTES, ORDER), s3);
    }
    for (; d < end; d += BYTES) {
      FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, (row + d) & ADDRESS, ORDER);
      s0 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, (r0 + d) & ADDRESS, ORDER), s0);
      s1 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, (r1 + d) & ADDRESS, ORDER), s1);
      s2 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, (r2 + d) & ADDRESS, ORDER), s2);
      s3 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, (r3 + d) & ADDRESS, ORDER), s3);
    }
    // Two vectors by two share the halving steps: each lane adds the pair that sum would.
    FloatVector even = s0.blend(s2, UPPER).add(s0.blend(s2, LOWER).rearrange(ACROSS_HALVES));
    FloatVector odd = s1.blend(s3, UPPER).add(s1.blend(s3, LOWER).rearrange(ACROSS_HALVES));
    FloatVector all = even.blend(odd, ODD).add(even.blend(odd, EVEN).rearrange(ACROSS_QUARTERS));
    if (LANES > 8) {
      all = all.add(all.rearrange(BY_2));
    }
    if (LANES > 4) {
      all = all.add(all.rearrange(BY_1));
    }
    all.compress(FIRST_OF_QUARTER).intoMemorySegment(MEMORY, to, ORDER, FOUR);
  }
}
