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
 * <p>{@link #run} leaves on the device what the losses are made of, {@link #read} fetches it: so a
 * step waits for the device once, at its end.
 *
 * <p>Ownership: owns its workspace; not weights or gradients. Threads: one at a time.
 */
abstract class SaeLoss implements AutoCloseable {
  /** Entries of a list that is worked off block by block, about: 32 MiB. */
  private static final int ENTRIES = 1 << 22;

  // What is read after a run, by one copy: some numbers, then some for each row, then counts.
  private static final int VARIANCE = 0;
  private static final int AUX_VARIANCE = 1;
  private static final int CLIP = 2;
  private static final int LEAST = 3;
  private static final int REPORT = 16;

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

  /** x - x^ of the batch, which a variant sets where {@link #errorOrNull} asks for it. */
  final Buffer error;

  /** (batch), the sum of error^2 of each row, which a variant sets. */
  final Buffer squares;

  /** (1), sum (x - mean of x)^2 of the batch. */
  final Buffer variance;

  /** (1): room for the factor that clips the gradient, read with the losses. */
  final Buffer clip;

  /** (1): room for the smallest value that was selected. */
  final Buffer least;

  /** Room for gradients in reconstructions. */
  final Buffer slope;

  private final int auxKept;
  private final float auxWeight;
  private final PackedEncoder deadEncoder;
  private final Buffer floats;
  private final Buffer centred;
  private final Buffer auxValues;
  private final Buffer auxSlopes;
  private final Buffer mean;
  private final Buffer report;
  private final int[] hostReport;
  private final Buffer floatReport;
  private final int reportRows;
  private final Buffer auxSquares;
  private final Buffer auxVariance;
  private final Buffer ints;
  private final Buffer auxIndices;
  private final Buffer subset;
  private final Buffer counts;
  // Of the last run.
  private int ranRows;
  private int ranDead;
  private boolean wantsError;

  /** Fraction of variance unexplained of the last run. */
  double main;

  /** Auxiliary loss of the last run, with its weight. */
  double aux;

  /** What else the loss of the last run holds: the whole loss is main + penalty + aux. */
  double penalty;

  /** The factor that clips the last run's gradient; NaN where that is not finite. */
  float clipScale;

  /** For each feature the number of rows of the last run in which it fired. */
  final int[] fired;

  /**
   * @param reports how many numbers for each row the variant's penalty is made of
   */
  SaeLoss(Setting setting, int reports) {
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
    floats = kernels.allocate(DType.F32, 3 * matrix + 2 * auxSparse + width);
    error = floats.slice(0, matrix);
    centred = floats.slice(matrix, matrix);
    slope = floats.slice(2 * matrix, matrix);
    auxValues = floats.slice(3 * matrix, auxSparse);
    auxSlopes = floats.slice(3 * matrix + auxSparse, auxSparse);
    mean = floats.slice(3 * matrix + 2 * auxSparse, width);
    reportRows = setting.batch;
    long numbers = REPORT + (2L + reports) * reportRows;
    report = kernels.allocate(DType.I32, numbers + features);
    hostReport = new int[Math.toIntExact(report.count())];
    counts = report.slice(numbers, features);
    floatReport = report.as(DType.F32);
    variance = floatReport.slice(VARIANCE, 1);
    auxVariance = floatReport.slice(AUX_VARIANCE, 1);
    clip = floatReport.slice(CLIP, 1);
    least = floatReport.slice(LEAST, 1);
    squares = rowReport(-2);
    auxSquares = rowReport(-1);
    ints = kernels.allocate(DType.I32, auxSparse + features);
    auxIndices = ints.slice(0, auxSparse);
    subset = ints.slice(auxSparse, features);
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
   * Sets the gradients; {@link #read} then tells the losses and what fired. What is wrong with
   * weights or scores is told by either.
   *
   * @param x (rows, D) contiguous
   * @param dead the dead features, ascending
   * @param deadCount how many they are
   * @throws ArithmeticException when a weight or a score is not finite, naming it
   */
  final void run(Buffer x, int rows, int[] dead, int deadCount) {
    gradients.flat.zero();
    counts.zero();
    pack(encoder, null, features);
    variance(x, rows, variance);
    int auxFeatures = Math.min(auxKept, deadCount);
    wantsError = auxFeatures > 0;
    ranRows = rows;
    ranDead = deadCount;
    descend(x, rows);
    if (auxFeatures > 0) {
      auxiliary(x, rows, dead, deadCount, auxFeatures);
    }
  }

  /**
   * Sets the losses and what fired to those of the last run; waits for the device.
   *
   * @throws ArithmeticException when a weight or a score was not finite, naming it, or all rows are
   *     the same
   */
  final void read() {
    report.get(0, hostReport, 0, hostReport.length);
    System.arraycopy(hostReport, hostReport.length - features, fired, 0, features);
    float denominator = number(VARIANCE);
    if (denominator == 0) {
      throw new ArithmeticException("all " + ranRows + " rows of x are the same");
    }
    main = sum(-2) / denominator;
    aux = ranDead == 0 || auxKept == 0 ? 0 : auxFactor(ranDead) * auxMean();
    clipScale = number(CLIP);
    penalty = 0;
    finish(ranRows, denominator);
  }

  private float number(int at) {
    return Float.intBitsToFloat(hostReport[at]);
  }

  private double auxMean() {
    return number(AUX_VARIANCE) == 0 ? 0 : sum(-1) / number(AUX_VARIANCE);
  }

  private double auxFactor(int deadCount) {
    return auxWeight * Math.min(deadCount / (double) auxKept, 1);
  }

  /** A variant's numbers for each row (batch), from 0. */
  final Buffer rowReport(int i) {
    return floatReport.slice(REPORT + (i + 2L) * reportRows, reportRows);
  }

  /** The sum over the rows of the last run of what {@link #rowReport} held; of {@link #read}. */
  final double sum(int i) {
    int from = REPORT + (i + 2) * reportRows;
    double sum = 0;
    for (int r = from; r < from + ranRows; r++) {
      sum += number(r);
    }
    return sum;
  }

  /** The squared error of a row of the last run that was read. */
  final double squaredError(int row) {
    return number(REPORT + row);
  }

  /**
   * Sets the squares of the batch's errors, the error itself where {@link #errorOrNull} is not
   * null, and what its penalty is made of; adds to the gradients and what fired.
   */
  abstract void descend(Buffer x, int rows);

  /**
   * Sets the penalty from what was read.
   *
   * @param variance sum (x - mean of x)^2
   */
  void finish(int rows, double variance) {}

  /** What {@link #least} held. */
  final float leastSelected() {
    return number(LEAST);
  }

  /** {@link #error}, or null in a run that does not need it. */
  final Buffer errorOrNull() {
    return wantsError ? error : null;
  }

  /** The threshold above which features of a {@link SaeVariant.BatchTopK} fire; NaN of others. */
  double batchThreshold() {
    return Double.NaN;
  }

  /** Rows of a block whose lists have room for all features. */
  final int blockRows(int batch) {
    return Math.clamp(ENTRIES / features, 1, batch);
  }

  private void auxiliary(Buffer x, int rows, int[] dead, int deadCount, int auxFeatures) {
    variance(error, rows, auxVariance);
    subset.put(0, dead, 0, deadCount);
    pack(deadEncoder, subset, deadCount);
    sae.encodeTopK(deadEncoder, rows, auxFeatures, x, width, auxIndices, auxValues);
    sae.decodeLoss(
        rows,
        auxFeatures,
        features,
        width,
        error,
        width,
        2 * auxFactor(deadCount),
        auxVariance,
        auxIndices,
        auxValues,
        weights.decoder,
        null,
        null,
        slope,
        auxSquares,
        auxSlopes);
    backward(x, rows, auxFeatures, slope, 0, auxIndices, auxValues, auxSlopes, false);
  }

  private void pack(PackedEncoder target, Buffer subset, int count) {
    sae.pack(
        target, features, weights.encoder, weights.encoderBias, weights.decoderBias, subset, count);
  }

  /**
   * The gradient of the squared error over the variance in reconstructions and activations.
   *
   * @param x (rows, D), what is reconstructed
   * @param factor 2, or the share of it that counts
   * @param error set to x - x^; may be x, or null
   * @param g set to the gradient in x^
   * @param squares (rows), set to the squared errors
   * @param slopes set to the gradient in each activation, or null
   */
  final void decodeLoss(
      Buffer x,
      int rows,
      int kept,
      double factor,
      Buffer indices,
      Buffer values,
      boolean decoderBias,
      Buffer error,
      Buffer g,
      Buffer squares,
      Buffer slopes) {
    sae.decodeLoss(
        rows,
        kept,
        features,
        width,
        x,
        width,
        factor,
        variance,
        indices,
        values,
        weights.decoder,
        decoderBias ? weights.decoderBias : null,
        error,
        g,
        squares,
        slopes);
  }

  /**
   * Adds the gradients of all weights but thresholds and magnitudes.
   *
   * @param slopes what {@link #decodeLoss} found with g, or null
   */
  final void backward(
      Buffer x,
      int rows,
      int kept,
      Buffer g,
      double penaltySlope,
      Buffer indices,
      Buffer values,
      Buffer slopes,
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
        slopes,
        weights.encoder,
        weights.decoder,
        weights.decoderBias,
        decoderBias,
        gradients.encoder,
        gradients.decoder,
        gradients.encoderBias,
        gradients.decoderBias);
  }

  /** Counts what fired. */
  final void count(int rows, int kept, Buffer indices, Buffer values) {
    sae.countFired(rows, kept, features, indices, values, counts);
  }

  /** Sets a number to the sum over rows and columns of (y - mean over rows of y)^2. */
  private void variance(Buffer y, int rows, Buffer to) {
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
    dense.squaredNorm(elements, centred, to);
  }

  /** {@link #rows} of a matrix; null of null. */
  final Buffer rowsOrNull(Buffer matrix, int first, int count) {
    return matrix == null ? null : rows(matrix, first, count);
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
    report.close();
    ints.close();
  }
}
