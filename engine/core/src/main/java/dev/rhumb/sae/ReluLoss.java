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
  private final Buffer slopes;

  ReluLoss(SaeVariant.ReluL1 variant, Setting setting) {
    super(setting, variant.squared() ? 1 : 2);
    this.variant = variant;
    block = blockRows(setting.batch());
    rectifier = new ThresholdBuffers(kernels, features);
    indices = kernels.allocate(DType.I32, (long) block * features);
    values = kernels.allocate(DType.F32, (long) block * features);
    slopes = kernels.allocate(DType.F32, (long) block * features);
  }

  @Override
  void descend(Buffer x, int rows) {
    double l1 = slopeOfPenalty(rows);
    for (int from = 0; from < rows; from += block) {
      int n = Math.min(block, rows - from);
      Buffer in = rows(x, from, n);
      Buffer g = rows(slope, from, n);
      Buffer rowSquares = squares.slice(from, n);
      sae.encodeAbove(encoder, rectifier.thresholds(), n, in, width, indices, values);
      if (variant.squared()) {
        Buffer e = rowsOrNull(errorOrNull(), from, n);
        decodeLoss(in, n, features, 2, indices, values, true, e, g, rowSquares, slopes);
        backward(in, n, features, g, l1, indices, values, slopes, true);
      } else {
        Buffer e = rows(error, from, n);
        long elements = (long) n * width;
        decodeLoss(in, n, features, 2, indices, values, true, e, g, rowSquares, null);
        // The gradient of ||e|| is e / ||e||; of a row of zeros, 0.
        dense.add(elements, 1, e, 0, e, g);
        sae.normaliseRows(n, width, g);
        sae.dotRows(n, width, g, e, rowReport(1).slice(from, n));
        dense.add(elements, (float) (-1 / (rows * scale)), g, 0, g, g);
        backward(in, n, features, g, l1, indices, values, null, true);
      }
      count(n, features, indices, values);
      sae.sumValues(n, features, features, indices, values, rowReport(0).slice(from, n));
    }
  }

  private double slopeOfPenalty(int rows) {
    return variant.l1() / (rows * scale);
  }

  @Override
  void finish(int rows, double variance) {
    penalty = slopeOfPenalty(rows) * sum(0);
    if (!variant.squared()) {
      // The squared error, which is reported, is no part of this loss.
      penalty += sum(1) / (rows * scale) - main;
    }
  }

  @Override
  public void close() {
    rectifier.close();
    indices.close();
    values.close();
    slopes.close();
    super.close();
  }
}
