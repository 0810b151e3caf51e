package dev.rhumb.app.study;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.data.Cases;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.kernels.Philox;
import java.util.stream.IntStream;

/** The ways to divide data that the command line offers. */
public enum SplitKind {
  /** The last item of each user is tested, the one before it validates. */
  LEAVE_ONE_OUT("leave-one-out"),
  /** The newest tenth of users are tested; of the others 60 % train the transformer. */
  COLD_USERS("cold-users");

  private static final double HELD_OUT_SHARE = .2;
  // Fixed, so that what is held out does not depend on the run.
  private static final long SEED = 1;
  private static final long HELD_OUT = 0x48454C44;

  private final String label;

  SplitKind(String label) {
    this.label = label;
  }

  /** The split of that name. */
  public static SplitKind of(String label) {
    for (SplitKind kind : values()) {
      if (kind.label.equals(label)) {
        return kind;
      }
    }
    throw new Refusal(
        "split '" + label + "'", "is unknown", "there are leave-one-out and cold-users");
  }

  /** Divides a dataset. */
  public Split of(Dataset dataset) {
    return Splits.named(label, dataset);
  }

  @Override
  public String toString() {
    return label;
  }

  /**
   * What an autoencoder learns from and what it is judged on, of different users. Cold users are
   * such already; where every user is trained on, a fifth of them, drawn at random, are held out
   * from the autoencoder.
   */
  public static SaeParts saeParts(Split split) {
    Cases test = split.test();
    if (split.name().equals(COLD_USERS.label)) {
      return new SaeParts(split.sae(), test.histories());
    }
    return new SaeParts(select(split.sae(), false), select(test.histories(), true));
  }

  /**
   * Sequences of different users.
   *
   * @param learn what the autoencoder learns from
   * @param heldOut what it is measured and explained on
   */
  public record SaeParts(Sequences learn, Sequences heldOut) {}

  private static Sequences select(Sequences all, boolean heldOut) {
    return all.select(
        IntStream.range(0, all.count())
            .filter(i -> Philox.uniform(SEED, HELD_OUT, all.user(i), 0) < HELD_OUT_SHARE == heldOut)
            .toArray());
  }
}
