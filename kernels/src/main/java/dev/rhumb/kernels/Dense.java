package dev.rhumb.kernels;

/**
 * Matrix products and reductions over float32. See {@link Kernels} for the rules that all
 * operations share.
 */
public abstract class Dense {
  Dense() {}

  /**
   * C = act(alpha op(A) op(B) + beta C + bias).
   *
   * @param transA whether op(A) is the transpose of A
   * @param transB whether op(B) is the transpose of B
   * @param m rows of C
   * @param n columns of C
   * @param k columns of op(A), rows of op(B); 0 leaves act(beta C + bias)
   * @param a (m, k), or (k, m) when transposed
   * @param b (k, n), or (n, k) when transposed
   * @param beta 0 means that C is not read, NaN in it included
   * @param c (m, n)
   * @param bias (n), added to every row, or null
   */
  public final void gemm(
      boolean transA,
      boolean transB,
      long m,
      long n,
      long k,
      float alpha,
      Buffer a,
      long aStride,
      Buffer b,
      long bStride,
      float beta,
      Buffer c,
      long cStride,
      Buffer bias,
      Activation activation) {
    Check.count("gemm", "m", m, 0);
    Check.count("gemm", "n", n, 0);
    Check.count("gemm", "k", k, 0);
    Check.matrix("gemm", "a", a, transA ? k : m, transA ? m : k, aStride);
    Check.matrix("gemm", "b", b, transB ? n : k, transB ? k : n, bStride);
    Check.matrix("gemm", "c", c, m, n, cStride);
    if (bias != null) {
      Check.vector("gemm", "bias", bias, DType.F32, n);
    }
    Check.that(activation != null, "gemm", "activation is missing; Activation.NONE means none");
    if (m > 0 && n > 0) {
      KernelEvents.Launch launch = KernelEvents.begin();
      doGemm(
          transA,
          transB,
          (int) m,
          (int) n,
          (int) k,
          alpha,
          a,
          aStride,
          b,
          bStride,
          beta,
          c,
          cStride,
          bias,
          activation);
      KernelEvents.end(launch, "gemm", m);
    }
  }

  /** {@link #gemm} without bias and activation. */
  public final void gemm(
      boolean transA,
      boolean transB,
      long m,
      long n,
      long k,
      float alpha,
      Buffer a,
      long aStride,
      Buffer b,
      long bStride,
      float beta,
      Buffer c,
      long cStride) {
    gemm(
        transA,
        transB,
        m,
        n,
        k,
        alpha,
        a,
        aStride,
        b,
        bStride,
        beta,
        c,
        cStride,
        null,
        Activation.NONE);
  }

  /**
   * sum[c] = beta sum[c] + the sum over rows of x[r][c]; the gradient of a bias.
   *
   * @param x (rows, cols)
   * @param beta 0 means that sum is not read
   * @param sum (cols)
   */
  public final void columnSum(
      long rows, long cols, Buffer x, long xStride, float beta, Buffer sum) {
    Check.count("columnSum", "rows", rows, 0);
    Check.count("columnSum", "cols", cols, 0);
    Check.matrix("columnSum", "x", x, rows, cols, xStride);
    Check.vector("columnSum", "sum", sum, DType.F32, cols);
    KernelEvents.Launch launch = KernelEvents.begin();
    doColumnSum((int) rows, (int) cols, x, xStride, beta, sum);
    KernelEvents.end(launch, "columnSum", rows);
  }

  /**
   * y = alpha a + beta b, element by element; y may be a or b.
   *
   * @param a (count)
   * @param b (count)
   * @param y (count)
   */
  public final void add(long count, float alpha, Buffer a, float beta, Buffer b, Buffer y) {
    Check.elements("add", count);
    Check.vector("add", "a", a, DType.F32, count);
    Check.vector("add", "b", b, DType.F32, count);
    Check.vector("add", "y", y, DType.F32, count);
    KernelEvents.Launch launch = KernelEvents.begin();
    doAdd(count, alpha, a, beta, b, y);
    KernelEvents.end(launch, "add", count);
  }

  /**
   * result[0] = the sum of x[i]^2, summed in double by a fixed tree and rounded once. A NaN or an
   * infinity in x shows in it.
   *
   * @param x (count)
   * @param result (1)
   */
  public final void squaredNorm(long count, Buffer x, Buffer result) {
    Check.elements("squaredNorm", count);
    Check.vector("squaredNorm", "x", x, DType.F32, count);
    Check.vector("squaredNorm", "result", result, DType.F32, 1);
    KernelEvents.Launch launch = KernelEvents.begin();
    doSquaredNorm(count, x, result);
    KernelEvents.end(launch, "squaredNorm", count);
  }

  abstract void doGemm(
      boolean transA,
      boolean transB,
      int m,
      int n,
      int k,
      float alpha,
      Buffer a,
      long aStride,
      Buffer b,
      long bStride,
      float beta,
      Buffer c,
      long cStride,
      Buffer bias,
      Activation activation);

  abstract void doColumnSum(int rows, int cols, Buffer x, long xStride, float beta, Buffer sum);

  abstract void doAdd(long count, float alpha, Buffer a, float beta, Buffer b, Buffer y);

  abstract void doSquaredNorm(long count, Buffer x, Buffer result);
}
