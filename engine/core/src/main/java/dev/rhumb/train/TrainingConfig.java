package dev.rhumb.train;

import dev.rhumb.kernels.DType;
import dev.rhumb.model.Objective;

/**
 * How a transformer is trained: AdamW on a loss at every position.
 *
 * @param seed of the initial weights, the order of users, the dropout masks and the negatives
 * @param batch users in a step
 * @param learningRate at its full height
 * @param weightDecay decoupled, on matrices (linear weights and embeddings), not on biases and
 *     norms; 0 for none
 * @param clipNorm gradients of a larger Euclidean norm are scaled down to it; 0 for no limit
 * @param maxEpochs passes over the users at most
 * @param patience validations without a better one after which training stops
 * @param objective the loss
 * @param schedule how the learning rate goes
 * @param averageDecay d of an exponential moving average of the weights, which is then what is
 *     validated and saved: after step s, average = d' average + (1 - d') weights with d' = min(d,
 *     (1 + s) / (10 + s)); 0 for none
 * @param validation when and by what
 * @param weights how the best weights are stored: F32, or BF16, rounded when written; training goes
 *     on with float32
 * @param beta2 Adam's decay of squared gradients: how long it remembers large ones
 */
public record TrainingConfig(
    long seed,
    int batch,
    float learningRate,
    float weightDecay,
    float clipNorm,
    int maxEpochs,
    int patience,
    Objective objective,
    Schedule schedule,
    float averageDecay,
    Validation validation,
    DType weights,
    float beta2) {

  /** Adam's beta2 of {@link #standard}. */
  public static final float BETA2 = 0.999f;

  /** Refuses impossible settings, naming the value and its bounds. */
  public TrainingConfig {
    require(batch >= 1 && batch <= 1 << 20, "batch", batch, "from 1 to 1048576");
    require(
        learningRate > 0 && learningRate <= Float.MAX_VALUE,
        "learning rate",
        learningRate,
        "above 0");
    require(
        weightDecay >= 0 && weightDecay <= Float.MAX_VALUE,
        "weight decay",
        weightDecay,
        "0 or more");
    require(clipNorm >= 0 && clipNorm <= Float.MAX_VALUE, "clip norm", clipNorm, "0 or more");
    require(maxEpochs >= 1, "max epochs", maxEpochs, "1 or more");
    require(patience >= 1, "patience", patience, "1 or more");
    require(objective != null, "objective", null, "given");
    require(schedule != null, "schedule", null, "given");
    require(
        averageDecay >= 0 && averageDecay < 1,
        "decay of the weights' average",
        averageDecay,
        "from 0 to below 1");
    require(validation != null, "validation", null, "given");
    require(
        weights == DType.F32 || weights == DType.BF16, "stored weights", weights, "F32 or BF16");
    require(beta2 >= 0 && beta2 < 1, "beta2", beta2, "from 0 to below 1");
  }

  /** With Adam's usual beta2, {@link #BETA2}. */
  public TrainingConfig(
      long seed,
      int batch,
      float learningRate,
      float weightDecay,
      float clipNorm,
      int maxEpochs,
      int patience,
      Objective objective,
      Schedule schedule,
      float averageDecay,
      Validation validation,
      DType weights) {
    this(
        seed,
        batch,
        learningRate,
        weightDecay,
        clipNorm,
        maxEpochs,
        patience,
        objective,
        schedule,
        averageDecay,
        validation,
        weights,
        BETA2);
  }

  /** The full softmax cross-entropy, a constant learning rate, validation after every epoch. */
  public TrainingConfig(
      long seed,
      int batch,
      float learningRate,
      float weightDecay,
      float clipNorm,
      int maxEpochs,
      int patience) {
    this(
        seed,
        batch,
        learningRate,
        weightDecay,
        clipNorm,
        maxEpochs,
        patience,
        new Objective.CrossEntropy(),
        Schedule.CONSTANT,
        0,
        Validation.EVERY_EPOCH,
        DType.F32);
  }

  /**
   * The recipe of "Turning Dross Into Gold Loss": batch 128, Adam 1e-3, at most 100 epochs,
   * patience 10.
   */
  public static TrainingConfig standard(long seed) {
    return new TrainingConfig(seed, 128, 1e-3f, 0, 0, 100, 10);
  }

  /** The same with another loss. */
  public TrainingConfig withObjective(Objective objective) {
    return with(objective, schedule, averageDecay, validation, weights, beta2);
  }

  /** The same with another course of the learning rate. */
  public TrainingConfig withSchedule(Schedule schedule) {
    return with(objective, schedule, averageDecay, validation, weights, beta2);
  }

  /** The same with a moving average of the weights, or with 0 without. */
  public TrainingConfig withAverage(float decay) {
    return with(objective, schedule, decay, validation, weights, beta2);
  }

  /** The same with other validations. */
  public TrainingConfig withValidation(Validation validation) {
    return with(objective, schedule, averageDecay, validation, weights, beta2);
  }

  /** The same with the best weights stored as another type. */
  public TrainingConfig withWeights(DType weights) {
    return with(objective, schedule, averageDecay, validation, weights, beta2);
  }

  /**
   * The same with another decay of squared gradients. gBCE with many negatives needs a short
   * memory, such as 0.98: its gradients fall by orders of magnitude in the first epochs.
   */
  public TrainingConfig withBeta2(float beta2) {
    return with(objective, schedule, averageDecay, validation, weights, beta2);
  }

  private TrainingConfig with(
      Objective objective,
      Schedule schedule,
      float averageDecay,
      Validation validation,
      DType weights,
      float beta2) {
    return new TrainingConfig(
        seed,
        batch,
        learningRate,
        weightDecay,
        clipNorm,
        maxEpochs,
        patience,
        objective,
        schedule,
        averageDecay,
        validation,
        weights,
        beta2);
  }

  private static void require(boolean holds, String name, Object value, String bounds) {
    if (!holds) {
      throw new IllegalArgumentException("training: " + name + " " + value + " must be " + bounds);
    }
  }
}
