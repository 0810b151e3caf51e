package dev.rhumb.sae;

import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.Model;
import dev.rhumb.train.TrainingDivergedException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Trains a TopK autoencoder on the hidden states of sequences.
 *
 * <p>States are standardised by one mean and one deviation over all of them. Start: decoder rows
 * random of unit norm, the encoder equal to the decoder, b_dec the geometric median of a sample. A
 * step: the gradient of {@link SaeLoss}, its part along each decoder row taken off, clipped; Adam;
 * decoder rows back to unit norm. At the end the scale is folded into the biases, so that the
 * result works on raw hidden states.
 *
 * <p>The same seed gives the same bits on the same backend, for any number of threads.
 */
public final class SaeTrainer implements AutoCloseable {
  private static final float BETA1 = 0.9f;
  private static final float BETA2 = 0.999f;
  private static final float EPSILON = 6.25e-10f;
  private static final long DECODER = 0x5AE2;

  /** Rows from which the mean, the deviation and the median are taken. */
  private static final int SAMPLE = 1 << 16;

  private static final int MEDIAN_SAMPLE = 1 << 13;

  private final Kernels kernels;
  private final SaeConfig config;
  private final SaeListener listener;
  private final int width;
  private final RowSource source;
  private final SaeWeights weights;
  private final SaeWeights gradients;
  private final SaeWeights first;
  private final SaeWeights second;
  private final SaeLoss loss;
  private final Buffer x;
  private final Buffer shift;
  private final Buffer norm;
  private final float[] normValue = new float[1];
  private final long[] idle;
  private final int[] dead;
  private int deadCount;
  private double mean;
  private double deviation;

  private SaeTrainer(
      Kernels kernels, RowSource source, int width, SaeConfig config, SaeListener listener) {
    this.kernels = kernels;
    this.source = source;
    this.width = width;
    this.config = config;
    this.listener = listener;
    weights = new SaeWeights(kernels, config.features(), width);
    gradients = new SaeWeights(kernels, config.features(), width);
    first = new SaeWeights(kernels, config.features(), width);
    second = new SaeWeights(kernels, config.features(), width);
    loss =
        new SaeLoss(
            kernels,
            weights,
            gradients,
            config.kept(),
            config.auxKept(),
            config.auxWeight(),
            config.batch());
    x = kernels.allocate(DType.F32, (long) config.batch() * width);
    shift = kernels.allocate(DType.F32, width);
    norm = kernels.allocate(DType.F32, 1);
    idle = new long[config.features()];
    dead = new int[config.features()];
  }

  /**
   * Trains an autoencoder.
   *
   * @param data whose hidden states it learns from: the newest T positions of each sequence
   * @return the result, whose autoencoder the caller closes
   * @throws IllegalArgumentException when the model lacks the site, or there is nothing to learn
   *     from
   * @throws TrainingDivergedException when a value is not finite any more: it names the step and
   *     the tensor
   */
  public static SaeResult train(
      Kernels kernels, Model model, Sequences data, SaeConfig config, SaeListener listener) {
    config.site().requireIn(model.config());
    RowSource source =
        new RowSampler(
            kernels,
            model,
            config.site(),
            data,
            config.bufferBytes(),
            config.batch(),
            config.seed());
    Map<String, Object> origin = new LinkedHashMap<>();
    origin.put("dataset", data.dataset().name());
    origin.put("dataset_fingerprint", data.dataset().fingerprint());
    return train(kernels, source, model.config().width(), origin, config, listener);
  }

  /** Trains on the rows of a source, which it closes. */
  static SaeResult train(
      Kernels kernels,
      RowSource source,
      int width,
      Map<String, Object> origin,
      SaeConfig config,
      SaeListener listener) {
    try (source;
        SaeTrainer trainer = new SaeTrainer(kernels, source, width, config, listener)) {
      trainer.standardise();
      trainer.initialise();
      double tail = trainer.run();
      return new SaeResult(
          trainer.fold(origin),
          tail,
          trainer.deadCount,
          source.rows(),
          trainer.mean,
          trainer.deviation);
    }
  }

  /** Takes the mean and the deviation from a sample of raw rows. */
  private void standardise() {
    int rows = (int) Math.min(source.rows(), SAMPLE);
    double count = (double) rows * width;
    float[] sample = raw(rows);
    double sum = 0;
    for (float value : sample) {
      sum += value;
    }
    mean = sum / count;
    double squares = 0;
    for (float value : sample) {
      squares += (value - mean) * (value - mean);
    }
    deviation = Math.sqrt(squares / count);
    if (!Double.isFinite(deviation)) {
      throw new TrainingDivergedException(
          "SAE training: the hidden states at '"
              + config.site()
              + "' are not all finite; train the model anew");
    }
    if (deviation == 0) {
      throw new IllegalArgumentException(
          "SAE: the hidden states at '"
              + config.site()
              + "' are all the same; choose another site");
    }
    float[] shifts = new float[width];
    Arrays.fill(shifts, (float) (-mean / deviation));
    shift.put(0, shifts, 0, width);
  }

  private float[] raw(int rows) {
    float[] sample = new float[Math.multiplyExact(rows, width)];
    for (int done = 0; done < rows; done += config.batch()) {
      int n = Math.min(config.batch(), rows - done);
      source.draw(x, n);
      x.get(0, sample, done * width, n * width);
    }
    return sample;
  }

  private void initialise() {
    float[] row = new float[width];
    for (int f = 0; f < config.features(); f++) {
      for (int d = 0; d < width; d++) {
        row[d] = (float) Philox.normal(config.seed(), DECODER, f, d);
      }
      weights.decoder.put((long) f * width, row, 0, width);
    }
    kernels.sae().normaliseRows(config.features(), width, weights.decoder);
    weights.encoder.copyFrom(weights.decoder);
    int rows = (int) Math.min(source.rows(), MEDIAN_SAMPLE);
    double[] median = GeometricMedian.of(raw(rows), rows, width);
    for (int d = 0; d < width; d++) {
      row[d] = (float) ((median[d] - mean) / deviation);
    }
    weights.decoderBias.put(0, row, 0, width);
  }

  /** Runs all steps; returns the mean loss of the last tenth. */
  private double run() {
    double tail = 0;
    int tailSteps = Math.max(1, config.steps() / 10);
    for (int step = 1; step <= config.steps(); step++) {
      source.draw(x, config.batch());
      // x / deviation - mean / deviation: a product of no terms, to which the shift is added.
      kernels
          .dense()
          .gemm(
              false,
              false,
              config.batch(),
              width,
              0,
              0,
              x,
              width,
              x,
              width,
              (float) (1 / deviation),
              x,
              width,
              shift,
              Activation.NONE);
      try {
        loss.run(x, config.batch(), dead, deadCount);
      } catch (ArithmeticException e) {
        throw diverged(step, e.getMessage());
      }
      update(step);
      if (step > config.steps() - tailSteps) {
        tail += loss.main / tailSteps;
      }
      listener.onStep(step, config.steps(), loss.main, loss.aux, deadCount);
      age();
    }
    return tail;
  }

  private void update(int step) {
    int features = config.features();
    kernels.sae().projectRows(features, width, weights.decoder, gradients.decoder);
    double length = Math.sqrt(squares(gradients.flat));
    if (!Double.isFinite(loss.main + loss.aux + length)) {
      throw diverged(step, "the loss is " + (loss.main + loss.aux));
    }
    kernels
        .optimizer()
        .adam(
            weights.flat.count(),
            weights.flat,
            gradients.flat,
            first.flat,
            second.flat,
            (float) Math.min(1, config.clipNorm() / length),
            config.learningRate(step),
            BETA1,
            BETA2,
            EPSILON,
            0,
            step);
    kernels.sae().normaliseRows(features, width, weights.decoder);
  }

  /** Finds the dead features, after a step. */
  private void age() {
    double gap = config.deadGaps() * (double) config.features() / config.kept();
    double limit = Math.max(gap, source.rows());
    deadCount = 0;
    for (int f = 0; f < idle.length; f++) {
      idle[f] = loss.fired[f] > 0 ? 0 : idle[f] + config.batch();
      if (idle[f] >= limit) {
        dead[deadCount++] = f;
      }
    }
  }

  private TrainingDivergedException diverged(int step, String what) {
    Map<String, Buffer> tensors = new LinkedHashMap<>();
    tensors.put("x", x);
    tensors.put("W_enc", weights.encoder);
    tensors.put("b_enc", weights.encoderBias);
    tensors.put("W_dec", weights.decoder);
    tensors.put("b_dec", weights.decoderBias);
    tensors.put("the gradient of W_enc", gradients.encoder);
    tensors.put("the gradient of b_enc", gradients.encoderBias);
    tensors.put("the gradient of W_dec", gradients.decoder);
    tensors.put("the gradient of b_dec", gradients.decoderBias);
    String culprit = "the reconstruction";
    for (Map.Entry<String, Buffer> tensor : tensors.entrySet()) {
      if (!Double.isFinite(squares(tensor.getValue()))) {
        culprit = tensor.getKey();
        break;
      }
    }
    return new TrainingDivergedException(
        "SAE training: step "
            + step
            + ": "
            + culprit
            + " is not finite any more ("
            + what
            + "); lower the learning rate, now "
            + config.learningRate());
  }

  private double squares(Buffer y) {
    kernels.dense().squaredNorm(y.count(), y, norm);
    norm.get(0, normValue, 0, 1);
    return normValue[0];
  }

  /**
   * The trained weights for raw hidden states: z grows by the deviation, and b_dec moves to their
   * mean.
   */
  private SparseAutoencoder fold(Map<String, Object> origin) {
    Map<String, Object> metadata = new LinkedHashMap<>(origin);
    metadata.put("positions", source.rows());
    metadata.put("mean", mean);
    metadata.put("deviation", deviation);
    metadata.put("aux_kept", config.auxKept());
    metadata.put("aux_weight", config.auxWeight());
    metadata.put("learning_rate", config.learningRate());
    metadata.put("warm_up_steps", config.warmUpSteps());
    metadata.put("decay_share", config.decayShare());
    metadata.put("clip_norm", config.clipNorm());
    metadata.put("batch", config.batch());
    metadata.put("steps", config.steps());
    metadata.put("seed", config.seed());
    SparseAutoencoder sae =
        new SparseAutoencoder(
            kernels, config.site(), config.features(), width, config.kept(), metadata);
    fold(kernels, weights, mean, deviation, sae);
    return sae;
  }

  /** Sets an autoencoder on raw hidden states to what given weights do on standardised ones. */
  static void fold(
      Kernels kernels, SaeWeights weights, double mean, double deviation, SparseAutoencoder sae) {
    sae.encoderWeights().copyFrom(weights.encoder);
    sae.decoderWeights().copyFrom(weights.decoder);
    affine(weights.encoderBias, deviation, 0, sae.encoderBias());
    affine(weights.decoderBias, deviation, mean, sae.decoderBias());
    sae.refresh(kernels);
  }

  /** target = factor source + offset. */
  private static void affine(Buffer source, double factor, double offset, Buffer target) {
    float[] values = source.floats();
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (factor * values[i] + offset);
    }
    target.put(0, values, 0, values.length);
  }

  @Override
  public void close() {
    weights.close();
    gradients.close();
    first.close();
    second.close();
    loss.close();
    x.close();
    shift.close();
    norm.close();
  }
}
