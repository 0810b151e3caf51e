package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;

/** {@link Thresholds} by address. */
final class SimdThresholds {
  long threshold;
  private long gain;
  private long offset;

  void take(Thresholds thresholds) {
    threshold = thresholds.threshold().segment().address();
    gain = thresholds.gain().segment().address();
    offset = thresholds.offset().segment().address();
  }

  /** The activation of a score. */
  float activation(int feature, float score) {
    long at = feature * 4L;
    if (!(score > get(threshold + at))) {
      return 0;
    }
    return Math.max(Math.fma(get(gain + at), score, get(offset + at)), 0);
  }

  /** {@link Sae#activate}. */
  void activate(int rows, int kept, long indices, long scores, long values) {
    for (int r = 0; r < rows; r++) {
      long at = r * (kept * 4L);
      for (int n = SparseRows.count(indices + at, kept); n > 0; n--, at += 4) {
        set(values + at, activation(getInt(indices + at), get(scores + at)));
      }
    }
  }
}
