package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.set;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/** {@link Optimizer} on the Vector API. */
final class SimdOptimizer extends Optimizer {
  private static final int CHUNK = 1 << 13;

  private final Workers workers;
  private final SimdAdam adam = new SimdAdam();
  private final SquaredNorm norm;
  private final UnitRows rows;
  private final Workers.Task task = this::chunk;
  private final Workers.Task averageTask = this::averageChunk;

  // The arguments of the call under way, and what follows from them.
  private long count;
  private long x;
  private long gradient;
  private long m;
  private long v;
  private float decay;
  private float rest;

  SimdOptimizer(Workers workers) {
    this.workers = workers;
    norm = new SquaredNorm(workers);
    rows = new UnitRows(workers);
  }

  @Override
  void doAdam(
      long count,
      Buffer x,
      Buffer gradient,
      Buffer m,
      Buffer v,
      float factor,
      Buffer gradScale,
      float lr,
      float beta1,
      float beta2,
      float eps,
      float weightDecay,
      long step) {
    this.count = count;
    this.x = x.segment().address();
    this.gradient = gradient.segment().address();
    this.m = m.segment().address();
    this.v = v.segment().address();
    float scale = gradScale == null ? factor : factor * get(gradScale.segment().address());
    if (adam.start(scale, lr, beta1, beta2, eps, weightDecay, step)) {
      workers.run(Simd.chunks(count, CHUNK), 16 * count, task);
    }
  }

  private void chunk(int chunk, int worker) {
    long from = (long) chunk * CHUNK;
    long at = from * 4;
    adam.step((int) Math.min(CHUNK, count - from), x + at, gradient + at, m + at, v + at);
  }

  @Override
  void doAdamUnitRows(
      int rows,
      int cols,
      Buffer w,
      Buffer gradient,
      Buffer m,
      Buffer v,
      Buffer gradScale,
      float lr,
      float beta1,
      float beta2,
      float eps,
      long step) {
    if (adam.start(get(gradScale.segment().address()), lr, beta1, beta2, eps, 0, step)) {
      this.rows.adam(
          rows,
          cols,
          w.segment().address(),
          gradient.segment().address(),
          m.segment().address(),
          v.segment().address(),
          adam);
    }
  }

  @Override
  void doClip(
      long count,
      Buffer gradient,
      int rows,
      int cols,
      Buffer w,
      Buffer dw,
      float most,
      Buffer scale) {
    double squares = norm.of(gradient.segment().address(), count);
    if (rows > 0) {
      squares +=
          this.rows.projectedSquares(rows, cols, w.segment().address(), dw.segment().address());
    }
    set(scale.segment().address(), clipScale(squares, most));
  }

  @Override
  void doAverage(long count, Buffer x, float decay, Buffer average) {
    this.count = count;
    this.x = x.segment().address();
    m = average.segment().address();
    this.decay = decay;
    rest = (float) (1 - (double) decay);
    workers.run(Simd.chunks(count, CHUNK), 3 * count, averageTask);
  }

  private void averageChunk(int chunk, int worker) {
    long from = (long) chunk * CHUNK;
    int elements = (int) Math.min(CHUNK, count - from);
    for (int i = 0; i < elements; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, elements);
      long at = (from + i) * 4;
      FloatVector before = FloatVector.fromMemorySegment(F, MEMORY, m + at, ORDER, mask).mul(decay);
      FloatVector.fromMemorySegment(F, MEMORY, x + at, ORDER, mask)
          .fma(FloatVector.broadcast(F, rest), before)
          .intoMemorySegment(MEMORY, m + at, ORDER, mask);
    }
  }
}
