package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Thresholds;
import java.util.Arrays;

/** {@link Thresholds} with buffers of their own: at first a rectifier. */
final class ThresholdBuffers implements AutoCloseable {
  private final Buffer flat;
  private final int features;
  private final Thresholds thresholds;

  ThresholdBuffers(Kernels kernels, int features) {
    this.features = features;
    flat = kernels.allocate(DType.F32, 3L * features);
    thresholds =
        new Thresholds(
            flat.slice(0, features),
            flat.slice(features, features),
            flat.slice(2L * features, features));
    float[] ones = new float[features];
    Arrays.fill(ones, 1);
    gain(ones);
  }

  Thresholds thresholds() {
    return thresholds;
  }

  void threshold(float[] values) {
    thresholds.threshold().put(0, values, 0, features);
  }

  void gain(float[] values) {
    thresholds.gain().put(0, values, 0, features);
  }

  void offset(float[] values) {
    thresholds.offset().put(0, values, 0, features);
  }

  @Override
  public void close() {
    flat.close();
  }
}
