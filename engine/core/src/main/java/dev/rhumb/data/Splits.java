package dev.rhumb.data;

import dev.rhumb.kernels.Philox;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.function.IntUnaryOperator;
import java.util.stream.IntStream;

/** The ways to divide a dataset. */
public final class Splits {
  /** Philox stream of the draw that deals users to train or sae. */
  private static final long STREAM = 0x53504C4954L;

  private static final String LEAVE_ONE_OUT = "leave-one-out";
  private static final String COLD_USERS = "cold-users";

  /** The names that {@link #named} knows. */
  public static final List<String> NAMES = List.of(LEAVE_ONE_OUT, COLD_USERS);

  // Fixed, so that the name of a split says all that is needed to divide the data again.
  private static final double TEST_SHARE = .1;
  private static final double TRAIN_SHARE = .6;
  private static final long SEED = 1;

  private Splits() {}

  /**
   * The split of a name: {@code leave-one-out}, or {@code cold-users}, in which the newest tenth of
   * users are tested and 60 % of the others train the transformer.
   *
   * @throws IllegalArgumentException when there is none of that name
   */
  public static Split named(String name, Dataset d) {
    return switch (name) {
      case LEAVE_ONE_OUT -> leaveOneOut(d);
      case COLD_USERS -> coldUsers(d, TEST_SHARE, TRAIN_SHARE, SEED);
      default ->
          throw new IllegalArgumentException(
              "split '" + name + "' is unknown; there are " + String.join(" and ", NAMES));
    };
  }

  /**
   * Leave-one-out: of each user the last item is the target of a test case whose history is all
   * before it; the item before that is the target of a validation case; the transformer and the
   * autoencoder learn from what comes before both. Users with fewer than 3 items are trained on
   * whole and give no case.
   */
  public static Split leaveOneOut(Dataset d) {
    int[] users = IntStream.range(0, d.users()).toArray();
    int[] judged = Arrays.stream(users).filter(user -> d.length(user) >= 3).toArray();
    Sequences train =
        new Sequences(
            d,
            users,
            lengths(users, user -> d.length(user) >= 3 ? d.length(user) - 2 : d.length(user)));
    return new Split(
        LEAVE_ONE_OUT,
        train,
        new Cases(new Sequences(d, judged, lengths(judged, user -> d.length(user) - 2))),
        new Cases(new Sequences(d, judged, lengths(judged, user -> d.length(user) - 1))),
        train);
  }

  /**
   * By user. The newest {@code testShare} of users by {@link Dataset#userTime} (of the same time,
   * the higher user number counts as newer) are test cases. Of the others, {@code trainShare},
   * drawn at random, train the transformer, and the rest train the autoencoder and are the
   * validation cases. Parts are rounded to the nearest count of users. The target of a case is the
   * user's last item, its history the whole sequence before; a user with a single item gives no
   * case.
   *
   * <p>The draw: a user's lot is the Philox word at row {@code user}, column 0 under key {@code
   * seed}; the lowest lots train.
   */
  public static Split coldUsers(Dataset d, double testShare, double trainShare, long seed) {
    requireShare("testShare", testShare);
    requireShare("trainShare", trainShare);
    int[] byAge =
        sorted(
            IntStream.range(0, d.users()),
            Comparator.<Integer>comparingLong(d::userTime).thenComparing(user -> user));
    int others = d.users() - (int) Math.round(testShare * d.users());
    int[] drawn =
        sorted(
            Arrays.stream(byAge, 0, others),
            Comparator.<Integer>comparingLong(
                    user -> Integer.toUnsignedLong(Philox.bits(seed, STREAM, user, 0)))
                .thenComparing(user -> user));
    int training = (int) Math.round(trainShare * others);
    int[] train = Arrays.stream(drawn, 0, training).sorted().toArray();
    int[] sae = Arrays.stream(drawn, training, others).sorted().toArray();
    int[] test = Arrays.stream(byAge, others, byAge.length).sorted().toArray();
    return new Split(
        COLD_USERS,
        Sequences.whole(d, train),
        last(d, sae),
        last(d, test),
        Sequences.whole(d, sae));
  }

  private static Cases last(Dataset d, int[] users) {
    int[] judged = Arrays.stream(users).filter(user -> d.length(user) >= 2).toArray();
    return new Cases(new Sequences(d, judged, lengths(judged, user -> d.length(user) - 1)));
  }

  private static int[] lengths(int[] users, IntUnaryOperator length) {
    return Arrays.stream(users).map(length).toArray();
  }

  private static int[] sorted(IntStream users, Comparator<Integer> order) {
    return users.boxed().sorted(order).mapToInt(Integer::intValue).toArray();
  }

  private static void requireShare(String name, double share) {
    if (!(share >= 0 && share <= 1)) {
      throw new IllegalArgumentException(name + " is " + share + ", not in 0..1");
    }
  }
}
