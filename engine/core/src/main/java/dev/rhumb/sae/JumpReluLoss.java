package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;

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
  private final float[] logarithms;
  private final float[] thresholds;
  private final float[] low;

  JumpReluLoss(SaeVariant.JumpRelu variant, Setting setting) {
    super(setting);
    l0 = variant.l0();
    bandwidth = (float) (variant.bandwidth() * scale);
    block = blockRows(setting.batch());
    listed = new ThresholdBuffers(kernels, features);
    firing = new ThresholdBuffers(kernels, features);
    indices = kernels.allocate(DType.I32, (long) block * features);
    scores = kernels.allocate(DType.F32, (long) block * features);
    values = kernels.allocate(DType.F32, (long) block * features);
    slopes = kernels.allocate(DType.F32, features);
    logarithms = new float[features];
    thresholds = new float[features];
    low = new float[features];
  }

  @Override
  void descend(Buffer x, int rows, double variance) {
    readThresholds();
    slopes.zero();
    for (int from = 0; from < rows; from += block) {
      int n = Math.min(block, rows - from);
      Buffer in = rows(x, from, n);
      Buffer e = rows(error, from, n);
      Buffer g = rows(slope, from, n);
      long elements = (long) n * width;
      sae.encodeAbove(encoder, listed.thresholds(), n, in, width, indices, scores);
      sae.activate(n, features, features, indices, scores, firing.thresholds(), values);
      decode(n, features, indices, values, true, e);
      dense.add(elements, 1, in, -1, e, e);
      dense.add(elements, (float) (-2 / variance), e, 0, e, g);
      backward(in, n, features, g, 0, indices, values, true);
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
          firing.thresholds().threshold(),
          weights.decoder,
          slopes);
      count(n, features, indices, values);
    }
    slopes.get(0, low, 0, features);
    for (int f = 0; f < features; f++) {
      low[f] *= thresholds[f];
    }
    gradients.threshold.put(0, low, 0, features);
    penalty = l0 * firedEntries() / rows;
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
    super.close();
  }
}
