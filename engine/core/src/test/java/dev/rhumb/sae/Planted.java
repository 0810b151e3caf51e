package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Philox;

/** Rows that are sums of a few of the planted directions, moved and scaled away from standard. */
final class Planted implements RowSource {
  static final int WIDTH = 16;
  private static final int PLANTED = 32;
  private static final int ACTIVE = 2;

  final double[][] directions = new double[PLANTED][WIDTH];
  private final double scale;
  private long drawn;

  Planted(double scale) {
    this.scale = scale;
    for (int f = 0; f < PLANTED; f++) {
      double norm = 0;
      for (int d = 0; d < WIDTH; d++) {
        directions[f][d] = Philox.normal(7, 1, f, d);
        norm += directions[f][d] * directions[f][d];
      }
      for (int d = 0; d < WIDTH; d++) {
        directions[f][d] /= Math.sqrt(norm);
      }
    }
  }

  @Override
  public long rows() {
    return 4096;
  }

  @Override
  public void draw(Buffer x, int n) {
    float[] rows = new float[n * WIDTH];
    for (int r = 0; r < n; r++, drawn++) {
      int row = (int) (drawn % rows());
      for (int i = 0; i < ACTIVE; i++) {
        int f = (Philox.bits(7, 2, row, i) >>> 1) % PLANTED;
        double z = 1 + Philox.uniform(7, 3, row, i);
        for (int d = 0; d < WIDTH; d++) {
          rows[r * WIDTH + d] += (float) (scale * z * directions[f][d]);
        }
      }
    }
    for (int i = 0; i < rows.length; i++) {
      rows[i] += 0.5f;
    }
    x.put(0, rows, 0, rows.length);
  }

  @Override
  public void close() {}

  /** The mean over planted directions of the largest cosine that a decoder row has with it. */
  double match(SparseAutoencoder sae) {
    float[] decoder = sae.decoderWeights().floats();
    double sum = 0;
    for (double[] direction : directions) {
      double best = 0;
      for (int f = 0; f < sae.features(); f++) {
        double dot = 0;
        for (int d = 0; d < WIDTH; d++) {
          dot += decoder[f * WIDTH + d] * direction[d];
        }
        best = Math.max(best, dot);
      }
      sum += best / PLANTED;
    }
    return sum;
  }
}
