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
 * rows' vectors become one, and so on, until each lane is a row's sum.
 */
final class Dots {
  /** Bytes of memory that many at a time take on the way. */
  static final long ROOM = (long) LANES * BYTES;

  // The lanes whose number has a bit.
  private static final VectorMask<Float> WITH_8 = lanesWith(8);
  private static final VectorMask<Float> WITH_4 = lanesWith(4);
  private static final VectorMask<Float> WITH_2 = lanesWith(2);
  private static final VectorMask<Float> WITH_1 = lanesWith(1);

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
            room + j * BYTES);
      }
      fold(room, group, to + i * 4L);
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
            room + j * BYTES);
      }
      fold(room, group, to + i * 4L);
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

  /** Sets {@code count} floats to the sums over the lanes of as many vectors of a room. */
  private static void fold(long room, int count, long to) {
    if (LANES > 8) {
      halve(room, 8, WITH_8, ACROSS_8);
    }
    if (LANES > 4) {
      halve(room, 4, WITH_4, ACROSS_4);
    }
    halve(room, 2, WITH_2, ACROSS_2);
    halve(room, 1, WITH_1, ACROSS_1);
    FloatVector sums = FloatVector.fromMemorySegment(F, MEMORY, room, ORDER);
    if (count == LANES) {
      sums.intoMemorySegment(MEMORY, to, ORDER);
    } else {
      sums.intoMemorySegment(MEMORY, to, ORDER, F.indexInRange(0, count));
    }
  }

  /**
   * Makes one vector of each two that are n apart: of the first, each lane plus the one across, in
   * the lanes without the bit; of the second, in those with it.
   */
  private static void halve(long room, int n, VectorMask<Float> with, VectorShuffle<Float> across) {
    long at = room & ADDRESS;
    for (int i = 0; i < n; i++) {
      FloatVector a = FloatVector.fromMemorySegment(F, MEMORY, at, ORDER);
      FloatVector b = FloatVector.fromMemorySegment(F, MEMORY, (at + n * BYTES) & ADDRESS, ORDER);
      a.blend(b, with).add(b.blend(a, with).rearrange(across)).intoMemorySegment(MEMORY, at, ORDER);
      at = (at + BYTES) & ADDRESS;
    }
  }
}
