package dev.rhumb.model;

import java.util.Locale;

/**
 * What a transformer is trained to make small, at every position of every history: a loss of the
 * scores s_c = h . w_c of the items c, averaged over positions. t is the item that followed.
 *
 * <p>Draws of negatives depend on the seed, the step and the row alone, never on threads.
 */
public sealed interface Objective {

  /** What a loss is called in settings and in refusals. */
  String describe();

  /**
   * Full softmax cross-entropy: log sum_c e^(s_c) - s_t over the whole catalogue (Klenitskiy,
   * Vasilev, "Turning Dross Into Gold Loss", RecSys 2023). The padding row is among the classes, as
   * there.
   */
  record CrossEntropy() implements Objective {
    @Override
    public String describe() {
      return "full cross-entropy";
    }
  }

  /**
   * Sampled softmax with the logQ correction: cross-entropy of t against one set of negatives for
   * the whole batch, each score less the logarithm of the probability q of a draw (Bengio, Senecal
   * 2008; Yi et al., RecSys 2019): s_c - log q_c for t too. A negative that is a row's own t does
   * not count there; repeated draws count as often as drawn; items of a user's history may be
   * drawn.
   *
   * @param negatives draws with repeats for a batch, from 1 to 2^20
   * @param proposal where they are drawn from
   */
  record SampledSoftmax(int negatives, Proposal proposal) implements Objective {
    /** Refuses impossible settings, naming the value and its bounds. */
    public SampledSoftmax {
      requireNegatives(negatives);
      if (proposal == null) {
        throw new IllegalArgumentException("sampled softmax: a proposal is needed");
      }
    }

    @Override
    public String describe() {
      return "sampled softmax, " + negatives + " negatives, " + proposal.describe();
    }
  }

  /**
   * Binary cross-entropy of t against negatives of each position's own, uniform over the catalogue:
   * -(beta log sigmoid(s_t) + sum log(1 - sigmoid(s_j))) / (1 + negatives).
   *
   * <p>With calibration 0, beta is 1: BCE as in SASRec (Kang, McAuley, ICDM 2018; one negative,
   * none of the user's own items). Else gBCE as in gSASRec (Petrov, Macdonald, RecSys 2023;
   * negatives may be of the user's own items): beta = alpha (t (1 - 1 / alpha) + 1 / alpha) with
   * alpha = negatives / (V - 1) and t the calibration, 1 for probabilities that are calibrated.
   *
   * @param negatives for each position, with repeats, from 1 to 2^20; at most V - 1 where the
   *     calibration is above 0
   * @param calibration t, from 0 to 1
   * @param ownItems whether items of the user's own window (its newest T + 1) may be drawn; the
   *     position's own target never is
   */
  record BinaryCrossEntropy(int negatives, double calibration, boolean ownItems)
      implements Objective {
    /** Refuses impossible settings, naming the value and its bounds. */
    public BinaryCrossEntropy {
      requireNegatives(negatives);
      if (!(calibration >= 0 && calibration <= 1)) {
        throw new IllegalArgumentException(
            "binary cross-entropy: calibration t = " + calibration + " must be from 0 to 1");
      }
    }

    /** BCE as in SASRec. */
    public static BinaryCrossEntropy bce(int negatives) {
      return new BinaryCrossEntropy(negatives, 0, false);
    }

    /** GBCE as in gSASRec, whose own settings are 256 negatives and t = 0.75. */
    public static BinaryCrossEntropy gbce(int negatives, double calibration) {
      return new BinaryCrossEntropy(negatives, calibration, true);
    }

    /**
     * The weight of the positive part.
     *
     * @param items V
     * @throws IllegalArgumentException when there are more negatives than other items and the
     *     calibration is above 0
     */
    public double beta(int items) {
      if (calibration == 0) {
        return 1;
      }
      if (negatives > items - 1) {
        throw new IllegalArgumentException(
            "gBCE: "
                + negatives
                + " negatives must be at most "
                + (items - 1)
                + ", the items beside the positive one");
      }
      double alpha = negatives / (items - 1.0);
      return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha);
    }

    @Override
    public String describe() {
      return String.format(
          Locale.ROOT,
          "%s, %d negatives%s%s",
          calibration == 0 ? "binary cross-entropy" : "gBCE",
          negatives,
          calibration == 0 ? "" : ", t " + calibration,
          ownItems ? "" : ", none of the user's own items");
    }
  }

  /** Where the negatives of a batch come from. */
  sealed interface Proposal {
    /** What it is called in settings. */
    String describe();

    /** Every item alike. */
    record Uniform() implements Proposal {
      @Override
      public String describe() {
        return "uniform";
      }
    }

    /**
     * An item by how often it is a target in training, to a power.
     *
     * @param power from 0 (uniform over what is a target at all) to 1 (by count); word2vec has 0.75
     */
    record Popularity(double power) implements Proposal {
      /** Refuses a power out of bounds. */
      public Popularity {
        if (!(power >= 0 && power <= 1)) {
          throw new IllegalArgumentException(
              "sampled softmax: popularity power " + power + " must be from 0 to 1");
        }
      }

      @Override
      public String describe() {
        return "popularity to the power " + power;
      }
    }

    /**
     * The targets of rows of the batch itself, drawn uniformly; q is an item's share of the
     * training targets, which a batch has on average.
     */
    record InBatch() implements Proposal {
      @Override
      public String describe() {
        return "in-batch";
      }
    }
  }

  private static void requireNegatives(int negatives) {
    if (negatives < 1 || negatives > 1 << 20) {
      throw new IllegalArgumentException(
          "loss: negatives " + negatives + " must be from 1 to " + (1 << 20));
    }
  }
}
