package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.get;
import static dev.rhumb.kernels.ScalarMemory.set;

import java.lang.foreign.MemorySegment;

/** {@link Optimizer} in plain loops. */
final class ScalarOptimizer extends Optimizer {
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
    MemorySegment xs = x.segment();
    MemorySegment gs = gradient.segment();
    MemorySegment ms = m.segment();
    MemorySegment vs = v.segment();
    double correction1 = 1 - Math.pow(beta1, step);
    double correction2 = 1 - Math.pow(beta2, step);
    for (long i = 0; i < count; i++) {
      double g = (double) gradScale * get(gs, i);
      double first = beta1 * (double) get(ms, i) + (1 - (double) beta1) * g;
      double second = beta2 * (double) get(vs, i) + (1 - (double) beta2) * g * g;
      set(ms, i, first);
      set(vs, i, second);
      double value = get(xs, i);
      double move = first / correction1 / (Math.sqrt(second / correction2) + eps);
      set(xs, i, value - (double) lr * weightDecay * value - lr * move);
    }
  }

  @Override
  void doAverage(long count, Buffer x, float decay, Buffer average) {
    MemorySegment xs = x.segment();
    MemorySegment averages = average.segment();
    for (long i = 0; i < count; i++) {
      double before = get(averages, i);
      set(averages, i, decay * before + (1 - (double) decay) * get(xs, i));
    }
  }
}
