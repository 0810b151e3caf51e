package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.F;
import static dev.rhumb.kernels.Simd.LANES;
import static dev.rhumb.kernels.Simd.MEMORY;
import static dev.rhumb.kernels.Simd.ORDER;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/** One step of {@link Optimizer#adam}, on parameters by address. */
final class SimdAdam {
  private float scale;
  private float beta1;
  private float beta2;
  private float rest1;
  private float rest2;
  private float rate;
  private float scale2;
  private float eps;
  private float keep;

  /** Takes the settings of a step over; false where a gradient's factor of NaN forbids it. */
  boolean start(
      float scale, float lr, float beta1, float beta2, float eps, float weightDecay, long step) {
    this.scale = scale;
    this.beta1 = beta1;
    this.beta2 = beta2;
    rest1 = (float) (1 - (double) beta1);
    rest2 = (float) (1 - (double) beta2);
    rate = (float) (-lr / (1 - Math.pow(beta1, step)));
    scale2 = (float) (1 / (1 - Math.pow(beta2, step)));
    this.eps = eps;
    keep = -lr * weightDecay;
    return !Float.isNaN(scale);
  }

  void step(int count, long x, long gradient, long m, long v) {
    for (int i = 0; i < count; i += LANES) {
      VectorMask<Float> mask = F.indexInRange(i, count);
      long at = i * 4L;
      FloatVector g =
          FloatVector.fromMemorySegment(F, MEMORY, gradient + at, ORDER, mask).mul(scale);
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
}
