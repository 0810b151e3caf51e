package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * The weights of an autoencoder, or gradients or moments of the same shapes: one buffer, sliced.
 */
final class SaeWeights implements AutoCloseable {
  private static final long ALIGN = 16;

  final int features;
  final int width;

  /** Everything, with zeros between the parts: the decoder first. */
  final Buffer flat;

  /** What follows the decoder, which has an optimizer of its own. */
  final Buffer rest;

  /** (F, D). */
  final Buffer encoder;

  /** (F, D). */
  final Buffer decoder;

  /** (F). */
  final Buffer encoderBias;

  /** (D). */
  final Buffer decoderBias;

  /** (F): a JumpReLU's thresholds, their logarithms in training; else null. */
  final Buffer threshold;

  /** (F): r of a gated autoencoder, which scales magnitudes by exp(r); else null. */
  final Buffer magnitudeScale;

  /** (F): b_mag of a gated autoencoder; else null. */
  final Buffer magnitudeBias;

  SaeWeights(Kernels kernels, int features, int width, SaeArchitecture architecture) {
    this.features = features;
    this.width = width;
    boolean jumps = architecture == SaeArchitecture.JUMP_RELU;
    boolean gated = architecture == SaeArchitecture.GATED;
    long matrix = (long) features * width;
    long second = padded(matrix);
    long third = 2 * second;
    long fourth = third + padded(features);
    long fifth = fourth + padded(width);
    long sixth = fifth + padded(features);
    flat = kernels.allocate(DType.F32, gated ? sixth + padded(features) : jumps ? sixth : fifth);
    decoder = flat.slice(0, matrix);
    rest = flat.slice(second, flat.count() - second);
    encoder = flat.slice(second, matrix);
    encoderBias = flat.slice(third, features);
    decoderBias = flat.slice(fourth, width);
    threshold = jumps ? flat.slice(fifth, features) : null;
    magnitudeScale = gated ? flat.slice(fifth, features) : null;
    magnitudeBias = gated ? flat.slice(sixth, features) : null;
  }

  private static long padded(long count) {
    return (count + ALIGN - 1) / ALIGN * ALIGN;
  }

  @Override
  public void close() {
    flat.close();
  }
}
