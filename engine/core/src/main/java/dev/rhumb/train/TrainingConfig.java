package dev.rhumb.train;

import dev.rhumb.model.Objective;

/**
 * How a transformer is trained: Adam on a loss at every position.
 *
 * @param seed of the initial weights, the order of users, the dropout masks and the negatives
 * @param batch users in a step
 * @param learningRate constant over the run
 * @param weightDecay decoupled, 0 for none
 * @param clipNorm gradients of a larger Euclidean norm are scaled down to it; 0 for no limit
 * @param maxEpochs passes over the users at most
 * @param patience epochs without a better validation NDCG@10 after which training stops
 * @param objective the loss
 */
public record TrainingConfig(
    long seed,
    int batch,
    float learningRate,
    float weightDecay,
    float clipNorm,
    int maxEpochs,
    int patience,
    Objective objective) {

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
  }

  /** The full softmax cross-entropy. */
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
        new Objective.CrossEntropy());
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
    return new TrainingConfig(
        seed, batch, learningRate, weightDecay, clipNorm, maxEpochs, patience, objective);
  }

  private static void require(boolean holds, String name, Object value, String bounds) {
    if (!holds) {
      throw new IllegalArgumentException("training: " + name + " " + value + " must be " + bounds);
    }
  }
}
