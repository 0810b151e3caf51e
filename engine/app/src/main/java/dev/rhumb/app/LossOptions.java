package dev.rhumb.app;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.model.Objective;
import picocli.CommandLine.Option;

/** Which loss a transformer learns from. */
final class LossOptions {
  /** The choices of {@code --loss}. */
  enum Loss {
    CE,
    SAMPLED,
    BCE,
    GBCE
  }

  /** The choices of {@code --proposal}. */
  enum Proposals {
    UNIFORM,
    POPULARITY,
    IN_BATCH;

    @Override
    public String toString() {
      return name().toLowerCase(java.util.Locale.ROOT).replace('_', '-');
    }
  }

  @Option(
      names = "--loss",
      defaultValue = "ce",
      paramLabel = "LOSS",
      description = {
        "ce: softmax cross-entropy over all items; sampled: softmax against negatives that a batch"
            + " shares, corrected by log q; bce: binary cross-entropy, as in SASRec; gbce: the same"
            + " calibrated, as in gSASRec (default: ${DEFAULT-VALUE})."
      })
  private Loss loss;

  @Option(
      names = "--negatives",
      paramLabel = "N",
      description =
          "Negatives: of a batch with sampled (default: 1000), of each position with bce (1) and"
              + " gbce (256).")
  private Integer negatives;

  @Option(
      names = "--proposal",
      paramLabel = "NAME",
      description =
          "Where sampled draws its negatives from: uniform, popularity or in-batch (default:"
              + " uniform).")
  private Proposals proposal;

  @Option(
      names = "--popularity-power",
      paramLabel = "P",
      description = "Power of the counts in the proposal popularity, 0 to 1 (default: 1).")
  private Double power;

  @Option(
      names = "--gbce-t",
      paramLabel = "T",
      description =
          "Calibration t of gbce, from 0 (bce with its negatives) to 1 (calibrated); default: 0.75.")
  private Double calibration;

  /** The loss; refuses options that another loss would need. */
  Objective objective() {
    only(negatives, "--negatives", "sampled, bce or gbce", loss != Loss.CE);
    only(proposal, "--proposal", "sampled", loss == Loss.SAMPLED);
    only(power, "--popularity-power", "sampled", loss == Loss.SAMPLED);
    only(calibration, "--gbce-t", "gbce", loss == Loss.GBCE);
    if (power != null && proposal != Proposals.POPULARITY) {
      throw new Refusal("--popularity-power", "has no use", "add --proposal popularity");
    }
    if (negatives != null) {
      TrainingOptions.bounds(
          "--negatives", negatives, negatives >= 1 && negatives <= 1 << 20, "from 1 to 1048576");
    }
    if (power != null) {
      TrainingOptions.bounds("--popularity-power", power, power >= 0 && power <= 1, "from 0 to 1");
    }
    if (calibration != null) {
      TrainingOptions.bounds(
          "--gbce-t", calibration, calibration >= 0 && calibration <= 1, "from 0 to 1");
    }
    return switch (loss) {
      case CE -> new Objective.CrossEntropy();
      case SAMPLED -> new Objective.SampledSoftmax(negatives(1000), proposal());
      case BCE -> Objective.BinaryCrossEntropy.bce(negatives(1));
      case GBCE ->
          Objective.BinaryCrossEntropy.gbce(
              negatives(256), calibration == null ? .75 : calibration);
    };
  }

  /** Whether it is the calibrated loss, gBCE. */
  boolean calibrated() {
    return loss == Loss.GBCE;
  }

  private int negatives(int usual) {
    return negatives == null ? usual : negatives;
  }

  private Objective.Proposal proposal() {
    return switch (proposal) {
      case null -> new Objective.Proposal.Uniform();
      case UNIFORM -> new Objective.Proposal.Uniform();
      case POPULARITY -> new Objective.Proposal.Popularity(power == null ? 1 : power);
      case IN_BATCH -> new Objective.Proposal.InBatch();
    };
  }

  private void only(Object value, String option, String losses, boolean fits) {
    if (value != null && !fits) {
      throw new Refusal(
          option,
          "has no use with --loss " + loss.name().toLowerCase(java.util.Locale.ROOT),
          "leave it out, or choose --loss " + losses);
    }
  }
}
