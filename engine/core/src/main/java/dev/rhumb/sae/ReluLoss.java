package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;

/** The loss of {@link SaeVariant.ReluL1}. */
final class ReluLoss extends SaeLoss {
  private final SaeVariant.ReluL1 variant;
  private final int block;
  private final ThresholdBuffers rectifier;
  private final Buffer indices;
  private final Buffer values;
  private final Buffer sums;
  private final float[] hostSums;

  ReluLoss(SaeVariant.ReluL1 variant, Setting setting) {
    super(setting);
    this.variant = variant;
    block = blockRows(setting.batch());
    rectifier = new ThresholdBuffers(kernels, features);
    indices = kernels.allocate(DType.I32, (long) block * features);
    values = kernels.allocate(DType.F32, (long) block * features);
    sums = kernels.allocate(DType.F32, block);
    hostSums = new float[block];
  }

  @Override
  void descend(Buffer x, int rows, double variance) {
    double l1 = variant.l1() / (rows * scale);
    for (int from = 0; from < rows; from += block) {
      int n = Math.min(block, rows - from);
      Buffer in = rows(x, from, n);
      Buffer e = rows(error, from, n);
      Buffer g = rows(slope, from, n);
      long elements = (long) n * width;
      sae.encodeAbove(encoder, rectifier.thresholds(), n, in, width, indices, values);
      decode(n, features, indices, values, true, e);
      dense.add(elements, 1, in, -1, e, e);
      if (variant.squared()) {
        dense.add(elements, (float) (-2 / variance), e, 0, e, g);
      } else {
        // The gradient of ||e|| is e / ||e||; of a row of zeros, 0.
        dense.add(elements, 1, e, 0, e, g);
        sae.normaliseRows(n, width, g);
        sae.dotRows(n, width, g, e, sums);
        penalty += sum(n) / (rows * scale);
        dense.add(elements, (float) (-1 / (rows * scale)), g, 0, g, g);
      }
      backward(in, n, features, g, l1, indices, values, true);
      count(n, features, indices, values);
      sae.sumValues(n, features, features, indices, values, sums);
      penalty += l1 * sum(n);
    }
    if (!variant.squared()) {
      // The squared error, which is reported, is no part of this loss.
      penalty -= squares(error, (long) rows * width) / variance;
    }
  }

  private double sum(int rows) {
    sums.get(0, hostSums, 0, rows);
    double sum = 0;
    for (int r = 0; r < rows; r++) {
      sum += hostSums[r];
    }
    return sum;
  }

  @Override
  public void close() {
    rectifier.close();
    indices.close();
    values.close();
    sums.close();
    super.close();
  }
}
