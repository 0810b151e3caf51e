package dev.rhumb.sae;

import dev.rhumb.model.Site;

/**
 * How a sparse autoencoder is trained.
 *
 * @param site where in the transformer it sits
 * @param features F
 * @param variant how it learns to be sparse
 * @param standardised whether hidden states are standardised by one mean and one deviation; the
 *     trained autoencoder works on raw ones either way
 * @param auxKept how many dead features the auxiliary loss lets speak for a row, usually D / 2; 0
 *     leaves it out
 * @param resamples how often dead features are drawn anew, at even distances over the first half of
 *     the steps
 * @param learningRate of Adam, after the warm-up
 * @param warmUpSteps steps over which the learning rate rises linearly
 * @param batch rows of hidden state per step
 * @param steps number of steps
 * @param seed of all randomness
 * @param auxWeight weight of the auxiliary loss
 * @param clipNorm the gradient is scaled down to this norm
 * @param decayShare share of the steps, the last ones, over which the learning rate falls linearly
 *     to 0
 * @param deadGaps a feature is dead when it has not fired for so many times F / L0 positions, and
 *     for {@code deadEpochs}
 * @param deadEpochs how many epochs that is at least; below 1, features that fire once in a while
 *     are revived too
 * @param bufferBytes memory for hidden states: where they do not all fit, they are shuffled within
 *     it
 */
public record SaeConfig(
    Site site,
    int features,
    SaeVariant variant,
    boolean standardised,
    int auxKept,
    int resamples,
    float learningRate,
    int warmUpSteps,
    int batch,
    int steps,
    long seed,
    float auxWeight,
    float clipNorm,
    float decayShare,
    int deadGaps,
    float deadEpochs,
    long bufferBytes) {

  /** Refuses impossible settings, naming the value and its bounds. */
  public SaeConfig {
    if (site == null) {
      throw new IllegalArgumentException("SAE: a site is needed, such as 'block 0'");
    }
    bounds("features F", features, 1, 1 << 24);
    if (variant == null) {
      throw new IllegalArgumentException("SAE: a variant is needed, such as TopK");
    }
    variant.requireFits(features);
    bounds("features kept by the auxiliary loss", auxKept, 0, 1 << 16);
    bounds("batch", batch, 1, 1 << 22);
    bounds("steps", steps, 1, Integer.MAX_VALUE);
    bounds("resamples", resamples, 0, steps);
    bounds("warm-up steps", warmUpSteps, 0, steps);
    bounds("dead gaps", deadGaps, 1, Integer.MAX_VALUE);
    bounds("buffer bytes", bufferBytes, 1, Long.MAX_VALUE);
    positive("learning rate", learningRate);
    positive("clip norm", clipNorm);
    weight("auxiliary weight", auxWeight);
    weight("number of epochs after which a feature is dead,", deadEpochs);
    if (!(decayShare >= 0 && decayShare <= 1)) {
      throw new IllegalArgumentException(
          "SAE: the decay share " + decayShare + " must be from 0 to 1");
    }
  }

  /** {@link #of(Site, int, int, SaeVariant)} for a TopK of K = {@code kept}. */
  public static SaeConfig of(Site site, int width, int features, int kept) {
    return of(site, width, features, new SaeVariant.TopK(kept));
  }

  /**
   * The usual settings: learning rate 3e-3, 5,000 steps of 1,024 rows, a warm-up of a tenth of the
   * steps and a decay over the last fifth. The rule 2e-4 / sqrt(F / 2^14) of language models is for
   * many more rows than an interaction log has; at it, a dictionary here stops half-learnt. Where K
   * features are kept, the auxiliary loss revives those that have not fired for a tenth of an
   * epoch, by a weight of 1/8: at the usual 1/32 and a whole epoch, features that fire once in a
   * while never come back, up to 8 % of 2,048 at D 64. Elsewhere dead features are drawn anew four
   * times.
   *
   * @param width D of the model, for the auxiliary loss
   */
  public static SaeConfig of(Site site, int width, int features, SaeVariant variant) {
    boolean counted = variant.kept() > 0;
    return new SaeConfig(
        site,
        features,
        variant,
        true,
        counted ? Math.max(1, width / 2) : 0,
        counted ? 0 : 4,
        3e-3f,
        500,
        1024,
        5000,
        1,
        1f / 8,
        1,
        0.2f,
        100,
        counted ? 0.1f : 1,
        1L << 30);
  }

  /** K, where K features of a row are kept, on average at least; else 0. */
  public int kept() {
    return variant.kept();
  }

  /** The same with another length: so many steps, a tenth of them warm-up. */
  public SaeConfig withSteps(int steps) {
    Draft draft = new Draft(this);
    draft.steps = steps;
    draft.warmUpSteps = steps / 10;
    return draft.config();
  }

  /** The same with another batch. */
  public SaeConfig withBatch(int batch) {
    Draft draft = new Draft(this);
    draft.batch = batch;
    return draft.config();
  }

  /** The same with another learning rate. */
  public SaeConfig withLearningRate(float learningRate) {
    Draft draft = new Draft(this);
    draft.learningRate = learningRate;
    return draft.config();
  }

  /**
   * The same with another warm-up; {@link #withSteps} sets it anew.
   *
   * @param steps over which the learning rate rises, from 0, for none, to all steps
   */
  public SaeConfig withWarmUp(int steps) {
    Draft draft = new Draft(this);
    draft.warmUpSteps = steps;
    return draft.config();
  }

  /** The same with another seed. */
  public SaeConfig withSeed(long seed) {
    Draft draft = new Draft(this);
    draft.seed = seed;
    return draft.config();
  }

  /** The same with another bound on the memory for hidden states. */
  public SaeConfig withBufferBytes(long bufferBytes) {
    Draft draft = new Draft(this);
    draft.bufferBytes = bufferBytes;
    return draft.config();
  }

  /** The same on hidden states that are standardised, or as they are. */
  public SaeConfig withStandardised(boolean standardised) {
    Draft draft = new Draft(this);
    draft.standardised = standardised;
    return draft.config();
  }

  /** The same with dead features drawn anew so often. */
  public SaeConfig withResamples(int resamples) {
    Draft draft = new Draft(this);
    draft.resamples = resamples;
    return draft.config();
  }

  /** The same with an auxiliary loss of so many dead features; 0 for none. */
  public SaeConfig withAuxKept(int auxKept) {
    Draft draft = new Draft(this);
    draft.auxKept = auxKept;
    return draft.config();
  }

  /** The same with features dead after so many epochs without firing. */
  public SaeConfig withDeadEpochs(float deadEpochs) {
    Draft draft = new Draft(this);
    draft.deadEpochs = deadEpochs;
    return draft.config();
  }

  /** The learning rate of a step, from 1. */
  float learningRate(int step) {
    double warm = warmUpSteps == 0 ? 1 : Math.min(1, step / (double) warmUpSteps);
    double decay = (double) decayShare * steps;
    double left = decay == 0 ? 1 : Math.min(1, (steps - step + 1) / decay);
    return (float) (learningRate * warm * left);
  }

  static void bounds(String name, long value, long least, long most) {
    if (value < least || value > most) {
      throw new IllegalArgumentException(
          "SAE: " + name + " = " + value + " must be from " + least + " to " + most);
    }
  }

  static void positive(String name, float value) {
    if (!(value > 0 && value < Float.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "SAE: the " + name + " " + value + " must be a number above 0");
    }
  }

  static void weight(String name, float value) {
    if (!(value >= 0 && value < Float.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "SAE: the " + name + " " + value + " must be a number from 0 up");
    }
  }

  /** A configuration in the making. */
  private static final class Draft {
    private final SaeConfig from;
    private boolean standardised;
    private int auxKept;
    private int resamples;
    private float learningRate;
    private int warmUpSteps;
    private int batch;
    private int steps;
    private long seed;
    private float deadEpochs;
    private long bufferBytes;

    Draft(SaeConfig from) {
      this.from = from;
      standardised = from.standardised;
      auxKept = from.auxKept;
      resamples = from.resamples;
      learningRate = from.learningRate;
      warmUpSteps = from.warmUpSteps;
      batch = from.batch;
      steps = from.steps;
      seed = from.seed;
      deadEpochs = from.deadEpochs;
      bufferBytes = from.bufferBytes;
    }

    SaeConfig config() {
      return new SaeConfig(
          from.site,
          from.features,
          from.variant,
          standardised,
          auxKept,
          resamples,
          learningRate,
          warmUpSteps,
          batch,
          steps,
          seed,
          from.auxWeight,
          from.clipNorm,
          from.decayShare,
          from.deadGaps,
          deadEpochs,
          bufferBytes);
    }
  }
}
