package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.get;
import static dev.rhumb.kernels.ScalarMemory.set;

import java.lang.foreign.MemorySegment;

/** {@link Optimizer} in plain loops. */
final class ScalarOptimizer extends Optimizer {
  private double[] projected = new double[0];

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
    float scale = gradScale == null ? factor : factor * get(gradScale.segment(), 0);
    if (Float.isNaN(scale)) {
      return;
    }
    MemorySegment xs = x.segment();
    MemorySegment gs = gradient.segment();
    MemorySegment ms = m.segment();
    MemorySegment vs = v.segment();
    double correction1 = 1 - Math.pow(beta1, step);
    double correction2 = 1 - Math.pow(beta2, step);
    for (long i = 0; i < count; i++) {
      double g = (double) scale * get(gs, i);
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
    float scale = get(gradScale.segment(), 0);
    if (Float.isNaN(scale)) {
      return;
    }
    MemorySegment ms = m.segment();
    MemorySegment vs = v.segment();
    double correction1 = 1 - Math.pow(beta1, step);
    double correction2 = 1 - Math.pow(beta2, step);
    for (int r = 0; r < rows; r++) {
      long row = (long) r * cols;
      project(w.segment(), gradient.segment(), row, cols);
      for (int c = 0; c < cols; c++) {
        double g = scale * projected[c];
        double first = beta1 * (double) get(ms, row + c) + (1 - (double) beta1) * g;
        double second = beta2 * (double) get(vs, row + c) + (1 - (double) beta2) * g * g;
        set(ms, row + c, first);
        set(vs, row + c, second);
        double move = first / correction1 / (Math.sqrt(second / correction2) + eps);
        set(w.segment(), row + c, get(w.segment(), row + c) - lr * move);
      }
      ScalarSae.normalise(w.segment(), row, cols);
    }
  }

  /** Sets a row of dw, less its part along that of w. */
  private void project(MemorySegment w, MemorySegment dw, long row, int cols) {
    projected = ScalarMemory.atLeast(projected, cols);
    double squares = ScalarMemory.dot(w, row, w, row, cols);
    double along = squares == 0 ? 0 : ScalarMemory.dot(dw, row, w, row, cols) / squares;
    for (int c = 0; c < cols; c++) {
      projected[c] = (float) (get(dw, row + c) - along * get(w, row + c));
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
    double squares = 0;
    for (long i = 0; i < count; i++) {
      double value = get(gradient.segment(), i);
      squares += value * value;
    }
    for (int r = 0; r < rows; r++) {
      project(w.segment(), dw.segment(), (long) r * cols, cols);
      for (int c = 0; c < cols; c++) {
        squares += projected[c] * projected[c];
      }
    }
    set(scale.segment(), 0, clipScale(squares, most));
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
