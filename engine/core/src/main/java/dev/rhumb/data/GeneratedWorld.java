package dev.rhumb.data;

import dev.rhumb.kernels.Philox;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/**
 * A generated catalogue and its users, with planted interests: what an autoencoder finds can be
 * scored against the truth.
 *
 * <p>How it is made:
 *
 * <ol>
 *   <li>Items have popularity ranks in random order; an item of rank r has the weight r^-zipf.
 *   <li>Interests are dealt to items evenly, one each; half of the items have one more, and 15 % of
 *       all a third.
 *   <li>Within an interest each item has three successors, drawn by weight from the interest's
 *       items (perhaps the same more than once); they are taken with probabilities .6, .3 and .1.
 *   <li>A user has a few interests with random weights and is in the mood for one of them. At each
 *       step, with probability {@code drift}, one of the interests is exchanged for a new one; and
 *       with probability {@code 1 - stay} the mood is drawn anew by the user's weights.
 *   <li>The next item has the mood as an interest: with probability {@code follow} a successor of
 *       the last item (if that has the interest too), otherwise an item drawn by weight. A user
 *       never has an item twice: a drawn item that the user had is drawn again a few times, then
 *       the most popular one left is taken, of the interest if any is left.
 *   <li>Lengths are the shortest plus an exponential rest, at most half of the items.
 * </ol>
 *
 * <p>All randomness is Philox by (seed, purpose, item or user, draw), so a world depends on its
 * configuration and seed alone. Attributes are the interests' names, "interest-00" on; titles are
 * "Item 123". An item that nobody took is not in the dataset. Owns the dataset and closes it.
 */
public final class GeneratedWorld implements AutoCloseable {
  private static final int TRIES = 8;
  private static final int SUCCESSORS = 3;
  private static final double[] SUCCESSION = {.6, .9, 1};
  private static final double SECOND_INTEREST = .5;
  private static final double THIRD_INTEREST = .3;

  private static final long RANK = 1;
  private static final long INTERESTS = 2;
  private static final long CHAIN = 3;
  private static final long USER = 4;

  /**
   * Sizes and habits of a world.
   *
   * @param users number of users
   * @param items number of items made; those that nobody takes are left out
   * @param interests number of interests
   * @param interestsPerUser how many of them a user has at a time
   * @param shortest the least length of a sequence
   * @param meanLength the mean length of a sequence, before the longest are cut
   * @param zipf exponent of the items' popularity
   * @param stay probability that a user's mood lasts one step
   * @param follow probability that the next item is a successor of the last
   * @param drift probability that one of a user's interests is exchanged at a step
   */
  public record Config(
      int users,
      int items,
      int interests,
      int interestsPerUser,
      int shortest,
      double meanLength,
      double zipf,
      double stay,
      double follow,
      double drift) {

    /** Refuses sizes below one, a user with more interests than there are, and odd shares. */
    public Config {
      require(users >= 0, "users", users);
      require(items >= 1, "items", items);
      require(interests >= 1, "interests", interests);
      require(
          interestsPerUser >= 1 && interestsPerUser <= interests,
          "interestsPerUser",
          interestsPerUser);
      require(shortest >= 1 && shortest <= items, "shortest", shortest);
      require(meanLength >= shortest && meanLength < 1e9, "meanLength", meanLength);
      require(zipf >= 0 && zipf <= 10, "zipf", zipf);
      require(stay >= 0 && stay <= 1, "stay", stay);
      require(follow >= 0 && follow <= 1, "follow", follow);
      require(drift >= 0 && drift <= 1, "drift", drift);
    }

    /** About 600 users, 1,000 items, 20 interests and 60,000 interactions. */
    public static Config demo() {
      return new Config(600, 1000, 20, 3, 20, 100, 1.1, .85, .5, .01);
    }

    private static void require(boolean good, String name, double value) {
      if (!good) {
        throw new IllegalArgumentException("a world cannot be made with " + name + " = " + value);
      }
    }
  }

  private final Config config;
  private final Dataset dataset;
  // truth[item made from 0] holds the item's interests.
  private final BitSet[] truth;

  private GeneratedWorld(Config config, Dataset dataset, BitSet[] truth) {
    this.config = config;
    this.dataset = dataset;
    this.truth = truth;
  }

  /** Makes the world of a configuration and a seed. */
  public static GeneratedWorld make(Config config, long seed) {
    return new Maker(config, seed).make();
  }

  /** What it was made from. */
  public Config config() {
    return config;
  }

  /** The interactions; this world owns them. */
  public Dataset dataset() {
    return dataset;
  }

  /** How many interests were planted. */
  public int interests() {
    return config.interests();
  }

  /** The name of {@code interest}, which items have as an attribute. */
  public String interest(int interest) {
    return name(interest, config.interests());
  }

  /** Whether {@code item} (1..V of the dataset) was given {@code interest}. */
  public boolean has(int item, int interest) {
    return truth[Integer.parseInt(dataset.itemId(item)) - 1].get(interest);
  }

  /** Closes the dataset. */
  @Override
  public void close() {
    dataset.close();
  }

  private static String name(int interest, int interests) {
    int digits = Math.max(2, Integer.toString(interests - 1).length());
    return "interest-" + String.format(Locale.ROOT, "%0" + digits + "d", interest);
  }

  /** One row of random numbers, drawn one after another. */
  private static final class Draw {
    private final long seed;
    private final long purpose;
    private final int row;
    private long next;

    Draw(long seed, long purpose, int row) {
      this.seed = seed;
      this.purpose = purpose;
      this.row = row;
    }

    /** In [0, 1). */
    double uniform() {
      return Integer.toUnsignedLong(Philox.bits(seed, purpose, row, next++)) * 0x1p-32;
    }

    int below(int bound) {
      return (int) (uniform() * bound);
    }
  }

  /** Items to draw from by weight; the most popular first. */
  private record Pool(int[] items, double[] cumulative) {
    static Pool of(IntStream byRank, double[] weight) {
      int[] items = byRank.toArray();
      double[] cumulative = new double[items.length];
      double sum = 0;
      for (int i = 0; i < items.length; i++) {
        sum += weight[items[i]];
        cumulative[i] = sum;
      }
      return new Pool(items, cumulative);
    }

    int draw(Draw draw) {
      double mark = draw.uniform() * cumulative[items.length - 1];
      int at = Arrays.binarySearch(cumulative, mark);
      return items[Math.min(at < 0 ? -at - 1 : at + 1, items.length - 1)];
    }
  }

  /** Holds what users are made from; items are 0-based here. */
  private static final class Maker {
    private final Config config;
    private final long seed;
    private final BitSet[] interestsOf;
    private final Pool everything;
    private final Pool[] pools;
    // successors[interest][item], empty where the item lacks the interest.
    private final int[][][] successors;

    Maker(Config config, long seed) {
      this.config = config;
      this.seed = seed;
      int[] byRank =
          IntStream.range(0, config.items())
              .boxed()
              .sorted(
                  Comparator.<Integer>comparingLong(
                          i -> Integer.toUnsignedLong(Philox.bits(seed, RANK, i, 0)))
                      .thenComparing(i -> i))
              .mapToInt(Integer::intValue)
              .toArray();
      double[] weight = new double[config.items()];
      interestsOf = new BitSet[config.items()];
      for (int rank = 0; rank < byRank.length; rank++) {
        weight[byRank[rank]] = Math.pow(rank + 1, -config.zipf());
        interestsOf[byRank[rank]] = dealInterests(byRank[rank], rank);
      }
      everything = Pool.of(Arrays.stream(byRank), weight);
      pools = new Pool[config.interests()];
      successors = new int[config.interests()][config.items()][];
      for (int z = 0; z < pools.length; z++) {
        int interest = z;
        Pool pool =
            Pool.of(Arrays.stream(byRank).filter(i -> interestsOf[i].get(interest)), weight);
        pools[z] = pool;
        for (int item : pool.items()) {
          Draw draw = new Draw(seed, CHAIN + ((long) z << 8), item);
          successors[z][item] = IntStream.range(0, SUCCESSORS).map(s -> pool.draw(draw)).toArray();
        }
      }
    }

    GeneratedWorld make() {
      DatasetBuilder builder = new DatasetBuilder();
      for (int item = 0; item < config.items(); item++) {
        builder.item(
            Integer.toString(item + 1),
            "Item " + (item + 1),
            interestsOf[item].stream()
                .mapToObj(z -> name(z, config.interests()))
                .toArray(String[]::new));
      }
      for (int user = 0; user < config.users(); user++) {
        addUser(user, builder);
      }
      return new GeneratedWorld(config, builder.build("generated"), interestsOf);
    }

    /** Even over interests at every height of the ranking: ranks take turns. */
    private BitSet dealInterests(int item, int rank) {
      Draw draw = new Draw(seed, INTERESTS, item);
      BitSet dealt = new BitSet();
      dealt.set(rank % config.interests());
      if (draw.uniform() < SECOND_INTEREST) {
        dealt.set(draw.below(config.interests()));
        if (draw.uniform() < THIRD_INTEREST) {
          dealt.set(draw.below(config.interests()));
        }
      }
      return dealt;
    }

    private void addUser(int user, DatasetBuilder builder) {
      Draw draw = new Draw(seed, USER, user);
      int longest = Math.max(config.shortest(), config.items() / 2);
      double rest = -Math.log(1 - draw.uniform()) * (config.meanLength() - config.shortest());
      int length = (int) Math.min(longest, config.shortest() + Math.round(rest));
      long start = (long) (draw.uniform() * 1e9);

      List<Integer> liked = new ArrayList<>();
      double[] weights = new double[config.interestsPerUser()];
      for (int k = 0; k < weights.length; k++) {
        liked.add(newInterest(liked, draw));
        weights[k] = .2 + draw.uniform();
      }
      int mood = pick(weights, draw);
      BitSet had = new BitSet();
      int last = -1;
      for (int t = 0; t < length; t++) {
        if (draw.uniform() < config.drift() && liked.size() < config.interests()) {
          liked.set(draw.below(weights.length), newInterest(liked, draw));
        }
        if (draw.uniform() >= config.stay()) {
          mood = pick(weights, draw);
        }
        last = nextItem(liked.get(mood), last, had, draw);
        had.set(last);
        builder.add(Integer.toString(user + 1), Integer.toString(last + 1), start + t);
      }
    }

    private int nextItem(int interest, int last, BitSet had, Draw draw) {
      Pool pool = pools[interest];
      if (pool.items().length > 0) {
        int[] next = last < 0 ? null : successors[interest][last];
        for (int attempt = 0; attempt < TRIES; attempt++) {
          int item =
              next != null && draw.uniform() < config.follow()
                  ? next[successor(draw)]
                  : pool.draw(draw);
          if (!had.get(item)) {
            return item;
          }
        }
      }
      return Arrays.stream(pool.items())
          .filter(item -> !had.get(item))
          .findFirst()
          .orElseGet(
              () ->
                  Arrays.stream(everything.items())
                      .filter(item -> !had.get(item))
                      .findFirst()
                      .orElseThrow());
    }

    private int newInterest(List<Integer> liked, Draw draw) {
      int interest = draw.below(config.interests());
      while (liked.contains(interest)) {
        interest = (interest + 1) % config.interests();
      }
      return interest;
    }

    private static int successor(Draw draw) {
      double mark = draw.uniform();
      return mark < SUCCESSION[0] ? 0 : mark < SUCCESSION[1] ? 1 : 2;
    }

    private static int pick(double[] weights, Draw draw) {
      double mark = draw.uniform() * Arrays.stream(weights).sum();
      int k = 0;
      while (k < weights.length - 1 && mark >= weights[k]) {
        mark -= weights[k++];
      }
      return k;
    }
  }
}
