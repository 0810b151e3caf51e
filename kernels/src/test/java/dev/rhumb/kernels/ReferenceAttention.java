package dev.rhumb.kernels;

/** Causal attention and its gradients from the full matrices of weights, in double. */
final class ReferenceAttention {
  final double[][] out;
  final double[][] logSumExp;
  final double[][] dq;
  final double[][] dk;
  final double[][] dv;

  /** Dropout's probability and the place of its mask. */
  record Dropout(float p, long key, long stream) {
    double factor(int row, int col) {
      boolean kept = (Philox.bits(key, stream, row, col) & 0xFFFFFFFFL) >= Math.round(p * 0x1p32);
      return kept ? 1 / (1 - (double) p) : 0;
    }
  }

  /** Forward, and backward where {@code dOut} is not null. */
  ReferenceAttention(
      int[] offsets,
      int heads,
      int headWidth,
      double[][] q,
      double[][] k,
      double[][] v,
      Dropout dropout,
      double[][] dOut) {
    int rows = q.length;
    int cols = heads * headWidth;
    out = new double[rows][cols];
    logSumExp = new double[rows][heads];
    dq = new double[rows][cols];
    dk = new double[rows][cols];
    dv = new double[rows][cols];
    double scale = 1 / Math.sqrt(headWidth);
    for (int b = 0; b + 1 < offsets.length; b++) {
      int start = offsets[b];
      for (int i = start; i < offsets[b + 1]; i++) {
        for (int h = 0; h < heads; h++) {
          int from = h * headWidth;
          int to = from + headWidth;
          int keys = i - start + 1;
          double[] weight = new double[keys];
          double most = Double.NEGATIVE_INFINITY;
          for (int j = 0; j < keys; j++) {
            weight[j] = scale * dot(q[i], k[start + j], from, to);
            most = Math.max(most, weight[j]);
          }
          double sum = 0;
          for (double score : weight) {
            sum += Math.exp(score - most);
          }
          logSumExp[i][h] = most + Math.log(sum);
          double[] factor = new double[keys];
          for (int j = 0; j < keys; j++) {
            weight[j] = Math.exp(weight[j] - most) / sum;
            factor[j] = dropout.factor(i * heads + h, j);
            for (int d = from; d < to; d++) {
              out[i][d] += weight[j] * factor[j] * v[start + j][d];
            }
          }
          if (dOut == null) {
            continue;
          }
          double[] dWeight = new double[keys];
          double mean = 0;
          for (int j = 0; j < keys; j++) {
            dWeight[j] = factor[j] * dot(dOut[i], v[start + j], from, to);
            mean += weight[j] * dWeight[j];
          }
          for (int j = 0; j < keys; j++) {
            double dScore = weight[j] * (dWeight[j] - mean);
            for (int d = from; d < to; d++) {
              dq[i][d] += scale * dScore * k[start + j][d];
              dk[start + j][d] += scale * dScore * q[i][d];
              dv[start + j][d] += weight[j] * factor[j] * dOut[i][d];
            }
          }
        }
      }
    }
  }

  private static double dot(double[] a, double[] b, int from, int to) {
    double sum = 0;
    for (int d = from; d < to; d++) {
      sum += a[d] * b[d];
    }
    return sum;
  }
}
