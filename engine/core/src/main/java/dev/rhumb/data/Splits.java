package dev.rhumb.data;

import dev.rhumb.kernels.Philox;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.function.IntUnaryOperator;
import java.util.stream.IntStream;

/**
 * The ways to divide a dataset. A split has a name that says all that is needed to divide the same
 * data again: one of {@link #NAMES}, and settings that are not the usual ones behind a colon, as in
 * {@code cold-users:test=0.2,seed=7} or {@code time:validation=2015-01-01,test=2016-01-01}.
 *
 * <p><b>What leave-one-out leaks.</b> It holds out each user's last item, whenever that was. A user
 * who stopped in 2001 is then tested by a model that learnt from what others did up to 2015: items
 * that did not exist yet, and a popularity that nobody could know. The figures are too good, by how
 * much depends on the model, and their order between models may change (Ji et al., "A Critical
 * Study on Data Leakage in Recommender System Offline Evaluation", TOIS 2023). Splits by user share
 * that flaw. A global cut in time does not have it: the model learns from what was before one
 * instant, for all users, and is asked what came next after it. It costs test cases, as only users
 * with a history before the cut who come again after it can be asked. Results that are to be
 * compared with published ones need the split that those used, which mostly is leave-one-out.
 */
public final class Splits {
  /** Philox stream of the draw that deals users to train or sae. */
  private static final long STREAM = 0x53504C4954L;

  /** Philox stream of the draw of users for the test. */
  private static final long TEST_STREAM = 0x54455354L;

  private static final String LEAVE_ONE_OUT = "leave-one-out";
  private static final String COLD_USERS = "cold-users";
  private static final String RANDOM_USERS = "random-users";
  private static final String TIME = "time";

  /** The names that {@link #named} knows. */
  public static final List<String> NAMES = List.of(LEAVE_ONE_OUT, COLD_USERS, RANDOM_USERS, TIME);

  // Fixed, as models on disk name only the split.
  private static final double TEST_SHARE = .1;
  private static final double TRAIN_SHARE = .6;
  private static final long SEED = 1;
  private static final String VALIDATION_FROM = "0.8";
  private static final String TEST_FROM = "0.9";

  private Splits() {}

  /** The names of {@link #NAMES} with their settings and what these are unless given. */
  public static String usage() {
    String users =
        "[:test=%s,train=%s,seed=%s]".formatted(number(TEST_SHARE), number(TRAIN_SHARE), SEED);
    return LEAVE_ONE_OUT
        + ", "
        + COLD_USERS
        + users
        + ", "
        + RANDOM_USERS
        + users
        + ", "
        + TIME
        + "[:validation=%s,test=%s], each a share of the interactions or a date"
            .formatted(VALIDATION_FROM, TEST_FROM);
  }

  /**
   * Which of {@link #NAMES} a split's name begins with.
   *
   * @throws IllegalArgumentException when it is none of them
   */
  public static String kind(String name) {
    String kind = name.replaceFirst(":.*", "");
    if (!NAMES.contains(kind)) {
      throw new IllegalArgumentException("split '" + name + "' is unknown; there are " + usage());
    }
    return kind;
  }

  /** Whether train and sae of a split of this name are different users, rather than the same. */
  public static boolean isByUser(String name) {
    return List.of(COLD_USERS, RANDOM_USERS).contains(kind(name));
  }

  /**
   * The split of a name, as {@link #usage} lists them.
   *
   * @throws IllegalArgumentException when there is none of that name, a setting is unknown or out
   *     of range, or the data cannot be divided so
   */
  public static Split named(String name, Dataset d) {
    String kind = kind(name);
    Map<String, String> settings = settings(name);
    return switch (kind) {
      case LEAVE_ONE_OUT -> {
        only(name, settings);
        yield leaveOneOut(d);
      }
      case TIME -> {
        only(name, settings, "validation", "test");
        yield byTime(
            d,
            instant(name, d, settings.getOrDefault("validation", VALIDATION_FROM)),
            instant(name, d, settings.getOrDefault("test", TEST_FROM)));
      }
      default -> {
        only(name, settings, "test", "train", "seed");
        double test = share(name, settings.getOrDefault("test", number(TEST_SHARE)));
        double train = share(name, settings.getOrDefault("train", number(TRAIN_SHARE)));
        long seed = seed(name, settings.getOrDefault("seed", Long.toString(SEED)));
        yield kind.equals(COLD_USERS)
            ? coldUsers(d, test, train, seed)
            : randomUsers(d, test, train, seed);
      }
    };
  }

  /**
   * Leave-one-out: of each user the last item is the target of a test case whose history is all
   * before it; the item before that is the target of a validation case; the transformer and the
   * autoencoder learn from what comes before both. Users with fewer than 3 items are trained on
   * whole and give no case. It leaks other users' future: see the class.
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
    return byUser(
        d,
        COLD_USERS,
        Comparator.<Integer>comparingLong(d::userTime).thenComparing(user -> user),
        testShare,
        trainShare,
        seed);
  }

  /**
   * By user, as {@link #coldUsers}, but the users of the test are drawn at random: those with the
   * highest Philox words at row {@code user}, column 0 of a stream of their own.
   */
  public static Split randomUsers(Dataset d, double testShare, double trainShare, long seed) {
    return byUser(d, RANDOM_USERS, lot(seed, TEST_STREAM), testShare, trainShare, seed);
  }

  /** The last users in an order are the test; the others are dealt to train and sae. */
  private static Split byUser(
      Dataset d,
      String kind,
      Comparator<Integer> order,
      double testShare,
      double trainShare,
      long seed) {
    requireShare("testShare", testShare);
    requireShare("trainShare", trainShare);
    int[] ordered = sorted(IntStream.range(0, d.users()), order);
    int others = d.users() - (int) Math.round(testShare * d.users());
    int[] drawn = sorted(Arrays.stream(ordered, 0, others), lot(seed, STREAM));
    int training = (int) Math.round(trainShare * others);
    int[] train = Arrays.stream(drawn, 0, training).sorted().toArray();
    int[] sae = Arrays.stream(drawn, training, others).sorted().toArray();
    int[] test = Arrays.stream(ordered, others, ordered.length).sorted().toArray();
    StringJoiner name = new StringJoiner(",", kind + ":", "").setEmptyValue(kind);
    if (testShare != TEST_SHARE) {
      name.add("test=" + number(testShare));
    }
    if (trainShare != TRAIN_SHARE) {
      name.add("train=" + number(trainShare));
    }
    if (seed != SEED) {
      name.add("seed=" + seed);
    }
    return new Split(
        name.toString(),
        Sequences.whole(d, train),
        last(d, sae),
        last(d, test),
        Sequences.whole(d, sae));
  }

  private static Comparator<Integer> lot(long seed, long stream) {
    return Comparator.<Integer>comparingLong(
            user -> Integer.toUnsignedLong(Philox.bits(seed, stream, user, 0)))
        .thenComparing(user -> user);
  }

  /**
   * By time, one cut for all users. The transformer and the autoencoder learn from what was before
   * {@code validationFrom}. A validation case is a user with interactions before that who came
   * again before {@code testFrom}: the first of those is its target, all before it its history. A
   * test case is a user with interactions before {@code testFrom} who came again: the first
   * interaction from then on is its target, all before it (those of the time of validation too,
   * which are known by then) its history. Items that first appear after the cut can be targets;
   * nothing has been learnt about them, as in service.
   *
   * @param validationFrom in seconds since 1970 (UTC)
   * @param testFrom later than that
   * @throws IllegalArgumentException when the dataset keeps no times, the cuts are not in order, or
   *     nothing is left to learn from or no user to ask
   */
  public static Split byTime(Dataset d, long validationFrom, long testFrom) {
    requireTimes(d);
    if (validationFrom >= testFrom) {
      throw new IllegalArgumentException(
          "a split by time needs the test (from "
              + Instant.ofEpochSecond(testFrom)
              + ") to be later than the validation (from "
              + Instant.ofEpochSecond(validationFrom)
              + "); name other instants or shares");
    }
    int[] users = IntStream.range(0, d.users()).toArray();
    int[] known = lengths(users, user -> before(d, user, validationFrom));
    int[] later = lengths(users, user -> before(d, user, testFrom));
    int[] trained = Arrays.stream(users).filter(user -> known[user] > 0).toArray();
    Sequences train = new Sequences(d, trained, lengths(trained, user -> known[user]));
    int[] validated = Arrays.stream(trained).filter(user -> known[user] < later[user]).toArray();
    int[] tested =
        Arrays.stream(users)
            .filter(user -> later[user] > 0 && later[user] < d.length(user))
            .toArray();
    String name =
        "%s:validation=%s,test=%s"
            .formatted(
                TIME, Instant.ofEpochSecond(validationFrom), Instant.ofEpochSecond(testFrom));
    if (trained.length == 0 || validated.length == 0 || tested.length == 0) {
      throw new IllegalArgumentException(
          "split %s of %s leaves %d users to learn from, %d to validate on and %d to test on; cut at other times"
              .formatted(name, d.name(), trained.length, validated.length, tested.length));
    }
    return new Split(
        name,
        train,
        new Cases(new Sequences(d, validated, lengths(validated, user -> known[user]))),
        new Cases(new Sequences(d, tested, lengths(tested, user -> later[user]))),
        train);
  }

  /** How many of a user's interactions are before an instant. */
  private static int before(Dataset d, int user, long instant) {
    int low = 0;
    int high = d.length(user);
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (d.time(user, middle) < instant) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /**
   * The least instant, in seconds since 1970, before which are at least {@code share} of all
   * interactions.
   *
   * @throws IllegalArgumentException when the dataset keeps no times
   */
  public static long instantOf(Dataset d, double share) {
    requireTimes(d);
    requireShare("share", share);
    long low = Long.MAX_VALUE;
    long high = Long.MIN_VALUE;
    for (int user = 0; user < d.users(); user++) {
      low = Math.min(low, d.time(user, 0));
      high = Math.max(high, d.time(user, d.length(user) - 1) + 1);
    }
    long wanted = (long) Math.ceil(share * d.interactions());
    // Bisection needs no copy of the times; each user's are sorted, so counting is quick.
    while (low < high) {
      long middle = low + (high - low) / 2;
      long n = 0;
      for (int user = 0; user < d.users(); user++) {
        n += before(d, user, middle);
      }
      if (n >= wanted) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  private static void requireTimes(Dataset d) {
    if (!d.hasTimes()) {
      throw new IllegalArgumentException(
          "dataset "
              + d.name()
              + " keeps no times of interactions, so it cannot be divided by time; prepare it anew"
              + " from files with a time column, or choose another split");
    }
  }

  private static Map<String, String> settings(String name) {
    Map<String, String> settings = new HashMap<>();
    int colon = name.indexOf(':');
    if (colon >= 0) {
      for (String setting : name.substring(colon + 1).split(",", -1)) {
        int equals = setting.indexOf('=');
        if (equals < 1
            || settings.put(setting.substring(0, equals), setting.substring(equals + 1)) != null) {
          throw wrong(name, "'" + setting + "' is no setting=value, or is there twice");
        }
      }
    }
    return settings;
  }

  private static void only(String name, Map<String, String> settings, String... known) {
    for (String setting : settings.keySet()) {
      if (!List.of(known).contains(setting)) {
        throw wrong(name, "it has no setting '" + setting + "'");
      }
    }
  }

  private static double share(String name, String text) {
    try {
      double share = Double.parseDouble(text);
      if (share >= 0 && share <= 1) {
        return share;
      }
    } catch (NumberFormatException e) {
      // The same refusal.
    }
    throw wrong(name, text + " is no share in 0..1");
  }

  private static long seed(String name, String text) {
    try {
      return Long.parseLong(text);
    } catch (NumberFormatException e) {
      throw wrong(name, text + " is no whole number");
    }
  }

  /** A share of the interactions, an instant or a date as seconds since 1970. */
  private static long instant(String name, Dataset d, String text) {
    if (text.matches("[0-9.]+")) {
      return instantOf(d, share(name, text));
    }
    try {
      return text.contains("T")
          ? Instant.parse(text).getEpochSecond()
          : LocalDate.parse(text).atStartOfDay(ZoneOffset.UTC).toEpochSecond();
    } catch (DateTimeException e) {
      throw wrong(name, text + " is no share, date (2015-01-31) or instant (2015-01-31T12:00:00Z)");
    }
  }

  private static IllegalArgumentException wrong(String name, String what) {
    return new IllegalArgumentException("split '" + name + "': " + what + "; there are " + usage());
  }

  /** As short as it can be told apart. */
  private static String number(double value) {
    return Double.toString(value);
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
