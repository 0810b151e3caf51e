package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ACROSS_1;
import static dev.rhumb.kernels.Simd.ACROSS_2;
import static dev.rhumb.kernels.Simd.ACROSS_4;
import static dev.rhumb.kernels.Simd.ACROSS_8;
import static dev.rhumb.kernels.Simd.ADDRESS;
import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.getInt;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;

/**
 * Dot products of contiguous rows. Each is one chain of fused multiply-adds for each lane, d
 * ascending from 0, then the lanes by halves, lane i with lane i + LANES / 2: the same bits however
 * many are computed together. Together they share the halving, which costs as much as the rest: two
 * rows' vectors become one, the first row in the lanes without the bit and the second in those with
 * it, and so on, until each lane is a row's sum.
 */
final class Dots {
  /** Bytes of memory that many at a time take on the way. */
  static final long ROOM = (LANES / 4 + 4L) * BYTES;

  // The lanes whose number has a bit.
  private static final VectorMask<Float> WITH_HALF = lanesWith(LANES / 2);
  private static final VectorMask<Float> WITH_QUARTER = lanesWith(LANES / 4);
  private static final VectorMask<Float> WITH_2 = lanesWith(2);
  private static final VectorMask<Float> WITH_1 = lanesWith(1);

  private static final VectorShuffle<Float> ACROSS_HALF =
      LANES == 16 ? ACROSS_8 : LANES == 8 ? ACROSS_4 : ACROSS_2;
  private static final VectorShuffle<Float> ACROSS_QUARTER =
      LANES == 16 ? ACROSS_4 : LANES == 8 ? ACROSS_2 : ACROSS_1;

  /** The first row is in the lanes without the largest bit, and so on: the bits turned about. */
  private static final VectorShuffle<Float> BY_ROW =
      VectorShuffle.fromOp(
          F, i -> Integer.reverse(i) >>> (Integer.numberOfLeadingZeros(LANES) + 1));

  private Dots() {}

  private static VectorMask<Float> lanesWith(int bit) {
    boolean[] lanes = new boolean[LANES];
    for (int i = 0; i < LANES; i++) {
      lanes[i] = (i & bit) != 0;
    }
    return VectorMask.fromArray(F, lanes, 0);
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
      sum = sum.add(sum.rearrange(ACROSS_8));
    }
    if (LANES > 4) {
      sum = sum.add(sum.rearrange(ACROSS_4));
    }
    sum = sum.add(sum.rearrange(ACROSS_2));
    sum = sum.add(sum.rearrange(ACROSS_1));
    return sum.lane(0);
  }

  /**
   * Dot products of one row with each of many.
   *
   * @param rows (count, width)
   * @param stride bytes from one of them to the next
   * @param room {@link #ROOM} bytes of memory
   * @param to (count), set
   */
  static void dots(long row, long rows, long stride, int count, int width, long room, long to) {
    for (int i = 0; i < count; i += LANES) {
      int group = Math.min(LANES, count - i);
      // Of a group that is not full the last row stands for the missing ones among its four.
      for (int j = 0; j < group; j += 4) {
        long at = rows + (i + j) * stride;
        int last = group - j - 1;
        partial4(
            row,
            at,
            at + Math.min(1, last) * stride,
            at + Math.min(2, last) * stride,
            at + Math.min(3, last) * stride,
            width,
            room + LANES / 4 * BYTES);
        fold4(room + LANES / 4 * BYTES, room + j / 4 * BYTES);
      }
      join(room, group, to + i * 4L);
    }
  }

  /**
   * Dot products of one row with rows of a table, by number.
   *
   * @param table the address of row 0
   * @param stride bytes from one row to the next
   * @param numbers (count) int32
   * @param room {@link #ROOM} bytes of memory
   * @param to (count), set
   */
  static void dots(
      long row, long table, long stride, long numbers, int count, int width, long room, long to) {
    for (int i = 0; i < count; i += LANES) {
      int group = Math.min(LANES, count - i);
      for (int j = 0; j < group; j += 4) {
        long at = numbers + (i + j) * 4L;
        int last = group - j - 1;
        partial4(
            row,
            table + getInt(at) * stride,
            table + getInt(at + Math.min(1, last) * 4L) * stride,
            table + getInt(at + Math.min(2, last) * 4L) * stride,
            table + getInt(at + Math.min(3, last) * 4L) * stride,
            width,
            room + LANES / 4 * BYTES);
        fold4(room + LANES / 4 * BYTES, room + j / 4 * BYTES);
      }
      join(room, group, to + i * 4L);
    }
  }

  /** The lanes' sums of one row with four others. */
  private static void partial4(long row, long r0, long r1, long r2, long r3, int width, long room) {
    FloatVector s0 = FloatVector.zero(F);
    FloatVector s1 = FloatVector.zero(F);
    FloatVector s2 = FloatVector.zero(F);
    FloatVector s3 = FloatVector.zero(F);
    long end = F.loopBound(width) * 4L;
    for (long d = 0; d < end; d += BYTES) {
      FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, (row + d) & ADDRESS, ORDER);
      s0 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, (r0 + d) & ADDRESS, ORDER), s0);
      s1 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, (r1 + d) & ADDRESS, ORDER), s1);
      s2 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, (r2 + d) & ADDRESS, ORDER), s2);
      s3 = x.fma(FloatVector.fromMemorySegment(F, MEMORY, (r3 + d) & ADDRESS, ORDER), s3);
    }
    room &= ADDRESS;
    s0.intoMemorySegment(MEMORY, room, ORDER);
    s1.intoMemorySegment(MEMORY, room + BYTES, ORDER);
    s2.intoMemorySegment(MEMORY, room + 2 * BYTES, ORDER);
    s3.intoMemorySegment(MEMORY, room + 3 * BYTES, ORDER);
    if (end < width * 4L) {
      addTail(row + end, r0 + end, width - (int) (end / 4), room);
      addTail(row + end, r1 + end, width - (int) (end / 4), room + BYTES);
      addTail(row + end, r2 + end, width - (int) (end / 4), room + 2 * BYTES);
      addTail(row + end, r3 + end, width - (int) (end / 4), room + 3 * BYTES);
    }
  }

  private static void addTail(long a, long b, int width, long sum) {
    VectorMask<Float> mask = F.indexInRange(0, width);
    FloatVector.fromMemorySegment(F, MEMORY, a, ORDER, mask)
        .fma(
            FloatVector.fromMemorySegment(F, MEMORY, b, ORDER, mask),
            FloatVector.fromMemorySegment(F, MEMORY, sum, ORDER))
        .intoMemorySegment(MEMORY, sum, ORDER);
  }

  /** The first two halvings of four vectors, which leave one. */
  private static void fold4(long from, long to) {
    from &= ADDRESS;
    FloatVector s0 = FloatVector.fromMemorySegment(F, MEMORY, from, ORDER);
    FloatVector s1 = FloatVector.fromMemorySegment(F, MEMORY, from + BYTES, ORDER);
    FloatVector s2 = FloatVector.fromMemorySegment(F, MEMORY, from + 2 * BYTES, ORDER);
    FloatVector s3 = FloatVector.fromMemorySegment(F, MEMORY, from + 3 * BYTES, ORDER);
    s0 = s0.blend(s1, WITH_HALF).add(s1.blend(s0, WITH_HALF).rearrange(ACROSS_HALF));
    s2 = s2.blend(s3, WITH_HALF).add(s3.blend(s2, WITH_HALF).rearrange(ACROSS_HALF));
    s0.blend(s2, WITH_QUARTER)
        .add(s2.blend(s0, WITH_QUARTER).rearrange(ACROSS_QUARTER))
        .intoMemorySegment(MEMORY, to & ADDRESS, ORDER);
  }

  /** Sets {@code count} floats to the sums of up to LANES rows, four in each vector of a room. */
  private static void join(long room, int count, long to) {
    room &= ADDRESS;
    FloatVector s0 = FloatVector.fromMemorySegment(F, MEMORY, room, ORDER);
    if (LANES >= 8) {
      FloatVector s1 = FloatVector.fromMemorySegment(F, MEMORY, room + BYTES, ORDER);
      if (LANES == 16) {
        FloatVector s2 = FloatVector.fromMemorySegment(F, MEMORY, room + 2 * BYTES, ORDER);
        FloatVector s3 = FloatVector.fromMemorySegment(F, MEMORY, room + 3 * BYTES, ORDER);
        s0 = s0.blend(s1, WITH_2).add(s1.blend(s0, WITH_2).rearrange(ACROSS_2));
        s2 = s2.blend(s3, WITH_2).add(s3.blend(s2, WITH_2).rearrange(ACROSS_2));
        s1 = s2;
      }
      s0 = s0.blend(s1, WITH_1).add(s1.blend(s0, WITH_1).rearrange(ACROSS_1));
    }
    s0 = s0.rearrange(BY_ROW);
    if (count == LANES) {
      s0.intoMemorySegment(MEMORY, to, ORDER);
    } else {
      s0.intoMemorySegment(MEMORY, to, ORDER, F.indexInRange(0, count));
    }
  }
}
