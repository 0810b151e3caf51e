package dev.rhumb.sae;

import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Sae;
import dev.rhumb.model.Model;

/**
 * How well an autoencoder reconstructs hidden states that it did not learn from.
 *
 * @param rows hidden states
 * @param explainedVariance 1 - sum e^2 / sum (x - mean over rows of x)^2
 * @param l0 mean number of features that fire in a row
 * @param deadShare share of features that fire in no row
 * @param cosine mean over rows of the cosine of x and its reconstruction
 * @param meanAbsoluteError mean over rows and dimensions of |e|
 * @param rootMeanSquaredError root of the mean over rows and dimensions of e^2
 */
public record SaeMetrics(
    long rows,
    double explainedVariance,
    double l0,
    double deadShare,
    double cosine,
    double meanAbsoluteError,
    double rootMeanSquaredError) {

  /** Measures over the newest T positions of each sequence. */
  public static SaeMetrics of(
      Kernels kernels, Model model, SparseAutoencoder sae, Sequences heldOut) {
    sae.requireFits(model.config());
    try (StateReader reader = new StateReader(kernels, model, sae.site(), heldOut);
        Sums sums = new Sums(kernels, sae)) {
      while (reader.next()) {
        sums.add(reader.state(), reader.batch().rows());
      }
      return sums.metrics();
    }
  }

  /** Measures over given rows (rows, D). */
  static SaeMetrics of(Kernels kernels, SparseAutoencoder sae, Buffer x, int rows) {
    try (Sums sums = new Sums(kernels, sae)) {
      sums.add(x, rows);
      return sums.metrics();
    }
  }

  /** Sums in double over all rows. */
  private static final class Sums implements AutoCloseable {
    private final Kernels kernels;
    private final int block;
    private final SparseAutoencoder sae;
    private final Buffer indices;
    private final Buffer values;
    private final Buffer reconstruction;
    private final float[] x;
    private final float[] y;
    private final float[] z;
    private final int[] features;
    private final float[] origin;
    private final double[] sum;
    private final double[] squares;
    private final boolean[] alive;
    private long rows;
    private long fired;
    private double error;
    private double absolute;
    private double cosines;

    Sums(Kernels kernels, SparseAutoencoder sae) {
      this.kernels = kernels;
      this.sae = sae;
      int width = sae.width();
      int kept = sae.kept();
      block = sae.blockRows(1024);
      indices = kernels.allocate(DType.I32, (long) block * kept);
      values = kernels.allocate(DType.F32, (long) block * kept);
      reconstruction = kernels.allocate(DType.F32, (long) block * width);
      x = new float[block * width];
      y = new float[block * width];
      z = new float[block * kept];
      features = new int[block * kept];
      origin = sae.decoderBias().floats();
      sum = new double[width];
      squares = new double[width];
      alive = new boolean[sae.features()];
    }

    void add(Buffer states, int count) {
      int width = sae.width();
      int kept = sae.kept();
      for (int from = 0; from < count; from += block) {
        int n = Math.min(block, count - from);
        Buffer block = states.slice((long) from * width, (long) n * width);
        sae.encode(kernels, n, block, indices, values);
        sae.decode(kernels, n, indices, values, reconstruction);
        block.get(0, x, 0, n * width);
        reconstruction.get(0, y, 0, n * width);
        values.get(0, z, 0, n * kept);
        indices.get(0, features, 0, n * kept);
        for (int r = 0; r < n; r++) {
          row(r * width, r * kept);
        }
      }
      rows += count;
    }

    private void row(int at, int sparseAt) {
      double dot = 0;
      double xx = 0;
      double yy = 0;
      for (int d = 0; d < sum.length; d++) {
        double a = x[at + d];
        double b = y[at + d];
        dot += a * b;
        xx += a * a;
        yy += b * b;
        error += (a - b) * (a - b);
        absolute += Math.abs(a - b);
        // From b_dec, which lies near the mean: the difference below then loses no digits.
        double moved = a - origin[d];
        sum[d] += moved;
        squares[d] += moved * moved;
      }
      double norms = Math.sqrt(xx * yy);
      cosines += norms == 0 ? 0 : dot / norms;
      for (int i = 0; i < sae.kept() && features[sparseAt + i] != Sae.END; i++) {
        if (z[sparseAt + i] > 0) {
          fired++;
          alive[features[sparseAt + i]] = true;
        }
      }
    }

    SaeMetrics metrics() {
      if (rows == 0) {
        throw new IllegalArgumentException("SAE metrics: there is no position to measure at");
      }
      double variance = 0;
      for (int d = 0; d < sum.length; d++) {
        variance += squares[d] - sum[d] * sum[d] / rows;
      }
      int dead = 0;
      for (boolean one : alive) {
        dead += one ? 0 : 1;
      }
      double elements = (double) rows * sum.length;
      return new SaeMetrics(
          rows,
          1 - error / variance,
          fired / (double) rows,
          dead / (double) alive.length,
          cosines / rows,
          absolute / elements,
          Math.sqrt(error / elements));
    }

    @Override
    public void close() {
      indices.close();
      values.close();
      reconstruction.close();
    }
  }
}
