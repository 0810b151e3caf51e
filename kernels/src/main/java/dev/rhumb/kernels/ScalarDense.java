package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.get;
import static dev.rhumb.kernels.ScalarMemory.set;

import java.lang.foreign.MemorySegment;

/** {@link Dense} in plain loops. */
final class ScalarDense extends Dense {
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
    MemorySegment as = a.segment();
    MemorySegment bs = b.segment();
    MemorySegment cs = c.segment();
    // A transpose only swaps the two strides of an operand.
    long aRow = transA ? 1 : aStride;
    long aCol = transA ? aStride : 1;
    long bRow = transB ? 1 : bStride;
    long bCol = transB ? bStride : 1;
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int p = 0; p < k; p++) {
          sum += (double) get(as, i * aRow + p * aCol) * get(bs, p * bRow + j * bCol);
        }
        double value = alpha * sum;
        if (beta != 0) {
          value += (double) beta * get(cs, i * cStride + j);
        }
        if (bias != null) {
          value += get(bias.segment(), j);
        }
        set(cs, i * cStride + j, ScalarLayers.activate(activation, value));
      }
    }
  }

  @Override
  void doColumnSum(int rows, int cols, Buffer x, long xStride, float beta, Buffer sum) {
    MemorySegment xs = x.segment();
    MemorySegment sums = sum.segment();
    for (int c = 0; c < cols; c++) {
      double total = beta == 0 ? 0 : (double) beta * get(sums, c);
      for (int r = 0; r < rows; r++) {
        total += get(xs, r * xStride + c);
      }
      set(sums, c, total);
    }
  }

  @Override
  void doAdd(long count, float alpha, Buffer a, float beta, Buffer b, Buffer y) {
    MemorySegment as = a.segment();
    MemorySegment bs = b.segment();
    MemorySegment ys = y.segment();
    for (long i = 0; i < count; i++) {
      set(ys, i, (double) alpha * get(as, i) + (double) beta * get(bs, i));
    }
  }

  @Override
  void doSquaredNorm(long count, Buffer x, Buffer result) {
    MemorySegment xs = x.segment();
    double sum = 0;
    for (long i = 0; i < count; i++) {
      double value = get(xs, i);
      sum += value * value;
    }
    set(result.segment(), 0, sum);
  }
}
