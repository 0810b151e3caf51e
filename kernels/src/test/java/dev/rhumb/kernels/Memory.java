package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.IntUnaryOperator;

/**
 * The buffers of one scenario: where they lie, what they held, and what nobody may have touched.
 * The same scenario gets the same values in every placement.
 */
final class Memory implements AutoCloseable {
  /** Where buffers lie. */
  enum Placement {
    /** The backend's own, aligned. */
    OWNED,
    /** The last byte is the last before a page that nobody may touch; as a rule misaligned. */
    ENDS_AT_GUARD,
    /** The first byte is the first after such a page. */
    STARTS_AFTER_GUARD
  }

  /** Gives an element's value. */
  interface Fill {
    double at(int row, int col);
  }

  /** What pads between rows and the slack around guarded buffers hold: a NaN, to poison sums. */
  static final int CANARY = 0x7FC0DEAD;

  private final Kernels kernels;
  private final Placement placement;
  private final boolean judged;
  private final SplittableRandom random = new SplittableRandom(20);
  private final List<AutoCloseable> owned = new ArrayList<>();
  private final List<MemorySegment> slack = new ArrayList<>();
  private final List<Matrix> matrices = new ArrayList<>();
  private final List<Ints> ints = new ArrayList<>();

  Memory(Kernels kernels, Placement placement) {
    this(kernels, placement, true);
  }

  /**
   * For a run whose bits the caller holds against those of an earlier one.
   *
   * @param judged whether results are held against their references too
   */
  Memory(Kernels kernels, Placement placement, boolean judged) {
    this.kernels = kernels;
    this.placement = placement;
    this.judged = judged;
  }

  /** Uniform in [-1, 1). */
  float uniform() {
    return (float) (2 * random.nextInt(1 << 24) - (1 << 24)) / (1 << 24);
  }

  int below(int bound) {
    return random.nextInt(bound);
  }

  /** Uniform random values, rows {@code stride} apart. */
  Matrix matrix(int rows, int cols, int stride) {
    return matrix(rows, cols, stride, (r, c) -> uniform());
  }

  Matrix matrix(int rows, int cols, int stride, Fill fill) {
    int count = rows == 0 || cols == 0 ? 0 : (rows - 1) * stride + cols;
    float[] values = new float[count];
    Arrays.fill(values, Float.intBitsToFloat(CANARY));
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        values[r * stride + c] = (float) fill.at(r, c);
      }
    }
    Buffer buffer = place(DType.F32, count);
    buffer.put(0, values, 0, count);
    Matrix matrix = new Matrix(kernels.backend(), judged, rows, cols, stride, buffer, values);
    matrices.add(matrix);
    return matrix;
  }

  /** Uniform random values. */
  Matrix vector(int count) {
    return matrix(1, count, count);
  }

  Matrix vector(int count, Fill fill) {
    return matrix(1, count, count, fill);
  }

  Matrix vector(double... values) {
    return matrix(1, values.length, values.length, (r, c) -> values[c]);
  }

  Ints ints(int count, IntUnaryOperator fill) {
    int[] values = new int[count];
    Arrays.setAll(values, fill);
    return ints(values);
  }

  Ints ints(int... values) {
    Buffer buffer = place(DType.I32, values.length);
    buffer.put(0, values, 0, values.length);
    Ints result = new Ints(buffer, values.clone());
    ints.add(result);
    return result;
  }

  /** Closes with the scenario. */
  <T extends AutoCloseable> T own(T resource) {
    owned.add(resource);
    return resource;
  }

  private Buffer place(DType dtype, int count) {
    if (placement == Placement.OWNED) {
      return own(kernels.allocate(dtype, count));
    }
    long bytes = (long) count * dtype.bytes();
    MemorySegment pages = own(new GuardedPages(bytes)).pages();
    long spare = pages.byteSize() - bytes;
    boolean ends = placement == Placement.ENDS_AT_GUARD;
    MemorySegment around = pages.asSlice(ends ? 0 : bytes, spare);
    for (long i = 0; i < spare / 4; i++) {
      around.setAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i, CANARY);
    }
    slack.add(around);
    return Buffer.wrap(dtype, pages.asSlice(ends ? spare : 0, bytes));
  }

  /**
   * Checks that nothing was written but what the scenario has read as a result.
   *
   * @return the bits of all buffers
   */
  int[] verify() {
    for (MemorySegment around : slack) {
      for (long i = 0; i < around.byteSize() / 4; i++) {
        assertEquals(
            CANARY,
            around.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i),
            "memory beside a buffer was written");
      }
    }
    int total = 0;
    for (Matrix matrix : matrices) {
      matrix.verify();
      total += Math.toIntExact(matrix.buffer.count());
    }
    for (Ints vector : ints) {
      vector.verify();
      total += Math.toIntExact(vector.buffer.count());
    }
    int[] bits = new int[total];
    int at = 0;
    for (Matrix matrix : matrices) {
      for (float value : matrix.buffer.floats()) {
        bits[at++] = Float.floatToIntBits(value);
      }
    }
    for (Ints vector : ints) {
      for (int value : vector.buffer.ints()) {
        bits[at++] = value;
      }
    }
    return bits;
  }

  @Override
  public void close() {
    for (AutoCloseable resource : owned.reversed()) {
      try {
        resource.close();
      } catch (RuntimeException e) {
        throw e;
      } catch (Exception e) {
        throw new AssertionError(e);
      }
    }
  }
}
