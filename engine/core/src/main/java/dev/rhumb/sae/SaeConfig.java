package dev.rhumb.sae;

import dev.rhumb.model.Site;

/**
 * How a TopK sparse autoencoder is trained.
 *
 * @param site where in the transformer it sits
 * @param features F
 * @param kept K, from 1 to F
 * @param auxKept how many dead features the auxiliary loss lets speak for a row, usually D / 2; 0
 *     leaves it out
 * @param learningRate of Adam, after the warm-up
 * @param warmUpSteps steps over which the learning rate rises linearly
 * @param batch rows of hidden state per step
 * @param steps number of steps
 * @param seed of all randomness
 * @param auxWeight weight of the auxiliary loss
 * @param clipNorm the gradient is scaled down to this norm
 * @param decayShare share of the steps, the last ones, over which the learning rate falls linearly
 *     to 0
 * @param deadGaps a feature is dead when it has not fired for so many times F / K positions, and at
 *     least for an epoch
 * @param bufferBytes memory for hidden states: where they do not all fit, they are shuffled within
 *     it
 */
public record SaeConfig(
    Site site,
    int features,
    int kept,
    int auxKept,
    float learningRate,
    int warmUpSteps,
    int batch,
    int steps,
    long seed,
    float auxWeight,
    float clipNorm,
    float decayShare,
    int deadGaps,
    long bufferBytes) {

  /** Refuses impossible settings, naming the value and its bounds. */
  public SaeConfig {
    if (site == null) {
      throw new IllegalArgumentException("SAE: a site is needed, such as 'block 0'");
    }
    bounds("features F", features, 1, 1 << 24);
    bounds("kept features K", kept, 1, features);
    bounds("features kept by the auxiliary loss", auxKept, 0, 1 << 16);
    bounds("batch", batch, 1, 1 << 22);
    bounds("steps", steps, 1, Integer.MAX_VALUE);
    bounds("warm-up steps", warmUpSteps, 0, steps);
    bounds("dead gaps", deadGaps, 1, Integer.MAX_VALUE);
    bounds("buffer bytes", bufferBytes, 1, Long.MAX_VALUE);
    positive("learning rate", learningRate);
    positive("clip norm", clipNorm);
    if (!(auxWeight >= 0 && auxWeight < Float.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "SAE: the auxiliary weight " + auxWeight + " must be a number from 0 up");
    }
    if (!(decayShare >= 0 && decayShare <= 1)) {
      throw new IllegalArgumentException(
          "SAE: the decay share " + decayShare + " must be from 0 to 1");
    }
  }

  /**
   * The usual settings: learning rate 3e-3, 5,000 steps of 1,024 rows, a warm-up of a tenth of the
   * steps and a decay over the last fifth. The rule 2e-4 / sqrt(F / 2^14) of language models is for
   * many more rows than an interaction log has; at it, a dictionary here stops half-learnt.
   *
   * @param width D of the model, for the auxiliary loss
   */
  public static SaeConfig of(Site site, int width, int features, int kept) {
    return new SaeConfig(
        site,
        features,
        kept,
        Math.max(1, width / 2),
        3e-3f,
        500,
        1024,
        5000,
        1,
        1f / 32,
        1,
        0.2f,
        100,
        1L << 30);
  }

  /** The same with another length: so many steps, a tenth of them warm-up. */
  public SaeConfig withSteps(int steps) {
    return new SaeConfig(
        site,
        features,
        kept,
        auxKept,
        learningRate,
        steps / 10,
        batch,
        steps,
        seed,
        auxWeight,
        clipNorm,
        decayShare,
        deadGaps,
        bufferBytes);
  }

  /** The same with another batch. */
  public SaeConfig withBatch(int batch) {
    return new SaeConfig(
        site,
        features,
        kept,
        auxKept,
        learningRate,
        warmUpSteps,
        batch,
        steps,
        seed,
        auxWeight,
        clipNorm,
        decayShare,
        deadGaps,
        bufferBytes);
  }

  /** The same with another learning rate. */
  public SaeConfig withLearningRate(float learningRate) {
    return new SaeConfig(
        site,
        features,
        kept,
        auxKept,
        learningRate,
        warmUpSteps,
        batch,
        steps,
        seed,
        auxWeight,
        clipNorm,
        decayShare,
        deadGaps,
        bufferBytes);
  }

  /** The same with another seed. */
  public SaeConfig withSeed(long seed) {
    return new SaeConfig(
        site,
        features,
        kept,
        auxKept,
        learningRate,
        warmUpSteps,
        batch,
        steps,
        seed,
        auxWeight,
        clipNorm,
        decayShare,
        deadGaps,
        bufferBytes);
  }

  /** The same with another bound on the memory for hidden states. */
  public SaeConfig withBufferBytes(long bufferBytes) {
    return new SaeConfig(
        site,
        features,
        kept,
        auxKept,
        learningRate,
        warmUpSteps,
        batch,
        steps,
        seed,
        auxWeight,
        clipNorm,
        decayShare,
        deadGaps,
        bufferBytes);
  }

  /** The learning rate of a step, from 1. */
  float learningRate(int step) {
    double warm = warmUpSteps == 0 ? 1 : Math.min(1, step / (double) warmUpSteps);
    double decay = (double) decayShare * steps;
    double left = decay == 0 ? 1 : Math.min(1, (steps - step + 1) / decay);
    return (float) (learningRate * warm * left);
  }

  private static void bounds(String name, long value, long least, long most) {
    if (value < least || value > most) {
      throw new IllegalArgumentException(
          "SAE: " + name + " = " + value + " must be from " + least + " to " + most);
    }
  }

  private static void positive(String name, float value) {
    if (!(value > 0 && value < Float.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "SAE: the " + name + " " + value + " must be a number above 0");
    }
  }
}
