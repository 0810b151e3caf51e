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
      float gradScale,
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
            gradScale,
            lr,
            beta1,
            beta2,
            eps,
            weightDecay,
            step,
            cuda.stream()));
  }
}
