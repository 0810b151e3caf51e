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
 * gradients and their normalisation. Sums are in double, so that no row's magnitude can overflow
 * them.
 */
final class UnitRows {
  /** Elements of a task, about. */
  private static final int WORK = 1 << 14;

  private final Workers workers;
  private final Workers.Task projectTask = this::projectBlock;
  private final Workers.Task normaliseTask = this::normaliseBlock;
  private final Workers.Task scaleTask = this::scaleBlock;
  private final Workers.Task dotTask = this::dotBlock;

  // The arguments of the call under way.
  private int rows;
  private int cols;
  private int block;
  private long w;
  private long dw;
  private long perRow;
  private float beta;

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

  private void run(int rows, int cols, long w, Workers.Task task) {
    this.rows = rows;
    this.cols = cols;
    this.w = w;
    block = Math.max(1, WORK / cols);
    workers.run(ceilDiv(rows, block), task);
  }

  private void projectBlock(int task, int worker) {
    int end = (int) Math.min(rows, (task + 1L) * block);
    for (int r = task * block; r < end; r++) {
      long at = (long) r * cols * 4;
      double squares = dot(w + at, w + at, cols, worker);
      if (squares != 0) {
        float along = (float) (dot(dw + at, w + at, cols, worker) / squares);
        addScaled(w + at, -along, dw + at, cols);
      }
    }
  }

  private void normaliseBlock(int task, int worker) {
    int end = (int) Math.min(rows, (task + 1L) * block);
    for (int r = task * block; r < end; r++) {
      long at = (long) r * cols * 4;
      double norm = Math.sqrt(dot(w + at, w + at, cols, worker));
      if (norm != 0) {
        divide(w + at, norm, cols);
      }
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
    int end = (int) Math.min(rows, (task + 1L) * block);
    for (int r = task * block; r < end; r++) {
      long at = (long) r * cols * 4;
      Simd.set(perRow + r * 4L, (float) dot(w + at, dw + at, cols, worker));
    }
  }

  private double dot(long a, long b, int n, int worker) {
    DoubleVector low = DoubleVector.zero(D);
    DoubleVector high = DoubleVector.zero(D);
    for (int i = 0; i < n; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, n);
      FloatVector x = FloatVector.fromMemorySegment(F, MEMORY, a + i * 4L, ORDER, mask);
      FloatVector y = FloatVector.fromMemorySegment(F, MEMORY, b + i * 4L, ORDER, mask);
      low = part(x, 0).fma(part(y, 0), low);
      high = part(x, 1).fma(part(y, 1), high);
    }
    long lanes = workers.own(worker).reserve(BYTES);
    low.add(high).intoMemorySegment(Simd.MEMORY, lanes, Simd.ORDER);
    double sum = 0;
    for (int i = 0; i < D.length(); i++) {
      sum += Simd.getDouble(lanes + i * 8L);
    }
    return sum;
  }

  private static DoubleVector part(FloatVector x, int part) {
    return (DoubleVector) x.convertShape(VectorOperators.F2D, D, part);
  }

  private static void addScaled(long x, float factor, long to, int n) {
    FloatVector scale = FloatVector.broadcast(F, factor);
    for (int i = 0; i < n; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, n);
      scale
          .fma(
              FloatVector.fromMemorySegment(F, MEMORY, x + i * 4L, ORDER, mask),
              FloatVector.fromMemorySegment(F, MEMORY, to + i * 4L, ORDER, mask))
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
