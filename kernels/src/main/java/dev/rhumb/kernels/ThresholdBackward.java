package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;

/**
 * {@link Sae#thresholdBackward}. Each block of rows sums for itself; blocks are joined in order, so
 * that no sum depends on the number of threads. By address.
 */
final class ThresholdBackward {
  /** Rows of a task. */
  private static final int BLOCK = 128;

  private final Workers workers;
  private final Workers.Task task = this::block;

  // The arguments of the call under way.
  private int rows;
  private int kept;
  private int features;
  private int width;
  private float bandwidth;
  private long g;
  private float slope;
  private long indices;
  private long scores;
  private long threshold;
  private long wDec;
  private long sums;

  ThresholdBackward(Workers workers) {
    this.workers = workers;
  }

  void run(
      int rows,
      int kept,
      int features,
      int width,
      float bandwidth,
      long g,
      float slope,
      long indices,
      long scores,
      long threshold,
      long wDec,
      long dThreshold) {
    this.rows = rows;
    this.kept = kept;
    this.features = features;
    this.width = width;
    this.bandwidth = bandwidth;
    this.g = g;
    this.slope = slope;
    this.indices = indices;
    this.scores = scores;
    this.threshold = threshold;
    this.wDec = wDec;
    int blocks = ceilDiv(rows, BLOCK);
    sums = workers.shared().reserve(blocks * (features * 4L));
    workers.run(blocks, task);
    for (int f = 0; f < features; f++) {
      float sum = 0;
      for (int b = 0; b < blocks; b++) {
        sum += get(sums + (b * (long) features + f) * 4);
      }
      set(dThreshold + f * 4L, get(dThreshold + f * 4L) - sum);
    }
  }

  private void block(int block, int worker) {
    long to = sums + block * (features * 4L);
    for (int f = 0; f < features; f++) {
      set(to + f * 4L, 0);
    }
    int end = Math.min(rows, (block + 1) * BLOCK);
    for (int r = block * BLOCK; r < end; r++) {
      long at = r * (kept * 4L);
      for (int n = SparseRows.count(indices + at, kept); n > 0; n--, at += 4) {
        int f = getInt(indices + at);
        float centre = get(threshold + f * 4L);
        if (Math.abs(get(scores + at) - centre) < bandwidth / 2) {
          float dz = Dots.dot(g + r * (width * 4L), wDec + f * (width * 4L), width);
          set(to + f * 4L, get(to + f * 4L) + (centre * dz + slope) / bandwidth);
        }
      }
    }
  }
}
