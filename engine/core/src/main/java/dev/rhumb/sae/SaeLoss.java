package dev.rhumb.sae;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Dense;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.PackedEncoder;
import dev.rhumb.kernels.Sae;

/**
 * The training loss of a TopK autoencoder and its gradient. With e = x - x^:
 *
 * <pre>
 * main = sum e^2 / sum (x - mean over the batch of x)^2
 * aux  = w min(dead / k_aux, 1) sum (e^ - e)^2 / sum (e - mean over the batch of e)^2
 * </pre>
 *
 * where e^ is the decode without b_dec of the k_aux largest dead pre-activations, rectified (Gao et
 * al. 2024, "Scaling and evaluating sparse autoencoders", appendix A.2). Denominators, and e in the
 * auxiliary loss, count as constants.
 *
 * <p>Ownership: owns its workspace; not weights or gradients. Threads: one at a time.
 */
final class SaeLoss implements AutoCloseable {
  private final Kernels kernels;
  private final Dense dense;
  private final Sae sae;
  private final SaeWeights weights;
  private final SaeWeights gradients;
  private final int features;
  private final int width;
  private final int kept;
  private final int auxKept;
  private final float auxWeight;
  private final PackedEncoder encoder;
  private final PackedEncoder deadEncoder;
  private final Buffer floats;
  private final Buffer error;
  private final Buffer centred;
  private final Buffer slope;
  private final Buffer values;
  private final Buffer auxValues;
  private final Buffer mean;
  private final Buffer sum;
  private final Buffer ints;
  private final Buffer indices;
  private final Buffer auxIndices;
  private final Buffer subset;
  private final Buffer counts;
  private final float[] scalar = new float[1];

  /** Fraction of variance unexplained of the last run. */
  double main;

  /** Auxiliary loss of the last run, with its weight. */
  double aux;

  /** For each feature the number of rows of the last run in which it fired. */
  final int[] fired;

  SaeLoss(
      Kernels kernels,
      SaeWeights weights,
      SaeWeights gradients,
      int kept,
      int auxKept,
      float auxWeight,
      int batch) {
    this.kernels = kernels;
    this.weights = weights;
    this.gradients = gradients;
    this.kept = kept;
    this.auxKept = Math.min(auxKept, weights.features);
    this.auxWeight = auxWeight;
    dense = kernels.dense();
    sae = kernels.sae();
    features = weights.features;
    width = weights.width;
    fired = new int[features];
    encoder = sae.encoder(features, width);
    deadEncoder = this.auxKept == 0 ? null : sae.encoder(features, width);
    long matrix = (long) batch * width;
    long sparse = (long) batch * kept;
    long auxSparse = (long) batch * this.auxKept;
    floats = kernels.allocate(DType.F32, 3 * matrix + sparse + auxSparse + width + 1);
    error = floats.slice(0, matrix);
    centred = floats.slice(matrix, matrix);
    slope = floats.slice(2 * matrix, matrix);
    values = floats.slice(3 * matrix, sparse);
    auxValues = floats.slice(3 * matrix + sparse, auxSparse);
    mean = floats.slice(3 * matrix + sparse + auxSparse, width);
    sum = floats.slice(3 * matrix + sparse + auxSparse + width, 1);
    ints = kernels.allocate(DType.I32, sparse + auxSparse + 2L * features);
    indices = ints.slice(0, sparse);
    auxIndices = ints.slice(sparse, auxSparse);
    subset = ints.slice(sparse + auxSparse, features);
    counts = ints.slice(sparse + auxSparse + features, features);
  }

  /**
   * Sets the losses, the gradients and what fired.
   *
   * @param x (rows, D) contiguous
   * @param dead the dead features, ascending
   * @param deadCount how many they are
   * @throws ArithmeticException when a weight or a score is not finite, naming it
   */
  void run(Buffer x, int rows, int[] dead, int deadCount) {
    long elements = (long) rows * width;
    gradients.flat.zero();
    sae.pack(encoder, features, weights.encoder, weights.encoderBias, weights.decoderBias, null, 0);
    sae.encodeTopK(encoder, rows, kept, x, width, indices, values);
    sae.decode(
        rows,
        kept,
        features,
        width,
        indices,
        values,
        weights.decoder,
        weights.decoderBias,
        error,
        width);
    dense.add(elements, 1, x, -1, error, error);
    double variance = variance(x, rows);
    if (variance == 0) {
      throw new ArithmeticException("all " + rows + " rows of x are the same");
    }
    main = squares(error, elements) / variance;
    dense.add(elements, (float) (-2 / variance), error, 0, error, slope);
    backward(x, rows, kept, indices, values, true);
    aux = 0;
    int auxFeatures = Math.min(auxKept, deadCount);
    if (auxFeatures > 0) {
      auxiliary(x, rows, dead, deadCount, auxFeatures);
    }
    counts.zero();
    sae.countFired(rows, kept, features, indices, values, counts);
    counts.get(0, fired, 0, features);
  }

  private void auxiliary(Buffer x, int rows, int[] dead, int deadCount, int auxFeatures) {
    long elements = (long) rows * width;
    double variance = variance(error, rows);
    if (variance == 0) {
      return;
    }
    subset.put(0, dead, 0, deadCount);
    sae.pack(
        deadEncoder,
        features,
        weights.encoder,
        weights.encoderBias,
        weights.decoderBias,
        subset,
        deadCount);
    sae.encodeTopK(deadEncoder, rows, auxFeatures, x, width, auxIndices, auxValues);
    sae.decode(
        rows,
        auxFeatures,
        features,
        width,
        auxIndices,
        auxValues,
        weights.decoder,
        null,
        slope,
        width);
    dense.add(elements, 1, slope, -1, error, slope);
    double factor = auxWeight * Math.min(deadCount / (double) auxKept, 1) / variance;
    aux = factor * squares(slope, elements);
    dense.add(elements, (float) (2 * factor), slope, 0, slope, slope);
    backward(x, rows, auxFeatures, auxIndices, auxValues, false);
  }

  private void backward(
      Buffer x, int rows, int kept, Buffer indices, Buffer values, boolean decoderBias) {
    sae.backward(
        rows,
        kept,
        features,
        width,
        x,
        width,
        slope,
        indices,
        values,
        weights.encoder,
        weights.decoder,
        weights.decoderBias,
        decoderBias,
        gradients.encoder,
        gradients.decoder,
        gradients.encoderBias,
        gradients.decoderBias);
  }

  /** The sum over rows and columns of (y - mean over rows of y)^2. */
  private double variance(Buffer y, int rows) {
    long elements = (long) rows * width;
    dense.columnSum(rows, width, y, width, 0, mean);
    dense.add(width, -1f / rows, mean, 0, mean, mean);
    dense.add(elements, 1, y, 0, y, centred);
    // A product of no terms: only the bias is added.
    dense.gemm(
        false,
        false,
        rows,
        width,
        0,
        0,
        y,
        width,
        y,
        width,
        1,
        centred,
        width,
        mean,
        Activation.NONE);
    return squares(centred, elements);
  }

  private double squares(Buffer y, long count) {
    dense.squaredNorm(count, y, sum);
    sum.get(0, scalar, 0, 1);
    return scalar[0];
  }

  @Override
  public void close() {
    encoder.close();
    if (deadEncoder != null) {
      deadEncoder.close();
    }
    floats.close();
    ints.close();
  }
}
