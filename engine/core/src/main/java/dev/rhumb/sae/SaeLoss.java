package dev.rhumb.sae;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Dense;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.PackedEncoder;
import dev.rhumb.kernels.Sae;

/**
 * The training loss of an autoencoder and its gradient: {@link SaeVariant} says which, and to it
 * comes, with e = x - x^,
 *
 * <pre>
 * aux = w min(dead / k_aux, 1) sum (e^ - e)^2 / sum (e - mean over the batch of e)^2
 * </pre>
 *
 * where e^ is the decode without b_dec of the k_aux largest dead scores, rectified (Gao et al.
 * 2024, "Scaling and evaluating sparse autoencoders", appendix A.2). Denominators, and e in the
 * auxiliary loss, count as constants.
 *
 * <p>Ownership: owns its workspace; not weights or gradients. Threads: one at a time.
 */
abstract class SaeLoss implements AutoCloseable {
  /** Entries of a list that is worked off block by block, about: 32 MiB. */
  private static final int ENTRIES = 1 << 22;

  final Kernels kernels;
  final Dense dense;
  final Sae sae;
  final SaeWeights weights;
  final SaeWeights gradients;
  final int features;
  final int width;

  /** s, by which penalties are divided. */
  final double scale;

  final PackedEncoder encoder;

  /** x - x^ of the batch, which a variant sets. */
  final Buffer error;

  /** Room for gradients in reconstructions. */
  final Buffer slope;

  private final int auxKept;
  private final float auxWeight;
  private final PackedEncoder deadEncoder;
  private final Buffer floats;
  private final Buffer centred;
  private final Buffer auxValues;
  private final Buffer mean;
  private final Buffer sum;
  private final Buffer ints;
  private final Buffer auxIndices;
  private final Buffer subset;
  private final Buffer counts;
  private final float[] scalar = new float[1];

  /** Fraction of variance unexplained of the last run. */
  double main;

  /** Auxiliary loss of the last run, with its weight. */
  double aux;

  /** What else the loss of the last run holds: the whole loss is main + penalty + aux. */
  double penalty;

  /** For each feature the number of rows of the last run in which it fired. */
  final int[] fired;

  SaeLoss(Setting setting) {
    kernels = setting.kernels;
    weights = setting.weights;
    gradients = setting.gradients;
    scale = setting.scale;
    auxKept = Math.min(setting.auxKept, weights.features);
    auxWeight = setting.auxWeight;
    dense = kernels.dense();
    sae = kernels.sae();
    features = weights.features;
    width = weights.width;
    fired = new int[features];
    encoder = sae.encoder(features, width);
    deadEncoder = auxKept == 0 ? null : sae.encoder(features, width);
    long matrix = (long) setting.batch * width;
    long auxSparse = (long) setting.batch * auxKept;
    floats = kernels.allocate(DType.F32, 3 * matrix + auxSparse + width + 1);
    error = floats.slice(0, matrix);
    centred = floats.slice(matrix, matrix);
    slope = floats.slice(2 * matrix, matrix);
    auxValues = floats.slice(3 * matrix, auxSparse);
    mean = floats.slice(3 * matrix + auxSparse, width);
    sum = floats.slice(3 * matrix + auxSparse + width, 1);
    ints = kernels.allocate(DType.I32, auxSparse + 2L * features);
    auxIndices = ints.slice(0, auxSparse);
    subset = ints.slice(auxSparse, features);
    counts = ints.slice(auxSparse + features, features);
  }

  /**
   * What a loss works on.
   *
   * @param scale s of {@link SaeVariant}
   * @param batch rows at most
   */
  record Setting(
      Kernels kernels,
      SaeWeights weights,
      SaeWeights gradients,
      int auxKept,
      float auxWeight,
      double scale,
      int batch) {}

  /** The loss of a variant. */
  static SaeLoss of(SaeVariant variant, Setting setting) {
    return switch (variant) {
      case SaeVariant.TopK topK -> new SelectionLoss(topK, setting);
      case SaeVariant.BatchTopK batchTopK -> new SelectionLoss(batchTopK, setting);
      case SaeVariant.Matryoshka matryoshka -> new MatryoshkaLoss(matryoshka, setting);
      case SaeVariant.ReluL1 relu -> new ReluLoss(relu, setting);
      case SaeVariant.JumpRelu jumpRelu -> new JumpReluLoss(jumpRelu, setting);
      case SaeVariant.Gated gated -> new GatedLoss(gated, setting);
    };
  }

  /**
   * Sets the losses, the gradients and what fired.
   *
   * @param x (rows, D) contiguous
   * @param dead the dead features, ascending
   * @param deadCount how many they are
   * @throws ArithmeticException when a weight or a score is not finite, naming it
   */
  final void run(Buffer x, int rows, int[] dead, int deadCount) {
    gradients.flat.zero();
    counts.zero();
    penalty = 0;
    pack(encoder, null, features);
    double variance = variance(x, rows);
    if (variance == 0) {
      throw new ArithmeticException("all " + rows + " rows of x are the same");
    }
    descend(x, rows, variance);
    main = squares(error, (long) rows * width) / variance;
    aux = 0;
    int auxFeatures = Math.min(auxKept, deadCount);
    if (auxFeatures > 0) {
      auxiliary(x, rows, dead, deadCount, auxFeatures);
    }
    counts.get(0, fired, 0, features);
  }

  /**
   * Sets the error of the batch and adds to the gradients, the penalty and what fired.
   *
   * @param variance sum (x - mean of x)^2
   */
  abstract void descend(Buffer x, int rows, double variance);

  /** The threshold above which features of a {@link SaeVariant.BatchTopK} fire; NaN of others. */
  double batchThreshold() {
    return Double.NaN;
  }

  /** Rows of a block whose lists have room for all features. */
  final int blockRows(int batch) {
    return Math.clamp(ENTRIES / features, 1, batch);
  }

  private void auxiliary(Buffer x, int rows, int[] dead, int deadCount, int auxFeatures) {
    long elements = (long) rows * width;
    double variance = variance(error, rows);
    if (variance == 0) {
      return;
    }
    subset.put(0, dead, 0, deadCount);
    pack(deadEncoder, subset, deadCount);
    sae.encodeTopK(deadEncoder, rows, auxFeatures, x, width, auxIndices, auxValues);
    decode(rows, auxFeatures, auxIndices, auxValues, false, slope);
    dense.add(elements, 1, slope, -1, error, slope);
    double factor = auxWeight * Math.min(deadCount / (double) auxKept, 1) / variance;
    aux = factor * squares(slope, elements);
    dense.add(elements, (float) (2 * factor), slope, 0, slope, slope);
    backward(x, rows, auxFeatures, slope, 0, auxIndices, auxValues, false);
  }

  private void pack(PackedEncoder target, Buffer subset, int count) {
    sae.pack(
        target, features, weights.encoder, weights.encoderBias, weights.decoderBias, subset, count);
  }

  /** y = the sum of decoder rows times values, + b_dec if so wanted. */
  final void decode(
      int rows, int kept, Buffer indices, Buffer values, boolean decoderBias, Buffer y) {
    sae.decode(
        rows,
        kept,
        features,
        width,
        indices,
        values,
        weights.decoder,
        decoderBias ? weights.decoderBias : null,
        y,
        width);
  }

  /** Adds the gradients of all weights but thresholds and magnitudes. */
  final void backward(
      Buffer x,
      int rows,
      int kept,
      Buffer g,
      double penaltySlope,
      Buffer indices,
      Buffer values,
      boolean decoderBias) {
    sae.backward(
        rows,
        kept,
        features,
        width,
        x,
        width,
        g,
        (float) penaltySlope,
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

  /** How many entries fired so far. */
  final long firedEntries() {
    counts.get(0, fired, 0, features);
    long total = 0;
    for (int count : fired) {
      total += count;
    }
    return total;
  }

  /** Counts what fired. */
  final void count(int rows, int kept, Buffer indices, Buffer values) {
    sae.countFired(rows, kept, features, indices, values, counts);
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

  final double squares(Buffer y, long count) {
    dense.squaredNorm(count, y, sum);
    sum.get(0, scalar, 0, 1);
    return scalar[0];
  }

  /** The rows from {@code first} on of a matrix of D columns. */
  final Buffer rows(Buffer matrix, int first, int count) {
    return matrix.slice((long) first * width, (long) count * width);
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
