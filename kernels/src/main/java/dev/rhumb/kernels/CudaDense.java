package dev.rhumb.kernels;

import dev.rhumb.bindings.rhumb.Rhumb;

/**
 * {@link Dense} on the GPU: products by cuBLAS where there is one, but for those that are short
 * beside a launch. These are the library's own, which take bias and activation along: of a few
 * rows, and all small ones that would need a second launch for either.
 */
final class CudaDense extends Dense {
  private static final int FEW = 8;

  /** Multiplications (m n k) up to which a product counts as small. */
  private static final long SMALL = 1 << 22;

  private final CudaQueue cuda;

  CudaDense(CudaQueue cuda) {
    this.cuda = cuda;
  }

  @Override
  void doGemm(
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
      Activation activation) {
    cuda.begin();
    boolean takesMore = bias != null || activation != Activation.NONE;
    boolean small = m <= FEW || takesMore && (long) m * n * k <= SMALL;
    if (!small && k > 0 && cuda.device().hasCublas()) {
      cuda.device()
          .gemm(
              transA,
              transB,
              m,
              n,
              k,
              alpha,
              cuda.at(a),
              aStride,
              cuda.at(b),
              bStride,
              beta,
              cuda.at(c),
              cStride);
      if (takesMore) {
        cuda.check(
            Rhumb.rhumb_bias_activation(
                m, n, cuda.at(c), cStride, cuda.at(bias), activation.ordinal(), cuda.stream()));
      }
      return;
    }
    long bytes = Rhumb.rhumb_gemm_scratch(m, n, k);
    cuda.check(
        Rhumb.rhumb_gemm(
            cuda.precision().code(),
            transA ? 1 : 0,
            transB ? 1 : 0,
            m,
            n,
            k,
            alpha,
            cuda.at(a),
            aStride,
            cuda.at(b),
            bStride,
            beta,
            cuda.at(c),
            cStride,
            cuda.at(bias),
            activation.ordinal(),
            cuda.scratch(bytes),
            bytes,
            cuda.stream()));
  }

  @Override
  void doColumnSum(int rows, int cols, Buffer x, long xStride, float beta, Buffer sum) {
    cuda.begin();
    long bytes = Rhumb.rhumb_column_sum_scratch(rows, cols);
    cuda.check(
        Rhumb.rhumb_column_sum(
            rows,
            cols,
            cuda.at(x),
            xStride,
            beta,
            cuda.at(sum),
            cuda.scratch(bytes),
            bytes,
            cuda.stream()));
  }

  @Override
  void doAdd(long count, float alpha, Buffer a, float beta, Buffer b, Buffer y) {
    cuda.begin();
    cuda.check(
        Rhumb.rhumb_add(count, alpha, cuda.at(a), beta, cuda.at(b), cuda.at(y), cuda.stream()));
  }

  @Override
  void doSquaredNorm(long count, Buffer x, Buffer result) {
    cuda.begin();
    long bytes = Rhumb.rhumb_squared_norm_scratch(count);
    cuda.check(
        Rhumb.rhumb_squared_norm(
            count, cuda.at(x), cuda.at(result), cuda.scratch(bytes), bytes, cuda.stream()));
  }
}
