package dev.rhumb.sae;

import dev.rhumb.data.Sequences;
import dev.rhumb.jfr.Events;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Optimizer;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.Model;
import dev.rhumb.train.TrainingDivergedException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;

/**
 * Trains an autoencoder on the hidden states of sequences, or several at once on one stream of
 * them: the model runs once for all, and each gets the bits that it would get alone.
 *
 * <p>States are standardised by one mean and one deviation over all of them, unless the
 * configuration says otherwise. Start: decoder rows random of unit norm, the encoder equal to the
 * decoder, b_dec the geometric median of a sample. A step: the gradient of the {@link SaeVariant
 * variant}'s loss, its part along each decoder row taken off, clipped; Adam; decoder rows back to
 * unit norm. At the end the scale is folded into biases and thresholds, so that the result works on
 * raw hidden states.
 *
 * <p>Dead features are revived by the auxiliary loss, or drawn anew: such a feature takes the
 * direction of a row of the batch, drawn in proportion to the square of its squared error; its
 * encoder takes the same direction at a fifth of the mean norm of the others, its bias is 0, and
 * its moments start anew (Bricken et al. 2023, "Towards monosemanticity", on neuron resampling).
 *
 * <p>The same seed gives the same bits on the same backend, for any number of threads.
 */
public final class SaeTrainer implements AutoCloseable {
  private static final float BETA1 = 0.9f;
  private static final float BETA2 = 0.999f;
  private static final float EPSILON = 6.25e-10f;
  private static final long DECODER = 0x5AE2;
  private static final long RESAMPLE = 0x5AE3;

  /** The norm of a resampled encoder row, as a share of the mean norm of the others. */
  private static final float RESAMPLED_NORM = 0.2f;

  private final Kernels kernels;
  private final SaeConfig config;
  private final SaeListener listener;
  private final int width;
  private final SaeStream stream;
  private final SaeWeights weights;
  private final SaeWeights gradients;
  private final SaeWeights first;
  private final SaeWeights second;
  private final SaeLoss loss;
  private final Buffer norm;
  private final float[] normValue = new float[1];
  private final long[] idle;
  private final int[] dead;
  private int deadCount;

  /** The sum of the losses of the last tenth of the steps. */
  private double tail;

  private SaeTrainer(Kernels kernels, SaeStream stream, SaeConfig config, SaeListener listener) {
    this.kernels = kernels;
    this.stream = stream;
    width = stream.width();
    this.config = config;
    this.listener = listener;
    SaeArchitecture architecture = trained(config.variant());
    weights = new SaeWeights(kernels, config.features(), width, architecture);
    gradients = new SaeWeights(kernels, config.features(), width, architecture);
    first = new SaeWeights(kernels, config.features(), width, architecture);
    second = new SaeWeights(kernels, config.features(), width, architecture);
    loss =
        SaeLoss.of(
            config.variant(),
            new SaeLoss.Setting(
                kernels,
                weights,
                gradients,
                config.auxKept(),
                config.auxWeight(),
                stream.scale(),
                config.batch()));
    norm = kernels.allocate(DType.F32, 1);
    idle = new long[config.features()];
    dead = new int[config.features()];
  }

  /** What is trained: a BatchTopK learns its weights as a TopK does, and a threshold by the way. */
  static SaeArchitecture trained(SaeVariant variant) {
    return variant instanceof SaeVariant.JumpRelu || variant instanceof SaeVariant.Gated
        ? variant.architecture()
        : SaeArchitecture.TOP_K;
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
    return train(kernels, model, data, List.of(config), i -> listener).getFirst();
  }

  /**
   * Trains several autoencoders on one stream of hidden states.
   *
   * @param data whose hidden states they learn from: the newest T positions of each sequence
   * @param configs one for each, of the same site, batch, seed, buffer and standardisation: these
   *     make the stream
   * @param listeners who follows autoencoder i
   * @return the results in the order of the configurations; the caller closes their autoencoders
   * @throws IllegalArgumentException when the streams differ, the model lacks the site, or there is
   *     nothing to learn from
   * @throws TrainingDivergedException when a value is not finite any more: it names the
   *     autoencoder, the step and the tensor
   */
  public static List<SaeResult> train(
      Kernels kernels,
      Model model,
      Sequences data,
      List<SaeConfig> configs,
      IntFunction<SaeListener> listeners) {
    SaeConfig stream = requireOneStream(configs);
    stream.site().requireIn(model.config());
    RowReader reader = new ModelRows(kernels, model, stream.site(), data);
    return train(
        kernels,
        sampler(kernels, reader, stream),
        model.config().width(),
        origin(data.dataset().name(), data.dataset().fingerprint()),
        configs,
        listeners);
  }

  /**
   * Trains several autoencoders on one stream of hidden states from a cache.
   *
   * @throws dev.rhumb.checkpoint.FormatException when a shard is damaged: it names the file and the
   *     mend
   * @throws IllegalArgumentException when the cache is of another site, or as above
   */
  public static List<SaeResult> train(
      Kernels kernels,
      ActivationCache cache,
      List<SaeConfig> configs,
      IntFunction<SaeListener> listeners) {
    SaeConfig stream = requireOneStream(configs);
    if (!stream.site().equals(cache.site())) {
      throw new IllegalArgumentException(
          "SAE: the cache "
              + cache.folder()
              + " holds hidden states at '"
              + cache.site()
              + "', not at '"
              + stream.site()
              + "'; fill a cache for that site in another folder");
    }
    return train(
        kernels,
        sampler(kernels, cache.reader(kernels), stream),
        cache.width(),
        origin(cache.datasetName(), cache.datasetFingerprint()),
        configs,
        listeners);
  }

  private static Map<String, Object> origin(String dataset, String fingerprint) {
    Map<String, Object> origin = new LinkedHashMap<>();
    origin.put("dataset", dataset);
    origin.put("dataset_fingerprint", fingerprint);
    return origin;
  }

  private static RowSampler sampler(Kernels kernels, RowReader reader, SaeConfig stream) {
    return new RowSampler(kernels, reader, stream.bufferBytes(), stream.batch(), stream.seed());
  }

  private static SaeConfig requireOneStream(List<SaeConfig> configs) {
    if (configs.isEmpty()) {
      throw new IllegalArgumentException("SAE: there is no autoencoder to train; give settings");
    }
    SaeConfig first = configs.getFirst();
    for (SaeConfig other : configs) {
      if (!other.site().equals(first.site())
          || other.batch() != first.batch()
          || other.seed() != first.seed()
          || other.bufferBytes() != first.bufferBytes()
          || other.standardised() != first.standardised()) {
        throw new IllegalArgumentException(
            "SAE: autoencoders that learn from one stream need the same site, batch, seed,"
                + " buffer bytes and standardisation, not "
                + first
                + " and "
                + other
                + "; train these apart");
      }
    }
    return first;
  }

  /** Trains on the rows of a source, which it closes. */
  static SaeResult train(
      Kernels kernels,
      RowSource source,
      int width,
      Map<String, Object> origin,
      SaeConfig config,
      SaeListener listener) {
    return train(kernels, source, width, origin, List.of(config), i -> listener).getFirst();
  }

  private static List<SaeResult> train(
      Kernels kernels,
      RowSource source,
      int width,
      Map<String, Object> origin,
      List<SaeConfig> configs,
      IntFunction<SaeListener> listeners) {
    SaeConfig common = configs.getFirst();
    List<SaeTrainer> trainers = new ArrayList<>();
    List<SaeResult> results = new ArrayList<>();
    try (source;
        SaeStream stream =
            new SaeStream(
                kernels, source, common.site(), width, common.batch(), common.standardised())) {
      for (int i = 0; i < configs.size(); i++) {
        trainers.add(new SaeTrainer(kernels, stream, configs.get(i), listeners.apply(i)));
      }
      trainers.forEach(SaeTrainer::initialise);
      int steps = configs.stream().mapToInt(SaeConfig::steps).max().getAsInt();
      for (int step = 1; step <= steps; step++) {
        Buffer x = stream.next();
        for (SaeTrainer trainer : trainers) {
          if (step <= trainer.config.steps()) {
            trainer.step(step, x);
          }
        }
      }
      for (SaeTrainer trainer : trainers) {
        results.add(trainer.result(origin));
      }
      return results;
    } catch (RuntimeException | Error e) {
      results.forEach(result -> result.sae().close());
      throw e;
    } finally {
      trainers.forEach(SaeTrainer::close);
    }
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
    weights.decoderBias.put(0, stream.median(), 0, width);
    if (weights.threshold != null) {
      float[] thresholds = new float[config.features()];
      Arrays.fill(thresholds, firstThreshold());
      weights.threshold.put(0, thresholds, 0, thresholds.length);
    }
  }

  /** The logarithm at which a JumpReLU's thresholds start: of the bandwidth, as in the paper. */
  private float firstThreshold() {
    double bandwidth = ((SaeVariant.JumpRelu) config.variant()).bandwidth();
    return (float) Math.log(bandwidth * loss.scale);
  }

  /** A step on a standardised batch (batch, D). */
  private void step(int step, Buffer x) {
    Events.SaeStep event = Events.beginSaeStep();
    try {
      loss.run(x, config.batch(), dead, deadCount);
      update(step);
      loss.read();
    } catch (ArithmeticException e) {
      throw diverged(step, x, e.getMessage());
    }
    double whole = loss.main + loss.penalty + loss.aux;
    if (!Double.isFinite(whole + loss.clipScale)) {
      throw diverged(step, x, "the loss is " + whole);
    }
    Events.end(event, step, config.batch(), config.variant().label());
    if (step > config.steps() - tailSteps()) {
      tail += loss.main;
    }
    listener.onStep(step, config.steps(), loss.main, loss.aux, deadCount);
    age();
    if (resamples(step)) {
      resample(step, x);
    }
  }

  /** Whether dead features are drawn anew after a step: at even distances over the first half. */
  private boolean resamples(int step) {
    int distance = config.steps() / 2 / Math.max(1, config.resamples());
    return config.resamples() > 0
        && distance > 0
        && step % distance == 0
        && step / distance <= config.resamples();
  }

  /** Draws the dead features anew from the last batch. */
  private void resample(int step, Buffer x) {
    if (deadCount == 0) {
      return;
    }
    int rows = config.batch();
    float[] states = x.floats();
    double[] upTo = new double[rows + 1];
    for (int r = 0; r < rows; r++) {
      double square = loss.squaredError(r);
      upTo[r + 1] = upTo[r] + square * square;
    }
    float[] centre = weights.decoderBias.floats();
    float norm = RESAMPLED_NORM * meanAliveNorm();
    float[] row = new float[width];
    float[] zeros = new float[width];
    for (int i = 0; i < deadCount; i++) {
      int f = dead[i];
      double at = upTo[rows] * Philox.uniform(config.seed(), RESAMPLE, step, f);
      int found = Arrays.binarySearch(upTo, at);
      int r = Math.min(found < 0 ? -found - 2 : found, rows - 1);
      double length = Math.sqrt(squaredNorm(states, r * width, centre));
      if (length == 0) {
        continue;
      }
      for (int d = 0; d < width; d++) {
        row[d] = (float) ((states[r * width + d] - centre[d]) / length);
      }
      long place = (long) f * width;
      weights.decoder.put(place, row, 0, width);
      for (int d = 0; d < width; d++) {
        row[d] *= norm;
      }
      weights.encoder.put(place, row, 0, width);
      for (SaeWeights moments : new SaeWeights[] {first, second}) {
        moments.encoder.put(place, zeros, 0, width);
        moments.decoder.put(place, zeros, 0, width);
      }
      reset(f);
      idle[f] = 0;
    }
    deadCount = 0;
  }

  /** Sets the numbers of a feature to what they were at the start, their moments to 0. */
  private void reset(int feature) {
    float[] value = {0};
    for (SaeWeights part : new SaeWeights[] {weights, first, second}) {
      part.encoderBias.put(feature, value, 0, 1);
      if (part.magnitudeScale != null) {
        part.magnitudeScale.put(feature, value, 0, 1);
        part.magnitudeBias.put(feature, value, 0, 1);
      }
      if (part.threshold != null) {
        part.threshold.put(feature, part == weights ? new float[] {firstThreshold()} : value, 0, 1);
      }
    }
  }

  /** The mean norm of the encoder rows of features that are not dead. */
  private float meanAliveNorm() {
    float[] encoder = weights.encoder.floats();
    double sum = 0;
    int next = 0;
    for (int f = 0; f < config.features(); f++) {
      if (next < deadCount && dead[next] == f) {
        next++;
      } else {
        sum += Math.sqrt(squaredNorm(encoder, f * width, null));
      }
    }
    return (float) (sum / Math.max(1, config.features() - deadCount));
  }

  /** Of {@code width} values from a place on, less a centre if there is one. */
  private double squaredNorm(float[] values, int from, float[] centre) {
    double squares = 0;
    for (int d = 0; d < width; d++) {
      double value = values[from + d] - (centre == null ? 0 : centre[d]);
      squares += value * value;
    }
    return squares;
  }

  private int tailSteps() {
    return Math.max(1, config.steps() / 10);
  }

  private SaeResult result(Map<String, Object> origin) {
    return new SaeResult(
        fold(origin),
        tail / tailSteps(),
        deadCount,
        stream.rows(),
        stream.mean(),
        stream.deviation());
  }

  /**
   * A step of the optimizer; nobody waits for the norm by which the gradient is clipped. Where that
   * is not finite the weights stay as they are.
   */
  private void update(int step) {
    int features = config.features();
    Optimizer optimizer = kernels.optimizer();
    optimizer.clip(
        gradients.rest.count(),
        gradients.rest,
        features,
        width,
        weights.decoder,
        gradients.decoder,
        config.clipNorm(),
        loss.clip);
    optimizer.adam(
        weights.rest.count(),
        weights.rest,
        gradients.rest,
        first.rest,
        second.rest,
        loss.clip,
        config.learningRate(step),
        BETA1,
        BETA2,
        EPSILON,
        0,
        step);
    optimizer.adamUnitRows(
        features,
        width,
        weights.decoder,
        gradients.decoder,
        first.decoder,
        second.decoder,
        loss.clip,
        config.learningRate(step),
        BETA1,
        BETA2,
        EPSILON,
        step);
  }

  /** Finds the dead features, after a step. */
  private void age() {
    double gap = config.deadGaps() * (double) config.features() / expectedL0();
    double limit = Math.max(gap, config.deadEpochs() * (double) stream.rows());
    deadCount = 0;
    for (int f = 0; f < idle.length; f++) {
      idle[f] = loss.fired[f] > 0 ? 0 : idle[f] + config.batch();
      if (idle[f] >= limit) {
        dead[deadCount++] = f;
      }
    }
  }

  private double expectedL0() {
    return config.kept() > 0
        ? config.kept()
        : Math.max(1, Arrays.stream(loss.fired).sum() / (double) config.batch());
  }

  private TrainingDivergedException diverged(int step, Buffer x, String what) {
    Map<String, Buffer> tensors = new LinkedHashMap<>();
    tensors.put("x", x);
    tensors.put("W_enc", weights.encoder);
    tensors.put("b_enc", weights.encoderBias);
    tensors.put("W_dec", weights.decoder);
    tensors.put("b_dec", weights.decoderBias);
    if (weights.threshold != null) {
      tensors.put("the logarithms of thresholds", weights.threshold);
    }
    if (weights.magnitudeScale != null) {
      tensors.put("r_mag", weights.magnitudeScale);
      tensors.put("b_mag", weights.magnitudeBias);
    }
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
        "SAE training (F = "
            + config.features()
            + ", "
            + config.variant()
            + "): step "
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
    metadata.put("positions", stream.rows());
    metadata.put("mean", stream.mean());
    metadata.put("deviation", stream.deviation());
    describe(config.variant(), metadata);
    metadata.put("aux_kept", config.auxKept());
    metadata.put("aux_weight", config.auxWeight());
    metadata.put("resamples", config.resamples());
    metadata.put("dead_epochs", config.deadEpochs());
    metadata.put("learning_rate", config.learningRate());
    metadata.put("warm_up_steps", config.warmUpSteps());
    metadata.put("decay_share", config.decayShare());
    metadata.put("clip_norm", config.clipNorm());
    metadata.put("batch", config.batch());
    metadata.put("steps", config.steps());
    metadata.put("seed", config.seed());
    SaeArchitecture architecture = config.variant().architecture();
    int features = config.features();
    SparseAutoencoder sae =
        architecture == SaeArchitecture.TOP_K
            ? new SparseAutoencoder(
                kernels, config.site(), features, width, config.kept(), metadata)
            : new SparseAutoencoder(
                kernels, config.site(), features, width, architecture, metadata);
    fold(kernels, weights, loss.batchThreshold(), stream.mean(), stream.deviation(), sae);
    return sae;
  }

  /** What files say of a variant. */
  private static void describe(SaeVariant variant, Map<String, Object> metadata) {
    if (!metadata.containsKey("variant")) {
      metadata.put("variant", variant.label());
    }
    switch (variant) {
      case SaeVariant.TopK topK -> metadata.put("kept", topK.kept());
      case SaeVariant.BatchTopK batchTopK -> metadata.put("kept", batchTopK.kept());
      case SaeVariant.Matryoshka matryoshka -> {
        metadata.put("selection", matryoshka.selection().label());
        metadata.put("prefixes", matryoshka.prefixes());
        describe(matryoshka.selection(), metadata);
      }
      case SaeVariant.JumpRelu jumpRelu -> {
        metadata.put("l0", jumpRelu.l0());
        metadata.put("bandwidth", jumpRelu.bandwidth());
      }
      case SaeVariant.Gated gated -> metadata.put("l1", gated.l1());
      case SaeVariant.ReluL1 relu -> {
        metadata.put("l1", relu.l1());
        metadata.put("squared_error", relu.squared());
      }
    }
  }

  /**
   * Sets an autoencoder on raw hidden states to what given weights do on standardised ones.
   *
   * @param batchThreshold the one threshold of a BatchTopK; not read of others
   */
  static void fold(
      Kernels kernels,
      SaeWeights weights,
      double batchThreshold,
      double mean,
      double deviation,
      SparseAutoencoder sae) {
    sae.encoderWeights().copyFrom(weights.encoder);
    sae.decoderWeights().copyFrom(weights.decoder);
    affine(weights.encoderBias, deviation, 0, sae.encoderBias());
    affine(weights.decoderBias, deviation, mean, sae.decoderBias());
    switch (sae.architecture()) {
      case JUMP_RELU -> {
        float[] thresholds = new float[sae.features()];
        Arrays.fill(thresholds, (float) (deviation * batchThreshold));
        if (weights.threshold != null) {
          weights.threshold.get(0, thresholds, 0, thresholds.length);
          for (int f = 0; f < thresholds.length; f++) {
            thresholds[f] = (float) (deviation * Math.exp(thresholds[f]));
          }
        }
        sae.threshold().put(0, thresholds, 0, thresholds.length);
      }
      case GATED -> {
        sae.magnitudeScale().copyFrom(weights.magnitudeScale);
        affine(weights.magnitudeBias, deviation, 0, sae.magnitudeBias());
      }
      case TOP_K, STANDARD -> {}
    }
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
    norm.close();
  }
}
