package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Thresholds;

/**
 * The loss of {@link SaeVariant.Gated}. The gate's scores are those of the encoder's weights with
 * b_enc = b_gate; magnitudes are an affine function of them. The gradient of the magnitudes'
 * weights exp(r) W is found as if they were weights of their own, and then parted between W and r.
 */
final class GatedLoss extends SaeLoss {
  private final double l1;
  private final int block;
  private final ThresholdBuffers gate;
  private final ThresholdBuffers magnitude;
  private final Buffer indices;
  private final Buffer scores;
  private final Buffer values;
  private final Buffer matrices;
  private final Buffer magnitudeWeights;
  private final Buffer magnitudeGradient;

  /** What the decoder would get from the gates' reconstruction, in which it is constant. */
  private final Buffer discarded;

  /** The dots of each feature's weights with the gradient of its magnitude's. */
  private final Buffer dots;

  private final Buffer slopes;
  private final float[] gains;

  GatedLoss(SaeVariant.Gated variant, Setting setting) {
    super(setting, 2);
    l1 = variant.l1();
    block = blockRows(setting.batch());
    gate = new ThresholdBuffers(kernels, features);
    magnitude = new ThresholdBuffers(kernels, features);
    indices = kernels.allocate(DType.I32, (long) block * features);
    scores = kernels.allocate(DType.F32, (long) block * features);
    values = kernels.allocate(DType.F32, (long) block * features);
    long matrix = (long) features * width;
    matrices = kernels.allocate(DType.F32, 3 * matrix);
    magnitudeWeights = matrices.slice(0, matrix);
    magnitudeGradient = matrices.slice(matrix, matrix);
    discarded = matrices.slice(2 * matrix, matrix);
    dots = kernels.allocate(DType.F32, features);
    slopes = kernels.allocate(DType.F32, (long) block * features);
    gains = new float[features];
  }

  @Override
  void descend(Buffer x, int rows) {
    setMagnitudes(weights, magnitude, gains);
    Thresholds scaled = magnitude.thresholds();
    sae.scaleRows(features, width, scaled.gain(), weights.encoder, 0, magnitudeWeights);
    magnitudeGradient.zero();
    discarded.zero();
    for (int from = 0; from < rows; from += block) {
      int n = Math.min(block, rows - from);
      Buffer in = rows(x, from, n);
      Buffer e = rowsOrNull(errorOrNull(), from, n);
      Buffer g = rows(slope, from, n);
      Buffer gateSquares = rowReport(1).slice(from, n);
      sae.encodeAbove(encoder, gate.thresholds(), n, in, width, indices, scores);
      sae.activate(n, features, features, indices, scores, scaled, values);
      decodeLoss(in, n, features, 2, indices, scores, true, null, g, gateSquares, slopes);
      backwardOfGate(in, n, g, slopeOfGate(rows));
      sae.sumValues(n, features, features, indices, scores, rowReport(0).slice(from, n));
      decodeLoss(in, n, features, 2, indices, values, true, e, g, squares.slice(from, n), slopes);
      backwardOfMagnitudes(in, n, g);
      count(n, features, indices, values);
    }
    sae.scaleRows(features, width, scaled.gain(), magnitudeGradient, 1, gradients.encoder);
    sae.dotRows(features, width, weights.encoder, magnitudeGradient, dots);
    sae.scaleRows(features, 1, scaled.gain(), dots, 0, gradients.magnitudeScale);
  }

  private double slopeOfGate(int rows) {
    return l1 / (rows * scale);
  }

  @Override
  void finish(int rows, double variance) {
    penalty = sum(1) / variance + slopeOfGate(rows) * sum(0);
  }

  /**
   * Sets the thresholds by which magnitudes come from the gate's scores: exp(r) (score - b_gate) +
   * b_mag where the gate is open.
   *
   * @param gains set to exp(r)
   */
  static void setMagnitudes(SaeWeights weights, ThresholdBuffers target, float[] gains) {
    int features = weights.features;
    float[] offsets = weights.magnitudeBias.floats();
    float[] biases = weights.encoderBias.floats();
    weights.magnitudeScale.get(0, gains, 0, features);
    for (int f = 0; f < features; f++) {
      double gain = Math.exp(gains[f]);
      gains[f] = (float) gain;
      offsets[f] = (float) (offsets[f] - gain * biases[f]);
    }
    target.gain(gains);
    target.offset(offsets);
  }

  /** Of the penalty and the reconstruction from the gates. */
  private void backwardOfGate(Buffer x, int rows, Buffer g, double slopeOfGate) {
    sae.backward(
        rows,
        features,
        features,
        width,
        x,
        width,
        g,
        (float) slopeOfGate,
        indices,
        scores,
        slopes,
        weights.encoder,
        weights.decoder,
        weights.decoderBias,
        false,
        gradients.encoder,
        discarded,
        gradients.encoderBias,
        gradients.decoderBias);
  }

  private void backwardOfMagnitudes(Buffer x, int rows, Buffer g) {
    sae.backward(
        rows,
        features,
        features,
        width,
        x,
        width,
        g,
        0,
        indices,
        values,
        slopes,
        magnitudeWeights,
        weights.decoder,
        weights.decoderBias,
        true,
        magnitudeGradient,
        gradients.decoder,
        gradients.magnitudeBias,
        gradients.decoderBias);
  }

  @Override
  public void close() {
    gate.close();
    magnitude.close();
    indices.close();
    scores.close();
    values.close();
    matrices.close();
    dots.close();
    slopes.close();
    super.close();
  }
}
