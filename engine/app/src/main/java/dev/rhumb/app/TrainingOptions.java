package dev.rhumb.app;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.kernels.DType;
import dev.rhumb.train.Schedule;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.Validation;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How a transformer is trained. */
final class TrainingOptions {
  /** The choices of {@code --metric}. */
  enum Metric {
    NDCG,
    HR
  }

  /** The choices of {@code --weights}. */
  enum Weights {
    F32,
    BF16
  }

  @Mixin private LossOptions loss;

  @Option(
      names = "--batch",
      defaultValue = "128",
      description = "Users in a step (default: ${DEFAULT-VALUE}).")
  private int batch;

  @Option(
      names = "--lr",
      defaultValue = "0.001",
      description = "Learning rate of Adam (default: ${DEFAULT-VALUE}).")
  private float learningRate;

  @Option(
      names = "--schedule",
      defaultValue = "constant",
      description =
          "What the learning rate does: constant, or cosine down to 0 at the last of --epochs"
              + " (default: ${DEFAULT-VALUE}).")
  private Schedule.Decay decay;

  @Option(
      names = "--warm-up",
      paramLabel = "STEPS",
      defaultValue = "0",
      description =
          "Steps over which the learning rate rises at the start (default: ${DEFAULT-VALUE}).")
  private int warmUp;

  @Option(
      names = "--weight-decay",
      defaultValue = "0",
      description =
          "Decoupled decay of weights and embeddings, not of biases and norms (default:"
              + " ${DEFAULT-VALUE}).")
  private float weightDecay;

  @Option(
      names = "--clip",
      defaultValue = "0",
      description = "Largest norm of the gradient; 0 for no limit (default: ${DEFAULT-VALUE}).")
  private float clipNorm;

  @Option(
      names = "--beta2",
      paramLabel = "DECAY",
      description =
          "Adam's decay of squared gradients: a short memory helps where gradients fall fast"
              + " (default: 0.999; 0.98 with gbce).")
  private Float beta2;

  @Option(
      names = "--ema",
      paramLabel = "DECAY",
      defaultValue = "0",
      description =
          "Validate and save a moving average of the weights, such as 0.999; 0 for the weights"
              + " themselves (default: ${DEFAULT-VALUE}).")
  private float average;

  @Option(
      names = "--epochs",
      defaultValue = "100",
      description = "Most passes over the users (default: ${DEFAULT-VALUE}).")
  private int epochs;

  @Option(
      names = "--validate-every",
      paramLabel = "EPOCHS",
      description = "Epochs between validations (default: 1).")
  private Integer everyEpochs;

  @Option(
      names = "--validate-every-steps",
      paramLabel = "STEPS",
      description = "Steps between validations, instead of epochs.")
  private Integer everySteps;

  @Option(
      names = "--metric",
      defaultValue = "ndcg",
      description =
          "What the best weights are best at in validation: ndcg or hr, at 10 (default:"
              + " ${DEFAULT-VALUE}).")
  private Metric metric;

  @Option(
      names = "--patience",
      defaultValue = "10",
      description =
          "Validations without a better one before training stops (default: ${DEFAULT-VALUE}).")
  private int patience;

  @Option(
      names = "--weights",
      defaultValue = "f32",
      description =
          "How the model's weights are stored: f32, or bf16, half as large (default:"
              + " ${DEFAULT-VALUE}).")
  private Weights weights;

  @Option(names = "--seed", defaultValue = "1", description = "(default: ${DEFAULT-VALUE})")
  private long seed;

  /** The settings; refuses options that contradict each other. */
  TrainingConfig config() {
    if (everyEpochs != null && everySteps != null) {
      throw new Refusal(
          "--validate-every and --validate-every-steps",
          "are two answers to one question",
          "give one of them");
    }
    bounds("--lr", learningRate, learningRate > 0, "above 0");
    bounds("--weight-decay", weightDecay, weightDecay >= 0, "0 or more");
    bounds("--clip", clipNorm, clipNorm >= 0, "0 or more");
    if (beta2 == null) {
      beta2 = loss.calibrated() ? 0.98f : TrainingConfig.BETA2;
    }
    bounds("--beta2", beta2, beta2 >= 0 && beta2 < 1, "from 0 to below 1");
    bounds("--ema", average, average >= 0 && average < 1, "from 0 to below 1");
    bounds("--warm-up", warmUp, warmUp >= 0, "0 or more");
    Validation.Metric best =
        metric == Metric.NDCG ? Validation.Metric.NDCG : Validation.Metric.HIT_RATE;
    Validation validation =
        everySteps != null
            ? new Validation(everySteps, Validation.Unit.STEPS, best)
            : new Validation(everyEpochs == null ? 1 : everyEpochs, Validation.Unit.EPOCHS, best);
    return new TrainingConfig(
        seed,
        batch,
        learningRate,
        weightDecay,
        clipNorm,
        epochs,
        patience,
        loss.objective(),
        new Schedule(warmUp, decay),
        average,
        validation,
        weights == Weights.F32 ? DType.F32 : DType.BF16,
        beta2);
  }

  static void bounds(String option, Number value, boolean holds, String bounds) {
    if (!holds) {
      throw new Refusal(option, value + " is out of bounds", "give a number " + bounds);
    }
  }
}
