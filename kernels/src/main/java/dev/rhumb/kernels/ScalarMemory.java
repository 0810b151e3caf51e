package dev.rhumb.kernels;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/** Element access and growing scratch arrays for the scalar backend. */
final class ScalarMemory {
  private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;

  private ScalarMemory() {}

  static float get(MemorySegment segment, long index) {
    return segment.getAtIndex(FLOAT, index);
  }

  static void set(MemorySegment segment, long index, double value) {
    segment.setAtIndex(FLOAT, index, (float) value);
  }

  static int getInt(MemorySegment segment, long index) {
    return segment.getAtIndex(INT, index);
  }

  static void setInt(MemorySegment segment, long index, int value) {
    segment.setAtIndex(INT, index, value);
  }

  /** The dot product of two runs of {@code count} elements, in double. */
  static double dot(MemorySegment a, long aFrom, MemorySegment b, long bFrom, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) {
      sum += (double) get(a, aFrom + i) * get(b, bFrom + i);
    }
    return sum;
  }

  /** {@code scratch} if it is large enough, else a larger one; its content is not kept. */
  static double[] atLeast(double[] scratch, int count) {
    return scratch.length >= count ? scratch : new double[count];
  }

  /** {@code scratch} if it is large enough, else a larger one; its content is not kept. */
  static int[] atLeast(int[] scratch, int count) {
    return scratch.length >= count ? scratch : new int[count];
  }

  /** {@link #atLeast(double[], int)}, with the first {@code count} elements 0. */
  static double[] zeros(double[] scratch, int count) {
    double[] result = atLeast(scratch, count);
    Arrays.fill(result, 0, count, 0);
    return result;
  }
}
