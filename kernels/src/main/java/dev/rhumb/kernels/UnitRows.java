package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.BYTES;
import static dev.rhumb.kernels.Simd.D;
import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.ceilDiv;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * Work on the rows of matrices, above all what keeps them at unit norm: the projection of their
 * gradients, their optimizer and their normalisation. Sums are in double, so that no row's
 * magnitude can overflow them.
 */
final class UnitRows {
  /** Elements of a task, about. */
  private static final int WORK = 1 << 14;

  private final Workers workers;
  private final Workers.Task projectTask = this::projectBlock;
  private final Workers.Task normaliseTask = this::normaliseBlock;
  private final Workers.Task scaleTask = this::scaleBlock;
  private final Workers.Task dotTask = this::dotBlock;
  private final Workers.Task squaresTask = this::squaresBlock;
  private final Workers.Task adamTask = this::adamBlock;

  // The arguments of the call under way.
  private int rows;
  private int cols;
  private int block;
  private long w;
  private long dw;
  private long perRow;
  private float beta;
  private long partials;
  private long m;
  private long v;
  private SimdAdam adam;

  UnitRows(Workers workers) {
    this.workers = workers;
  }

  /** {@link Sae#projectRows}. */
  void project(int rows, int cols, long w, long dw) {
    this.dw = dw;
    run(rows, cols, w, projectTask);
  }

  /** {@link Sae#normaliseRows}. */
  void normalise(int rows, int cols, long w) {
    run(rows, cols, w, normaliseTask);
  }

  /** {@link Sae#scaleRows}. */
  void scale(int rows, int cols, long factors, long w, float beta, long to) {
    perRow = factors;
    this.beta = beta;
    dw = to;
    run(rows, cols, w, scaleTask);
  }

  /** {@link Sae#dotRows}. */
  void dots(int rows, int cols, long a, long b, long dots) {
    perRow = dots;
    dw = b;
    run(rows, cols, a, dotTask);
  }

  /** The sum of squares of what {@link #project} would leave of dw. */
  double projectedSquares(int rows, int cols, long w, long dw) {
    this.dw = dw;
    int blocks = ceilDiv(rows, block(cols));
    partials = workers.shared().reserve(Math.max(1, blocks) * 8L);
    run(rows, cols, w, squaresTask);
    double sum = 0;
    for (int b = 0; b < blocks; b++) {
      sum += Simd.getDouble(partials + b * 8L);
    }
    return sum;
  }

  /** {@link Optimizer#adamUnitRows}. */
  void adam(int rows, int cols, long w, long gradient, long m, long v, SimdAdam adam) {
    dw = gradient;
    this.m = m;
    this.v = v;
    this.adam = adam;
    run(rows, cols, w, adamTask);
  }

  private static int block(int cols) {
    return Math.max(1, WORK / cols);
  }

  private void run(int rows, int cols, long w, Workers.Task task) {
    this.rows = rows;
    this.cols = cols;
    this.w = w;
    block = block(cols);
    workers.run(ceilDiv(rows, block), task);
  }

  private void projectBlock(int task, int worker) {
    long lanes = workers.own(worker).reserve(2L * BYTES);
    int end = (int) Math.min(rows, (task + 1L) * block);
    for (int r = task * block; r < end; r++) {
      long at = (long) r * cols * 4;
      addScaled(w + at, -along(w + at, dw + at, cols, lanes), dw + at, dw + at, cols);
    }
  }

  private void squaresBlock(int task, int worker) {
    long lanes = workers.own(worker).reserve(4L * BYTES);
    long sums = lanes + 2L * BYTES;
    DoubleVector.zero(D).intoMemorySegment(MEMORY, sums, ORDER);
    DoubleVector.zero(D).intoMemorySegment(MEMORY, sums + BYTES, ORDER);
    int end = (int) Math.min(rows, (task + 1L) * block);
    for (int r = task * block; r < end; r++) {
      long at = (long) r * cols * 4;
      addSquares(w + at, -along(w + at, dw + at, cols, lanes), dw + at, cols, sums);
    }
    Simd.setDouble(partials + task * 8L, sum(sums) + sum(sums + BYTES));
  }

  private void adamBlock(int task, int worker) {
    long lanes = workers.own(worker).reserve(2L * BYTES + cols * 4L);
    long projected = lanes + 2L * BYTES;
    int end = (int) Math.min(rows, (task + 1L) * block);
    for (int r = task * block; r < end; r++) {
      long at = (long) r * cols * 4;
      addScaled(w + at, -along(w + at, dw + at, cols, lanes), dw + at, projected, cols);
      adam.step(cols, w + at, projected, m + at, v + at);
      normalise(w + at, cols, lanes);
    }
  }

  private void normaliseBlock(int task, int worker) {
    long lanes = workers.own(worker).reserve(BYTES);
    int end = (int) Math.min(rows, (task + 1L) * block);
    for (int r = task * block; r < end; r++) {
      normalise(w + (long) r * cols * 4, cols, lanes);
    }
  }

  private static void normalise(long row, int cols, long lanes) {
    double norm = Math.sqrt(dot(row, row, cols, lanes));
    if (norm != 0) {
      divide(row, norm, cols);
    }
  }

  private void scaleBlock(int task, int worker) {
    int end = (int) Math.min(rows, (task + 1L) * block);
    for (int r = task * block; r < end; r++) {
      long at = (long) r * cols * 4;
      FloatVector factor = FloatVector.broadcast(F, Simd.get(perRow + r * 4L));
      for (int i = 0; i < cols; i += LANES) {
        VectorMask<Float> mask = F.indexInRange(i, cols);
        FloatVector sum =
            factor.mul(FloatVector.fromMemorySegment(F, MEMORY, w + at + i * 4L, ORDER, mask));
        if (beta != 0) {
          sum =
              FloatVector.fromMemorySegment(F, MEMORY, dw + at + i * 4L, ORDER, mask)
                  .fma(FloatVector.broadcast(F, beta), sum);
        }
        sum.intoMemorySegment(MEMORY, dw + at + i * 4L, ORDER, mask);
      }
    }
  }

  private void dotBlock(int task, int worker) {
    long lanes = workers.own(worker).reserve(BYTES);
    int end = (int) Math.min(rows, (task + 1L) * block);
    for (int r = task * block; r < end; r++) {
      long at = (long) r * cols * 4;
      Simd.set(perRow + r * 4L, (float) dot(w + at, dw + at, cols, lanes));
    }
  }

  /**
   * @param lanes a vector's room
   */
  private static double dot(long a, long b, int n, long lanes) {
    DoubleVector low = DoubleVector.zero(D);
    DoubleVector high = DoubleVector.zero(D);
    for (int i = 0; i < n; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, n);
      FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, a + i * 4L, ORDER, mask);
      FloatVector y = FloatVector.fromMemorySegment(F, MEMORY, b + i * 4L, ORDER, mask);
      low = part(x, 0).fma(part(y, 0), low);
      high = part(x, 1).fma(part(y, 1), high);
    }
    low.add(high).intoMemorySegment(MEMORY, lanes, ORDER);
    return sum(lanes);
  }

  /**
   * The part of a row dx along the row x, as a factor on x; 0 where x is all zeros.
   *
   * @param lanes the room of two vectors
   */
  private static float along(long x, long dx, int n, long lanes) {
    DoubleVector low = DoubleVector.zero(D);
    DoubleVector high = DoubleVector.zero(D);
    DoubleVector lowDot = DoubleVector.zero(D);
    DoubleVector highDot = DoubleVector.zero(D);
    for (int i = 0; i < n; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, n);
      FloatVector value = FloatVector.fromMemorySegment(F, MEMORY, x + i * 4L, ORDER, mask);
      FloatVector change = FloatVector.fromMemorySegment(F, MEMORY, dx + i * 4L, ORDER, mask);
      DoubleVector first = part(value, 0);
      DoubleVector second = part(value, 1);
      low = first.fma(first, low);
      high = second.fma(second, high);
      lowDot = part(change, 0).fma(first, lowDot);
      highDot = part(change, 1).fma(second, highDot);
    }
    low.add(high).intoMemorySegment(MEMORY, lanes, ORDER);
    lowDot.add(highDot).intoMemorySegment(MEMORY, lanes + BYTES, ORDER);
    double squares = sum(lanes);
    return squares == 0 ? 0 : (float) (sum(lanes + BYTES) / squares);
  }

  /** Adds the squares of dx + factor x to the two vectors of sums. */
  private static void addSquares(long x, float factor, long dx, int n, long sums) {
    FloatVector scale = FloatVector.broadcast(F, factor);
    DoubleVector low = DoubleVector.fromMemorySegment(D, MEMORY, sums, ORDER);
    DoubleVector high = DoubleVector.fromMemorySegment(D, MEMORY, sums + BYTES, ORDER);
    for (int i = 0; i < n; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, n);
      FloatVector sum =
          scale.fma(
              FloatVector.fromMemorySegment(F, MEMORY, x + i * 4L, ORDER, mask),
              FloatVector.fromMemorySegment(F, MEMORY, dx + i * 4L, ORDER, mask));
      low = part(sum, 0).fma(part(sum, 0), low);
      high = part(sum, 1).fma(part(sum, 1), high);
    }
    low.intoMemorySegment(MEMORY, sums, ORDER);
    high.intoMemorySegment(MEMORY, sums + BYTES, ORDER);
  }

  private static double sum(long lanes) {
    double sum = 0;
    for (int i = 0; i < D.length(); i++) {
      sum += Simd.getDouble(lanes + i * 8L);
    }
    return sum;
  }

  private static DoubleVector part(FloatVector x, int part) {
    return (DoubleVector) x.convertShape(VectorOperators.F2D, D, part);
  }

  /** to = y + factor x; to may be y. */
  private static void addScaled(long x, float factor, long y, long to, int n) {
    FloatVector scale = FloatVector.broadcast(F, factor);
    for (int i = 0; i < n; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, n);
      scale
          .fma(
              FloatVector.fromMemorySegment(F, MEMORY, x + i * 4L, ORDER, mask),
              FloatVector.fromMemorySegment(F, MEMORY, y + i * 4L, ORDER, mask))
          .intoMemorySegment(MEMORY, to + i * 4L, ORDER, mask);
    }
  }

  private static void divide(long x, double norm, int n) {
    DoubleVector divisor = DoubleVector.broadcast(D, norm);
    for (int i = 0; i < n; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, n);
      FloatVector value = FloatVector.fromMemorySegment(F, MEMORY, x + i * 4L, ORDER, mask);
      var low = part(value, 0).div(divisor).convertShape(VectorOperators.D2F, F, 0);
      var high = part(value, 1).div(divisor).convertShape(VectorOperators.D2F, F, -1);
      ((FloatVector) low.lanewise(VectorOperators.ADD, high))
          .intoMemorySegment(MEMORY, x + i * 4L, ORDER, mask);
    }
  }
}
