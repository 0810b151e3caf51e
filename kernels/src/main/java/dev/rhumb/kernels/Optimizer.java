package dev.rhumb.kernels;

/** Parameter updates. See {@link Kernels} for the rules that all operations share. */
public abstract class Optimizer {
  Optimizer() {}

  /**
   * One step of Adam (Kingma, Ba 2015) with decoupled weight decay (Loshchilov, Hutter 2019);
   * without decay where weightDecay is 0. With g = gradScale gradient:
   *
   * <pre>
   * m = beta1 m + (1 - beta1) g         v = beta2 v + (1 - beta2) g^2
   * x = x - lr weightDecay x - lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps)
   * </pre>
   *
   * @param x (count), updated
   * @param gradient (count)
   * @param m (count), first moment, updated
   * @param v (count), second moment, updated
   * @param gradScale factor on the gradient, for clipping
   * @param step from 1
   */
  public final void adam(
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
    Check.elements("adam", count);
    Check.within("adam", "step", step, 1, Long.MAX_VALUE);
    Check.vector("adam", "x", x, DType.F32, count);
    Check.vector("adam", "gradient", gradient, DType.F32, count);
    Check.vector("adam", "m", m, DType.F32, count);
    Check.vector("adam", "v", v, DType.F32, count);
    KernelEvents.Launch launch = KernelEvents.begin();
    doAdam(count, x, gradient, m, v, gradScale, lr, beta1, beta2, eps, weightDecay, step);
    KernelEvents.end(launch, "adam", count);
  }

  /**
   * A step of an exponential moving average (Polyak averaging): average = decay average + (1 -
   * decay) x.
   *
   * @param x (count)
   * @param decay from 0 to 1
   * @param average (count), updated
   */
  public final void average(long count, Buffer x, float decay, Buffer average) {
    Check.elements("average", count);
    Check.within("average", "decay", decay, 0, 1);
    Check.vector("average", "x", x, DType.F32, count);
    Check.vector("average", "average", average, DType.F32, count);
    KernelEvents.Launch launch = KernelEvents.begin();
    doAverage(count, x, decay, average);
    KernelEvents.end(launch, "average", count);
  }

  abstract void doAverage(long count, Buffer x, float decay, Buffer average);

  abstract void doAdam(
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
      long step);
}
