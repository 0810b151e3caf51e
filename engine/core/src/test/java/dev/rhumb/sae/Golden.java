package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/** A worked example: 3 rows of width 4, 6 features, 2 kept. */
public final class Golden {
  public static final int ROWS = 3;
  public static final int WIDTH = 4;
  public static final int FEATURES = 6;
  public static final int KEPT = 2;

  static final float[] X = {1, 2, -1, .5f, 0, -1, 3, 1, 2, .5f, 0, -2};
  static final float[] DECODER = {
    .5f, .5f, .5f, .5f, .5f, -.5f, .5f, -.5f, 1, 0, 0, 0, 0, 0, -1, 0, .5f, .5f, -.5f, -.5f, 0, 0,
    0, 1
  };
  static final float[] ENCODER_BIAS = {0, .125f, 0, 0, -.25f, 0};
  static final float[] DECODER_BIAS = {.25f, -.5f, .5f, 0};

  private Golden() {}

  static float[] encoder() {
    float[] encoder = DECODER.clone();
    encoder[0] += .125f;
    encoder[WIDTH + 3] += .125f;
    encoder[2 * WIDTH + 1] -= .125f;
    encoder[4 * WIDTH + 1] += .125f;
    return encoder;
  }

  static void fill(Buffer encoder, Buffer decoder, Buffer encoderBias, Buffer decoderBias) {
    put(encoder, encoder());
    put(decoder, DECODER);
    put(encoderBias, ENCODER_BIAS);
    put(decoderBias, DECODER_BIAS);
  }

  /** Sets an autoencoder of this size to the example's weights. */
  public static void fill(Kernels kernels, SparseAutoencoder sae) {
    fill(sae.encoderWeights(), sae.decoderWeights(), sae.encoderBias(), sae.decoderBias());
    sae.refresh(kernels);
  }

  /** The example's rows, in a buffer of their own. */
  public static Buffer x(Kernels kernels) {
    return buffer(kernels, X);
  }

  static Buffer buffer(Kernels kernels, float[] values) {
    Buffer buffer = kernels.allocate(DType.F32, values.length);
    put(buffer, values);
    return buffer;
  }

  private static void put(Buffer buffer, float[] values) {
    buffer.put(0, values, 0, values.length);
  }
}
