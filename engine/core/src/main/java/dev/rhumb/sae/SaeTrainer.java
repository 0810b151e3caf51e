package dev.rhumb.sae;

import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.Model;
import dev.rhumb.train.TrainingDivergedException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;

/**
 * Trains a TopK autoencoder on the hidden states of sequences, or several at once on one stream of
 * them: the model runs once for all, and each gets the bits that it would get alone.
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
    return train(kernels, model, data, List.of(config), i -> listener).getFirst();
  }

  /**
   * Trains several autoencoders on one stream of hidden states.
   *
   * @param data whose hidden states they learn from: the newest T positions of each sequence
   * @param configs one for each, of the same site, batch, seed and buffer: these make the stream
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
          || other.bufferBytes() != first.bufferBytes()) {
        throw new IllegalArgumentException(
            "SAE: autoencoders that learn from one stream need the same site, batch, seed and"
                + " buffer bytes, not "
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
        SaeStream stream = new SaeStream(kernels, source, common.site(), width, common.batch())) {
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
  }

  /** A step on a standardised batch (batch, D). */
  private void step(int step, Buffer x) {
    try {
      loss.run(x, config.batch(), dead, deadCount);
    } catch (ArithmeticException e) {
      throw diverged(step, x, e.getMessage());
    }
    update(step, x);
    if (step > config.steps() - tailSteps()) {
      tail += loss.main;
    }
    listener.onStep(step, config.steps(), loss.main, loss.aux, deadCount);
    age();
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

  private void update(int step, Buffer x) {
    int features = config.features();
    kernels.sae().projectRows(features, width, weights.decoder, gradients.decoder);
    double length = Math.sqrt(squares(gradients.flat));
    if (!Double.isFinite(loss.main + loss.aux + length)) {
      throw diverged(step, x, "the loss is " + (loss.main + loss.aux));
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
    double limit = Math.max(gap, stream.rows());
    deadCount = 0;
    for (int f = 0; f < idle.length; f++) {
      idle[f] = loss.fired[f] > 0 ? 0 : idle[f] + config.batch();
      if (idle[f] >= limit) {
        dead[deadCount++] = f;
      }
    }
  }

  private TrainingDivergedException diverged(int step, Buffer x, String what) {
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
        "SAE training (F = "
            + config.features()
            + ", K = "
            + config.kept()
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
    fold(kernels, weights, stream.mean(), stream.deviation(), sae);
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
    norm.close();
  }
}
