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

  /** Everything, with zeros between the parts. */
  final Buffer flat;

  /** (F, D). */
  final Buffer encoder;

  /** (F, D). */
  final Buffer decoder;

  /** (F). */
  final Buffer encoderBias;

  /** (D). */
  final Buffer decoderBias;

  SaeWeights(Kernels kernels, int features, int width) {
    this.features = features;
    this.width = width;
    long matrix = (long) features * width;
    long second = padded(matrix);
    long third = 2 * second;
    long fourth = third + padded(features);
    flat = kernels.allocate(DType.F32, fourth + padded(width));
    encoder = flat.slice(0, matrix);
    decoder = flat.slice(second, matrix);
    encoderBias = flat.slice(third, features);
    decoderBias = flat.slice(fourth, width);
  }

  private static long padded(long count) {
    return (count + ALIGN - 1) / ALIGN * ALIGN;
  }

  @Override
  public void close() {
    flat.close();
  }
}
