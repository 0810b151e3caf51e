package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * Sums of a few rows of a dictionary, each times a factor: what a sparse decode is made of, alone
 * or with the loss of it.
 */
final class SparseRows {
  /** Rows of a task. */
  private static final int BLOCK = 64;

  private final Workers workers;
  private final Workers.Task task = this::block;
  private final Workers.Task lossTask = this::lossBlock;

  // The arguments of the call under way.
  private int rows;
  private int kept;
  private int width;
  private long indices;
  private long values;
  private long wDec;
  private long bDec;
  private long y;
  private long yStride;
  private long x;
  private long xStride;
  private float scale;
  private long error;
  private long squares;
  private long dz;

  SparseRows(Workers workers) {
    this.workers = workers;
  }

  /** {@link Sae#decode}; the stride in bytes, no bias as address 0. */
  void decode(
      int rows,
      int kept,
      int width,
      long indices,
      long values,
      long wDec,
      long bDec,
      long y,
      long yStride) {
    this.rows = rows;
    this.kept = kept;
    this.width = width;
    this.indices = indices;
    this.values = values;
    this.wDec = wDec;
    this.bDec = bDec;
    this.y = y;
    this.yStride = yStride;
    workers.run(ceilDiv(rows, BLOCK), task);
  }

  private void block(int block, int worker) {
    int end = Math.min(rows, (block + 1) * BLOCK);
    for (int r = block * BLOCK; r < end; r++) {
      long at = (long) r * kept * 4;
      int count = count(indices + at, kept);
      combine(count, indices + at, values + at, wDec, width, bDec, y + r * yStride);
    }
  }

  /** {@link Sae#decodeLoss}; the stride in bytes, what is not there as address 0. */
  void decodeLoss(
      int rows,
      int kept,
      int width,
      long x,
      long xStride,
      float scale,
      long indices,
      long values,
      long wDec,
      long bDec,
      long error,
      long g,
      long squares,
      long dz) {
    this.rows = rows;
    this.kept = kept;
    this.width = width;
    this.x = x;
    this.xStride = xStride;
    this.scale = scale;
    this.indices = indices;
    this.values = values;
    this.wDec = wDec;
    this.bDec = bDec;
    this.error = error;
    y = g;
    yStride = width * 4L;
    this.squares = squares;
    this.dz = dz;
    workers.run(ceilDiv(rows, BLOCK), lossTask);
  }

  private void lossBlock(int block, int worker) {
    long room = workers.own(worker).reserve(Dots.ROOM);
    int end = Math.min(rows, (block + 1) * BLOCK);
    for (int r = block * BLOCK; r < end; r++) {
      long at = (long) r * kept * 4;
      long g = y + r * yStride;
      int count = count(indices + at, kept);
      combine(count, indices + at, values + at, wDec, width, bDec, g);
      long rest = error == 0 ? 0 : error + r * yStride;
      set(squares + r * 4L, finish(x + r * xStride, scale, width, rest, g, room));
      if (dz != 0) {
        // The decoder's rows are in the cache still.
        Dots.dots(g, wDec, width * 4L, indices + at, count, width, room, dz + at);
        keepFired(count, values + at, dz + at);
      }
    }
  }

  /**
   * Makes e = x - g and g = -scale e of a row.
   *
   * @param g x^, then the gradient
   * @param error set to e, or 0
   * @param room of a vector
   * @return the sum of e^2
   */
  private static float finish(long x, float scale, int width, long error, long g, long room) {
    FloatVector sum = FloatVector.zero(F);
    FloatVector factor = FloatVector.broadcast(F, -scale);
    for (int d = 0; d < width; d += LANES) {
      VectorMask<Float> mask = F.indexInRange(d, width);
      FloatVector e =
          FloatVector.fromMemorySegment(F, MEMORY, x + d * 4L, ORDER, mask)
              .sub(FloatVector.fromMemorySegment(F, MEMORY, g + d * 4L, ORDER, mask));
      sum = e.fma(e, sum);
      e.mul(factor).intoMemorySegment(MEMORY, g + d * 4L, ORDER, mask);
      if (error != 0) {
        e.intoMemorySegment(MEMORY, error + d * 4L, ORDER, mask);
      }
    }
    sum.intoMemorySegment(MEMORY, room, ORDER);
    double squares = 0;
    for (int i = 0; i < LANES; i++) {
      squares += get(room + i * 4L);
    }
    return (float) squares;
  }

  /** Sets the dots of entries whose value is not above 0 to 0. */
  private static void keepFired(int count, long values, long dots) {
    for (int i = 0; i < count; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, count);
      VectorMask<Float> fired =
          FloatVector.fromMemorySegment(F, MEMORY, values + i * 4L, ORDER, mask)
              .compare(VectorOperators.GT, 0);
      FloatVector.fromMemorySegment(F, MEMORY, dots + i * 4L, ORDER, fired)
          .intoMemorySegment(MEMORY, dots + i * 4L, ORDER, mask);
    }
  }

  /** How many entries a row's list has. */
  static int count(long indices, int kept) {
    int n = 0;
    while (n < kept && getInt(indices + n * 4L) != Sae.END) {
      n++;
    }
    return n;
  }

  /**
   * to = origin + the sum over i of factors[i] rows[indices[i]].
   *
   * @param origin width floats, or 0 for none; may be {@code to}
   */
  static void combine(
      int count, long indices, long factors, long rows, int width, long origin, long to) {
    int d = 0;
    for (; d + 4 * LANES <= width; d += 4 * LANES) {
      combine4(
          count,
          indices,
          factors,
          rows + d * 4L,
          width,
          origin == 0 ? 0 : origin + d * 4L,
          to + d * 4L);
    }
    for (; d < width; d += LANES) {
      combine1(
          count,
          indices,
          factors,
          rows + d * 4L,
          width,
          origin == 0 ? 0 : origin + d * 4L,
          to + d * 4L,
          width - d);
    }
  }

  private static void combine4(
      int count, long indices, long factors, long rows, int width, long origin, long to) {
    FloatVector s0 = FloatVector.zero(F);
    FloatVector s1 = FloatVector.zero(F);
    FloatVector s2 = FloatVector.zero(F);
    FloatVector s3 = FloatVector.zero(F);
    for (int i = 0; i < count; i++) {
      long row = rows + getInt(indices + i * 4L) * (width * 4L);
      FloatVector factor = FloatVector.broadcast(F, get(factors + i * 4L));
      s0 = factor.fma(FloatVector.fromMemorySegment(F, MEMORY, row, ORDER), s0);
      s1 = factor.fma(FloatVector.fromMemorySegment(F, MEMORY, row + BYTES, ORDER), s1);
      s2 = factor.fma(FloatVector.fromMemorySegment(F, MEMORY, row + 2 * BYTES, ORDER), s2);
      s3 = factor.fma(FloatVector.fromMemorySegment(F, MEMORY, row + 3 * BYTES, ORDER), s3);
    }
    if (origin != 0) {
      s0 = s0.add(FloatVector.fromMemorySegment(F, MEMORY, origin, ORDER));
      s1 = s1.add(FloatVector.fromMemorySegment(F, MEMORY, origin + BYTES, ORDER));
      s2 = s2.add(FloatVector.fromMemorySegment(F, MEMORY, origin + 2 * BYTES, ORDER));
      s3 = s3.add(FloatVector.fromMemorySegment(F, MEMORY, origin + 3 * BYTES, ORDER));
    }
    s0.intoMemorySegment(MEMORY, to, ORDER);
    s1.intoMemorySegment(MEMORY, to + BYTES, ORDER);
    s2.intoMemorySegment(MEMORY, to + 2 * BYTES, ORDER);
    s3.intoMemorySegment(MEMORY, to + 3 * BYTES, ORDER);
  }

  private static void combine1(
      int count, long indices, long factors, long rows, int width, long origin, long to, int left) {
    // Made here: a mask that is handed over is an object wherever this is not inlined.
    VectorMask<Float> mask = F.indexInRange(0, left);
    FloatVector sum = FloatVector.zero(F);
    for (int i = 0; i < count; i++) {
      long row = rows + getInt(indices + i * 4L) * (width * 4L);
      sum =
          FloatVector.broadcast(F, get(factors + i * 4L))
              .fma(FloatVector.fromMemorySegment(F, MEMORY, row, ORDER, mask), sum);
    }
    if (origin != 0) {
      sum = sum.add(FloatVector.fromMemorySegment(F, MEMORY, origin, ORDER, mask));
    }
    sum.intoMemorySegment(MEMORY, to, ORDER, mask);
  }
}
