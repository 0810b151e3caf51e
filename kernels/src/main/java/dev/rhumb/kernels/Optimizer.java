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
   * @param gradScale factor on the gradient, for clipping; where it is NaN nothing changes
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
    adam(count, x, gradient, m, v, gradScale, null, lr, beta1, beta2, eps, weightDecay, step);
  }

  /**
   * {@link #adam} with the factor on the gradient in memory, as {@link #clip} leaves it: no backend
   * waits for it.
   *
   * @param gradScale (1), factor on the gradient; where it is NaN nothing changes
   */
  public final void adam(
      long count,
      Buffer x,
      Buffer gradient,
      Buffer m,
      Buffer v,
      Buffer gradScale,
      float lr,
      float beta1,
      float beta2,
      float eps,
      float weightDecay,
      long step) {
    Check.vector("adam", "gradScale", gradScale, DType.F32, 1);
    adam(count, x, gradient, m, v, 1, gradScale, lr, beta1, beta2, eps, weightDecay, step);
  }

  private void adam(
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
    Check.elements("adam", count);
    Check.within("adam", "step", step, 1, Long.MAX_VALUE);
    Check.vector("adam", "x", x, DType.F32, count);
    Check.vector("adam", "gradient", gradient, DType.F32, count);
    Check.vector("adam", "m", m, DType.F32, count);
    Check.vector("adam", "v", v, DType.F32, count);
    KernelEvents.Launch launch = KernelEvents.begin();
    doAdam(count, x, gradient, m, v, factor, gradScale, lr, beta1, beta2, eps, weightDecay, step);
    KernelEvents.end(launch, "adam", count);
  }

  /**
   * One step of {@link #adam}, without weight decay, on a matrix whose rows have unit norm: takes
   * from each row of the gradient its part along the same row of w ({@link Sae#projectRows}),
   * steps, and scales the row of w to unit norm ({@link Sae#normaliseRows}), in one pass.
   *
   * @param w (rows, cols), contiguous, updated
   * @param gradient (rows, cols), contiguous; stays as it is
   * @param m (rows, cols), first moment, updated
   * @param v (rows, cols), second moment, updated
   * @param gradScale (1), factor on the gradient; where it is NaN nothing changes
   * @param step from 1
   */
  public final void adamUnitRows(
      long rows,
      long cols,
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
    String op = "adamUnitRows";
    Check.count(op, "rows", rows, 0);
    Check.count(op, "cols", cols, 1);
    Check.within(op, "step", step, 1, Long.MAX_VALUE);
    Check.matrix(op, "w", w, rows, cols, cols);
    Check.matrix(op, "gradient", gradient, rows, cols, cols);
    Check.matrix(op, "m", m, rows, cols, cols);
    Check.matrix(op, "v", v, rows, cols, cols);
    Check.vector(op, "gradScale", gradScale, DType.F32, 1);
    KernelEvents.Launch launch = KernelEvents.begin();
    doAdamUnitRows(
        (int) rows, (int) cols, w, gradient, m, v, gradScale, lr, beta1, beta2, eps, step);
    KernelEvents.end(launch, op, rows);
  }

  /**
   * The factor that clips a gradient: scale[0] = min(1, most / |gradient|), where the squared norm
   * is summed in double by a fixed tree and rounded to float32. NaN where that is not finite.
   *
   * @param gradient (count)
   * @param most the largest norm that is left alone, from 0; infinity clips none
   * @param scale (1), set
   */
  public final void clip(long count, Buffer gradient, float most, Buffer scale) {
    clip(count, gradient, 0, 1, null, null, most, scale);
  }

  /**
   * {@link #clip} for a gradient in two parts, of which one is of a matrix with rows of unit norm:
   * its norm is that of what {@link #adamUnitRows} leaves of it.
   *
   * @param gradient (count), one part
   * @param rows of the other, or 0; then w and dw are not looked at
   * @param w (rows, cols), contiguous: the matrix
   * @param dw (rows, cols), contiguous: its gradient
   * @param most the largest norm that is left alone, from 0; infinity clips none
   * @param scale (1), set
   */
  public final void clip(
      long count,
      Buffer gradient,
      long rows,
      long cols,
      Buffer w,
      Buffer dw,
      float most,
      Buffer scale) {
    Check.elements("clip", count);
    Check.count("clip", "rows", rows, 0);
    Check.count("clip", "cols", cols, 1);
    Check.vector("clip", "gradient", gradient, DType.F32, count);
    if (rows > 0) {
      Check.matrix("clip", "w", w, rows, cols, cols);
      Check.matrix("clip", "dw", dw, rows, cols, cols);
    }
    Check.within("clip", "most", most, 0, Double.POSITIVE_INFINITY);
    Check.vector("clip", "scale", scale, DType.F32, 1);
    KernelEvents.Launch launch = KernelEvents.begin();
    doClip(count, gradient, (int) rows, (int) cols, w, dw, most, scale);
    KernelEvents.end(launch, "clip", count);
  }

  /** The factor that a gradient's squared norm asks for. Backends on the host call it. */
  static float clipScale(double squares, float most) {
    float rounded = (float) squares;
    return Float.isFinite(rounded) ? (float) Math.min(1, most / Math.sqrt(rounded)) : Float.NaN;
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

  /**
   * @param factor on the gradient
   * @param gradScale (1), another one, or null
   */
  abstract void doAdam(
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
      long step);

  abstract void doAdamUnitRows(
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
      long step);

  abstract void doClip(
      long count,
      Buffer gradient,
      int rows,
      int cols,
      Buffer w,
      Buffer dw,
      float most,
      Buffer scale);
}
