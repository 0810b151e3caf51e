package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.util.Arrays;

/**
 * The loss of {@link SaeVariant.JumpRelu}. Thresholds are learnt by their logarithms, so that each
 * moves by a share of itself. Entries within the bandwidth below a threshold do not fire but are
 * listed: the straight-through gradient needs them.
 */
final class JumpReluLoss extends SaeLoss {
  private final double l0;
  private final float bandwidth;
  private final int block;
  private final ThresholdBuffers listed;
  private final ThresholdBuffers firing;
  private final Buffer indices;
  private final Buffer scores;
  private final Buffer values;
  private final Buffer slopes;
  private final Buffer thresholdSlopes;
  private final float[] logarithms;
  private final float[] thresholds;
  private final float[] low;

  JumpReluLoss(SaeVariant.JumpRelu variant, Setting setting) {
    super(setting, 0);
    l0 = variant.l0();
    bandwidth = (float) (variant.bandwidth() * scale);
    block = blockRows(setting.batch());
    listed = new ThresholdBuffers(kernels, features);
    firing = new ThresholdBuffers(kernels, features);
    indices = kernels.allocate(DType.I32, (long) block * features);
    scores = kernels.allocate(DType.F32, (long) block * features);
    values = kernels.allocate(DType.F32, (long) block * features);
    slopes = kernels.allocate(DType.F32, (long) block * features);
    thresholdSlopes = kernels.allocate(DType.F32, features);
    logarithms = new float[features];
    thresholds = new float[features];
    low = new float[features];
  }

  @Override
  void descend(Buffer x, int rows) {
    readThresholds();
    Buffer threshold = firing.thresholds().threshold();
    thresholdSlopes.zero();
    for (int from = 0; from < rows; from += block) {
      int n = Math.min(block, rows - from);
      Buffer in = rows(x, from, n);
      Buffer e = rowsOrNull(errorOrNull(), from, n);
      Buffer g = rows(slope, from, n);
      Buffer rowSquares = squares.slice(from, n);
      sae.encodeAbove(encoder, listed.thresholds(), n, in, width, indices, scores);
      sae.activate(n, features, features, indices, scores, firing.thresholds(), values);
      decodeLoss(in, n, features, 2, indices, values, true, e, g, rowSquares, slopes);
      backward(in, n, features, g, 0, indices, values, slopes, true);
      sae.thresholdBackward(
          n,
          features,
          features,
          width,
          bandwidth,
          g,
          (float) (l0 / rows),
          indices,
          scores,
          threshold,
          weights.decoder,
          thresholdSlopes);
      count(n, features, indices, values);
    }
    // Of a threshold's logarithm.
    sae.scaleRows(features, 1, threshold, thresholdSlopes, 0, gradients.threshold);
  }

  @Override
  void finish(int rows, double variance) {
    penalty = l0 * Arrays.stream(fired).asLongStream().sum() / rows;
  }

  /** Takes the thresholds from their logarithms, which it holds above half the bandwidth. */
  private void readThresholds() {
    float least = bandwidth / 2;
    weights.threshold.get(0, logarithms, 0, features);
    for (int f = 0; f < features; f++) {
      logarithms[f] = Math.max(logarithms[f], (float) Math.log(least));
      // Not below the least, whatever the logarithm's rounding: listed scores are positive.
      thresholds[f] = Math.max((float) Math.exp(logarithms[f]), least);
      low[f] = thresholds[f] - least;
    }
    weights.threshold.put(0, logarithms, 0, features);
    firing.threshold(thresholds);
    listed.threshold(low);
  }

  @Override
  public void close() {
    listed.close();
    firing.close();
    indices.close();
    scores.close();
    values.close();
    slopes.close();
    thresholdSlopes.close();
    super.close();
  }
}
