package dev.rhumb.kernels;

/**
 * An encoder of the SIMD backend: features in panels, as {@link ScorePanels} scores them, each
 * chain's start the feature's bias.
 */
final class SimdPackedEncoder extends PackedEncoder {
  /** The panels. */
  final Buffer panels;

  /** What is taken from an input row before it is scored (D). */
  final Buffer inputBias;

  /** Which feature each packed one is. */
  final Buffer names;

  /** Whether names are other than 0, 1, 2 ... */
  boolean named;

  /** The largest magnitude among the weights. */
  float mostWeight;

  /** The largest magnitude among the biases. */
  float mostBias;

  /** The features at a byte for each weight, or null. */
  final BytePanels bytes;

  /** The features' weights (features, width), where there are bytes: few are read, each whole. */
  final Buffer rows;

  SimdPackedEncoder(int capacity, int width, boolean compressed) {
    super(capacity, width);
    long panelBytes = ScorePanels.panels(capacity) * ScorePanels.bytes(width);
    panels = Buffer.host(DType.F32, panelBytes / 4);
    inputBias = Buffer.host(DType.F32, width);
    names = Buffer.host(DType.I32, capacity);
    boolean pruned = compressed && BytePanels.takes(width);
    bytes = pruned ? new BytePanels(capacity, width, true) : null;
    rows = pruned ? Buffer.host(DType.F32, (long) capacity * width) : null;
  }

  @Override
  void requireOpen() {
    panels.requireOpen();
  }

  @Override
  public void close() {
    if (bytes != null) {
      rows.close();
      bytes.close();
    }
    names.close();
    inputBias.close();
    panels.close();
  }
}
