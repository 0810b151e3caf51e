package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class DenseConformanceTest extends Conformance {
  DenseConformanceTest(Backend backend) {
    super(backend);
  }

  static double act(Activation activation, double x) {
    return switch (activation) {
      case NONE -> x;
      case RELU -> x > 0 ? x : 0;
      // x times the logistic function of twice the tanh's argument: the same value, another way.
      case GELU -> x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
      case GELU_ERF -> x * normalDistribution(x);
      case SILU -> x / (1 + Math.exp(-x));
    };
  }

  /** The standard normal distribution function: its density under Simpson's rule from 0 on. */
  static double normalDistribution(double x) {
    double end = Math.abs(x);
    if (end > 9) {
      return x < 0 ? 0 : 1;
    }
    int steps = 2 + 2 * (int) (8 * end);
    double step = end / steps;
    double sum = 0;
    for (int i = 0; i <= steps; i++) {
      double weight = i == 0 || i == steps ? 1 : i % 2 == 1 ? 4 : 2;
      sum += weight * Math.exp(-(i * step) * (i * step) / 2);
    }
    double area = sum * step / 3 / Math.sqrt(2 * Math.PI);
    return x < 0 ? Math.max(0, 0.5 - area) : 0.5 + area;
  }

  private void gemm(int m, int n, int k, int salt) {
    each(
        (kernels, memory) -> {
          boolean transA = (salt & 1) != 0;
          boolean transB = (salt & 2) != 0;
          float alpha = new float[] {1, 1, -0.5f}[salt % 3];
          float beta = new float[] {0, 1, 0.25f}[salt / 4 % 3];
          Activation activation = Activation.values()[salt / 2 % Activation.values().length];
          int aRows = transA ? k : m;
          int aCols = transA ? m : k;
          int bRows = transB ? n : k;
          int bCols = transB ? k : n;
          Matrix a = memory.matrix(aRows, aCols, stride(aCols, salt));
          Matrix b = memory.matrix(bRows, bCols, stride(bCols, salt + 1));
          // With beta 0 the old C must not be read.
          Matrix c =
              memory.matrix(
                  m, n, stride(n, salt + 2), (i, j) -> beta == 0 ? Double.NaN : memory.uniform());
          Matrix bias = salt % 5 < 2 ? null : memory.vector(n);
          kernels
              .dense()
              .gemm(
                  transA,
                  transB,
                  m,
                  n,
                  k,
                  alpha,
                  a.buffer,
                  a.stride,
                  b.buffer,
                  b.stride,
                  beta,
                  c.buffer,
                  c.stride,
                  bias == null ? null : bias.buffer,
                  activation);
          c.check(
              bf16 ? "gemm in bf16" : "gemm",
              k,
              (i, j) -> {
                double sum = 0;
                for (int p = 0; p < k; p++) {
                  sum +=
                      operand(transA ? a.was(p, i) : a.was(i, p))
                          * operand(transB ? b.was(j, p) : b.was(p, j));
                }
                double before = beta == 0 ? 0 : beta * c.was(i, j);
                return act(activation, alpha * sum + before + (bias == null ? 0 : bias.was(j)));
              });
        });
  }

  @Test
  void gemmOfEverySize() {
    int salt = 0;
    for (int trans = 0; trans < 4; trans++) {
      for (int size : SIZES) {
        salt += 4;
        gemm(size, 17, 33, salt + trans);
        gemm(13, size, 33, salt + 16 + trans);
        gemm(13, 17, size, salt + 32 + trans);
      }
    }
  }

  @Test
  void gemmLargerThanAnyTile() {
    for (int trans = 0; trans < 4; trans++) {
      gemm(131, 211, 67, 4 + trans);
      // More than the CUDA backend makes itself where cuBLAS is there.
      gemm(259, 260, 65, 28 + trans);
      gemm(29, 97, 523, 8 + trans);
      gemm(300, 3, 61, 12 + trans);
      // About as many rows as two vectors of each width have floats.
      gemm(31, 331, 211, 16 + trans);
      gemm(15, 331, 211, 20 + trans);
      gemm(7, 331, 211, 24 + trans);
    }
  }

  @Test
  void gemmOfExtremes() {
    each(
        (kernels, memory) -> {
          double[] left = {1e30, -1e30, 1e-30, 1e-42, -0.0, 0, 3e38, Double.POSITIVE_INFINITY};
          double[] right = {1e-30, 1e30, 1e-42, -0.0, 1, 3e38};
          Matrix a = memory.matrix(left.length, 1, 1, (i, j) -> left[i]);
          Matrix b = memory.matrix(1, right.length, right.length, (i, j) -> right[j]);
          Matrix c = memory.matrix(left.length, right.length, right.length);
          kernels
              .dense()
              .gemm(
                  false,
                  false,
                  left.length,
                  right.length,
                  1,
                  1,
                  a.buffer,
                  1,
                  b.buffer,
                  right.length,
                  0,
                  c.buffer,
                  right.length);
          c.check("gemm of extremes", 1, 0, (i, j) -> operand(a.was(i, 0)) * operand(b.was(0, j)));
        });
  }

  @Test
  void columnSum() {
    int salt = 0;
    for (int cols : SIZES) {
      for (int rows : new int[] {0, 1, 2, 9, 130}) {
        float beta = new float[] {0, 1, -2}[++salt % 3];
        int step = stride(cols, salt);
        each(
            (kernels, memory) -> {
              Matrix x = memory.matrix(rows, cols, step);
              Matrix sum = memory.vector(cols, (r, c) -> beta == 0 ? Double.NaN : memory.uniform());
              kernels.dense().columnSum(rows, cols, x.buffer, step, beta, sum.buffer);
              sum.check(
                  "columnSum",
                  rows,
                  (none, c) -> {
                    double total = beta == 0 ? 0 : beta * sum.was(c);
                    for (int r = 0; r < rows; r++) {
                      total += x.was(r, c);
                    }
                    return total;
                  });
            });
      }
    }
  }

  @Test
  void columnSumOfManyRows() {
    each(
        (kernels, memory) -> {
          Matrix x = memory.matrix(3001, 181, 181);
          Matrix sum = memory.vector(181);
          kernels.dense().columnSum(3001, 181, x.buffer, 181, 0, sum.buffer);
          sum.check(
              "columnSum",
              3001,
              (none, c) -> {
                double total = 0;
                for (int r = 0; r < 3001; r++) {
                  total += x.was(r, c);
                }
                return total;
              });
        });
  }

  @Test
  void addAlsoInPlace() {
    for (int n : with(SIZES, 600_011)) {
      each(
          (kernels, memory) -> {
            Matrix a = memory.vector(n);
            Matrix b = memory.vector(n);
            Matrix y = memory.vector(n);
            Dense dense = kernels.dense();
            dense.add(n, 1.5f, a.buffer, -0.3f, b.buffer, y.buffer);
            y.check("add", 1, (none, i) -> 1.5f * a.was(i) + -0.3f * b.was(i));
            dense.add(n, 2, a.buffer, 1, b.buffer, b.buffer);
            b.check("add", 1, (none, i) -> 2 * a.was(i) + b.was(i));
            dense.add(n, 1, a.buffer, 3, a.buffer, a.buffer);
            a.check("add", 1, (none, i) -> 4 * a.was(i));
          });
    }
  }

  @Test
  void squaredNormIsSummedInDouble() {
    for (int n : with(SIZES, 600_011)) {
      each(
          (kernels, memory) -> {
            // The small ones vanish beside the large one in any float32 sum.
            Matrix x = memory.vector(n, (none, i) -> i == 0 ? 4096 : memory.uniform());
            Matrix result = memory.vector(1);
            kernels.dense().squaredNorm(n, x.buffer, result.buffer);
            result.check(
                "squaredNorm",
                0,
                0,
                (none, zero) -> {
                  double sum = 0;
                  for (int i = 0; i < n; i++) {
                    sum += x.was(i) * x.was(i);
                  }
                  return sum;
                });
          });
    }
  }

  @Test
  void squaredNormShowsWhatIsNotFinite() {
    for (double odd : new double[] {Double.NaN, Double.NEGATIVE_INFINITY, 1e30}) {
      each(
          (kernels, memory) -> {
            Matrix x = memory.vector(77, (none, i) -> i == 51 ? odd : 1);
            Matrix result = memory.vector(1);
            kernels.dense().squaredNorm(77, x.buffer, result.buffer);
            float expected = Double.isNaN(odd) ? Float.NaN : Float.POSITIVE_INFINITY;
            assertEquals(expected, result.now()[0]);
          });
    }
  }

  static int[] with(int[] sizes, int... more) {
    int[] all = java.util.Arrays.copyOf(sizes, sizes.length + more.length);
    System.arraycopy(more, 0, all, sizes.length, more.length);
    return all;
  }
}
