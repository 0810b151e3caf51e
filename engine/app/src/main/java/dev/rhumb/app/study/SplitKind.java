package dev.rhumb.app.study;

import dev.rhumb.data.Cases;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.kernels.Philox;
import java.util.stream.IntStream;

/**
 * A way to divide data, by its name: {@link Splits} knows them.
 *
 * @param name as {@link Splits#usage} lists them
 */
public record SplitKind(String name) {
  /** The last item of each user is tested, the one before it validates. */
  public static final SplitKind LEAVE_ONE_OUT = of("leave-one-out");

  private static final double HELD_OUT_SHARE = .2;
  // Fixed, so that what is held out does not depend on the run.
  private static final long SEED = 1;
  private static final long HELD_OUT = 0x48454C44;

  /** The split of that name; refuses a name that there is not. */
  public static SplitKind of(String name) {
    Splits.kind(name);
    return new SplitKind(name);
  }

  @Override
  public String toString() {
    return name;
  }

  /** Divides a dataset. */
  public Split of(Dataset dataset) {
    return Splits.named(name, dataset);
  }

  /**
   * What an autoencoder learns from and what it is judged on, of different users. A split by user
   * has such already; where every user is trained on, a fifth of them, drawn at random, are held
   * out from the autoencoder.
   */
  public static SaeParts saeParts(Split split) {
    Cases test = split.test();
    if (Splits.isByUser(split.name())) {
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
