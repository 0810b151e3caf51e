package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/** {@link Optimizer} on the Vector API. */
final class SimdOptimizer extends Optimizer {
  private static final int CHUNK = 1 << 13;

  private final Workers workers;
  private final Workers.Task task = this::chunk;
  private final Workers.Task averageTask = this::averageChunk;

  // The arguments of the call under way, and what follows from them.
  private long count;
  private long x;
  private long gradient;
  private long m;
  private long v;
  private float gradScale;
  private float beta1;
  private float beta2;
  private float rest1;
  private float rest2;
  private float rate;
  private float scale2;
  private float eps;
  private float keep;

  SimdOptimizer(Workers workers) {
    this.workers = workers;
  }

  @Override
  void doAdam(
      long count,
      Buffer x,
      Buffer gradient,
      Buffer m,
      Buffer v,
      float gradScale,
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
    this.gradScale = gradScale;
    this.beta1 = beta1;
    this.beta2 = beta2;
    rest1 = (float) (1 - (double) beta1);
    rest2 = (float) (1 - (double) beta2);
    rate = (float) (-lr / (1 - Math.pow(beta1, step)));
    scale2 = (float) (1 / (1 - Math.pow(beta2, step)));
    this.eps = eps;
    keep = -lr * weightDecay;
    workers.run(Simd.chunks(count, CHUNK), 16 * count, task);
  }

  private void chunk(int chunk, int worker) {
    long from = (long) chunk * CHUNK;
    int elements = (int) Math.min(CHUNK, count - from);
    for (int i = 0; i < elements; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, elements);
      long at = (from + i) * 4;
      FloatVector g =
          FloatVector.fromMemorySegment(F, MEMORY, gradient + at, ORDER, mask).mul(gradScale);
      FloatVector first = FloatVector.fromMemorySegment(F, MEMORY, m + at, ORDER, mask).mul(beta1);
      first = g.fma(FloatVector.broadcast(F, rest1), first);
      FloatVector second = FloatVector.fromMemorySegment(F, MEMORY, v + at, ORDER, mask).mul(beta2);
      second = g.mul(g).fma(FloatVector.broadcast(F, rest2), second);
      first.intoMemorySegment(MEMORY, m + at, ORDER, mask);
      second.intoMemorySegment(MEMORY, v + at, ORDER, mask);
      FloatVector move = first.mul(rate).div(second.mul(scale2).sqrt().add(eps));
      FloatVector value = FloatVector.fromMemorySegment(F, MEMORY, x + at, ORDER, mask);
      value
          .fma(FloatVector.broadcast(F, keep), value)
          .add(move)
          .intoMemorySegment(MEMORY, x + at, ORDER, mask);
    }
  }

  @Override
  void doAverage(long count, Buffer x, float decay, Buffer average) {
    this.count = count;
    this.x = x.segment().address();
    m = average.segment().address();
    beta1 = decay;
    rest1 = (float) (1 - (double) decay);
    workers.run(Simd.chunks(count, CHUNK), 3 * count, averageTask);
  }

  private void averageChunk(int chunk, int worker) {
    long from = (long) chunk * CHUNK;
    int elements = (int) Math.min(CHUNK, count - from);
    for (int i = 0; i < elements; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, elements);
      long at = (from + i) * 4;
      FloatVector before = FloatVector.fromMemorySegment(F, MEMORY, m + at, ORDER, mask).mul(beta1);
      FloatVector.fromMemorySegment(F, MEMORY, x + at, ORDER, mask)
          .fma(FloatVector.broadcast(F, rest1), before)
          .intoMemorySegment(MEMORY, m + at, ORDER, mask);
    }
  }
}
