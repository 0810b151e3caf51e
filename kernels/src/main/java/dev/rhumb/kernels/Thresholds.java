package dev.rhumb.kernels;

/**
 * How features fire where each does so by itself: feature f fires where its score is above
 * threshold[f], and its activation is max(0, gain[f] score + offset[f]), the sum rounded once.
 *
 * <p>Ownership: the caller's buffers, on the kernels' device.
 *
 * @param threshold (F)
 * @param gain (F)
 * @param offset (F)
 */
public record Thresholds(Buffer threshold, Buffer gain, Buffer offset) {
  void check(String operation, long features) {
    Check.vector(operation, "threshold", threshold, DType.F32, features);
    Check.vector(operation, "gain", gain, DType.F32, features);
    Check.vector(operation, "offset", offset, DType.F32, features);
  }
}
