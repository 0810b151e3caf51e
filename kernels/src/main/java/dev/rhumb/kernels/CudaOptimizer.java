package dev.rhumb.kernels;

import dev.rhumb.bindings.rhumb.Rhumb;

/** {@link Optimizer} on the GPU. */
final class CudaOptimizer extends Optimizer {
  private final CudaQueue cuda;

  CudaOptimizer(CudaQueue cuda) {
    this.cuda = cuda;
  }

  @Override
  void doAverage(long count, Buffer x, float decay, Buffer average) {
    cuda.begin();
    cuda.check(Rhumb.rhumb_average(count, cuda.at(x), decay, cuda.at(average), cuda.stream()));
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
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_adam(
            count,
            cuda.at(x),
            cuda.at(gradient),
            cuda.at(m),
            cuda.at(v),
            factor,
            cuda.at(gradScale),
            lr,
            beta1,
            beta2,
            eps,
            weightDecay,
            step,
            cuda.stream()));
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
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_project_adam_normalise(
            rows,
            cols,
            cuda.at(w),
            cuda.at(gradient),
            cuda.at(m),
            cuda.at(v),
            cuda.at(gradScale),
            lr,
            beta1,
            beta2,
            eps,
            step,
            cuda.stream()));
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
    cuda.begin();
    long bytes = Rhumb.rhumb_clip_scratch(count, rows);
    cuda.check(
        Rhumb.rhumb_clip(
            count,
            cuda.at(gradient),
            rows,
            cols,
            cuda.at(w),
            cuda.at(dw),
            most,
            cuda.at(scale),
            cuda.scratch(bytes),
            bytes,
            cuda.stream()));
  }
}
