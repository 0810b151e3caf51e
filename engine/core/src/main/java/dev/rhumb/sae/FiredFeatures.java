package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Sae;

/**
 * Encodes rows block by block and hands over what fires.
 *
 * <p>Ownership: owns its workspace; not the autoencoder or the kernels. Threads: one at a time.
 */
public final class FiredFeatures implements AutoCloseable {
  private final Kernels kernels;
  private final SparseAutoencoder sae;
  private final int block;
  private final Buffer indices;
  private final Buffer values;
  private final int[] features;
  private final float[] activations;

  /** Takes what fires. */
  @FunctionalInterface
  public interface Sink {
    /**
     * A feature that fires; rows come in order.
     *
     * @param activation above 0
     */
    void fired(int row, int feature, float activation);
  }

  /**
   * Ready for any number of rows.
   *
   * @param rows how many there will be at a time, about
   */
  public FiredFeatures(Kernels kernels, SparseAutoencoder sae, int rows) {
    this.kernels = kernels;
    this.sae = sae;
    block = sae.blockRows(rows);
    int entries = block * sae.kept();
    indices = kernels.allocate(DType.I32, entries);
    values = kernels.allocate(DType.F32, entries);
    features = new int[entries];
    activations = new float[entries];
  }

  /** Hands over what fires in rows of x (rows, D), contiguous. */
  public void of(Buffer x, int rows, Sink sink) {
    int kept = sae.kept();
    long width = sae.width();
    for (int from = 0; from < rows; from += block) {
      int n = Math.min(block, rows - from);
      sae.encode(kernels, n, x.slice(from * width, n * width), indices, values);
      indices.get(0, features, 0, n * kept);
      values.get(0, activations, 0, n * kept);
      for (int r = 0; r < n; r++) {
        for (int e = r * kept; e < (r + 1) * kept && features[e] != Sae.END; e++) {
          if (activations[e] > 0) {
            sink.fired(from + r, features[e], activations[e]);
          }
        }
      }
    }
  }

  @Override
  public void close() {
    indices.close();
    values.close();
  }
}
