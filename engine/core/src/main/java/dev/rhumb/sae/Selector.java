package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.PackedEncoder;

/**
 * Selects features of a batch in training: the K largest of each row, or the B K largest of all.
 */
final class Selector implements AutoCloseable {
  /** Of the running mean of the smallest selected score. */
  private static final double DECAY = .99;

  private final Kernels kernels;
  private final int features;
  private final int kept;
  private final ThresholdBuffers rectifier;
  private final Buffer least;
  private double leastMean;
  private double leastWeight;

  /** (batch, {@link #room}) lists. */
  final Buffer indices;

  /** Their values. */
  final Buffer values;

  /** Entries of a row at most. */
  final int room;

  /**
   * @param least (1), set where all rows select together: the smallest value that was selected,
   *     which {@link #selected} then wants
   */
  Selector(Kernels kernels, SaeVariant variant, int features, int batch, Buffer least) {
    this.kernels = kernels;
    this.features = features;
    boolean together = variant instanceof SaeVariant.BatchTopK;
    kept = variant.kept();
    room = together ? features : kept;
    rectifier = together ? new ThresholdBuffers(kernels, features) : null;
    this.least = least;
    indices = kernels.allocate(DType.I32, (long) batch * room);
    values = kernels.allocate(DType.F32, (long) batch * room);
  }

  void select(PackedEncoder encoder, Buffer x, int rows) {
    int width = encoder.width();
    if (rectifier == null) {
      kernels.sae().encodeTopK(encoder, rows, kept, x, width, indices, values);
      return;
    }
    kernels.sae().encodeAbove(encoder, rectifier.thresholds(), rows, x, width, indices, values);
    kernels.sae().keepLargest(rows, room, features, (long) rows * kept, indices, values, least);
  }

  /** Takes the smallest value that the last selection of all rows together left. */
  void selected(float smallest) {
    leastMean = DECAY * leastMean + (1 - DECAY) * smallest;
    leastWeight = DECAY * leastWeight + (1 - DECAY);
  }

  /** The running mean of the smallest value that was selected in a batch; NaN row by row. */
  double threshold() {
    return rectifier == null ? Double.NaN : leastMean / leastWeight;
  }

  @Override
  public void close() {
    if (rectifier != null) {
      rectifier.close();
    }
    indices.close();
    values.close();
  }
}
