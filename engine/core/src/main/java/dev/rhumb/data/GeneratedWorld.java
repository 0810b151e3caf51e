package dev.rhumb.data;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.kernels.Philox;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.RecordComponent;
import java.nio.file.Path;
import java.util.AbstractList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.RandomAccess;
import java.util.stream.IntStream;

/**
 * A generated catalogue and its users, with planted interests: what an autoencoder finds can be
 * scored against the truth. This page is the specification; names in code are those of {@link
 * Config}. Interests are z = 0..Z-1, items i = 0..V-1 (before those that nobody took are left out),
 * and draws are independent and uniform where nothing else is said.
 *
 * <p><b>Interests</b>
 *
 * <ol>
 *   <li><b>Hierarchy.</b> Interests 0..{@code roots}-1 have no parent; the parent of another is
 *       {@code (z - roots) / branching}, rounded down: a forest filled level by level. An item of
 *       an interest has all of the interest's ancestors too.
 *   <li><b>Frequency.</b> w(z) = (z + 1)^-{@code interestZipf}.
 *   <li><b>Trend.</b> Time is a year of 64 seasons; in season s, w(z, s) = w(z) exp({@code trend}
 *       cos(2 pi (s / 64 - phase(z)))) with a random phase.
 *   <li><b>Correlation.</b> Each interest has a unit vector g(z) of four dimensions: a standard
 *       normal one, added to its parent's before the length is made 1. A user of season s with the
 *       interests L takes to z with a probability proportional to w(z, s) exp({@code correlation}
 *       sum over l in L of g(z).g(l)); an interest that the user has already gives way to the next
 *       one, in order of z, that the user has not.
 * </ol>
 *
 * <p><b>Items</b>
 *
 * <ol>
 *   <li><b>Popularity.</b> Items have ranks r = 0..V-1 in random order, and weights q(i) = (r +
 *       1)^-{@code zipf}.
 *   <li><b>Interests of items.</b> The item of rank r has the interest whose share of the sum of w
 *       holds the point (r mod Z + u) / Z, u drawn: even at every height of the ranking. Half of
 *       the items have one more, and 15 % of all a third, drawn by w; then come the ancestors.
 *   <li><b>Successors.</b> Within an interest each item has three successors, drawn by q from the
 *       interest's items (perhaps the same more than once); they are taken with probabilities .6,
 *       .3 and .1.
 * </ol>
 *
 * <p><b>Users</b>
 *
 * <ol>
 *   <li>The length is {@code shortest} plus an exponential rest, of the mean {@code meanLength} in
 *       all, and at most half of the items. The start is a time in the year, 0 to 1e9; a user's
 *       interactions are one tick apart.
 *   <li>A user holds {@code interestsPerUser} interests, with weights of .2 plus a number in [0,
 *       1), and is in the mood for one of them, drawn by weight.
 *   <li><b>Drift.</b> What a user holds is a Markov chain: before each item, with probability
 *       {@code drift}, one of the interests is exchanged for a new one; then, with probability
 *       {@code 1 - stay}, the mood is drawn anew.
 *   <li><b>The item</b> has the mood z as an interest: with probability {@code follow} a successor
 *       of the last item within z (if that has z too), otherwise an item drawn by q from those of
 *       z. A user never has an item twice: a drawn item that the user had is drawn again, eight
 *       times at most, then the most popular one left is taken, of the interest if any is left.
 * </ol>
 *
 * <p>All randomness is Philox by (seed, purpose, item or user, draw), so a world depends on its
 * configuration and seed alone, whatever the number of threads. Attributes are the interests'
 * names, "interest-00" on; titles are "Item 123". An item that nobody took is not in the dataset,
 * unless the configuration says {@code everyItem}.
 *
 * <p>Memory while it is made: some 70 bytes for each item and 12 for each of its interests on the
 * heap, and 4 (3 + {@code interestsPerUser}) bytes for each interaction off it. Threads: users are
 * dealt to the common pool. Owns the dataset and the truth, and closes both.
 */
public final class GeneratedWorld implements AutoCloseable {
  private static final int TRIES = 8;
  private static final double[] SUCCESSION = {.6, .9, 1};
  private static final double SECOND_INTEREST = .5;
  private static final double THIRD_INTEREST = .3;
  private static final int SEASONS = 64;
  private static final int TASTES = 4;
  private static final double YEAR = 1e9;
  private static final int USERS_AT_ONCE = 1024;

  private static final long RANK = 1;
  private static final long INTERESTS = 2;
  private static final long CHAIN = 3;
  private static final long USER = 4;
  private static final long STRATUM = 5;
  private static final long PHASE = 6;
  private static final long TASTE = 7;

  /**
   * Sizes and habits of a world.
   *
   * @param users number of users
   * @param items number of items made
   * @param interests number of interests, Z
   * @param interestsPerUser how many of them a user holds at a time
   * @param shortest the least length of a sequence
   * @param meanLength the mean length of a sequence, before the longest are cut
   * @param zipf exponent of the items' popularity
   * @param stay probability that a user's mood lasts one step
   * @param follow probability that the next item is a successor of the last
   * @param drift probability that one of a user's interests is exchanged at a step
   * @param roots how many interests have no parent; Z for none with one
   * @param branching how many children an interest has, as far as there are interests
   * @param interestZipf exponent of the interests' frequency; 0 for even
   * @param correlation how strongly interests come together in users; 0 for not
   * @param trend how strongly interests come and go over the year; 0 for not
   * @param everyItem whether items that nobody took are in the dataset too
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
      double drift,
      int roots,
      int branching,
      double interestZipf,
      double correlation,
      double trend,
      boolean everyItem) {

    private static final Map<String, Config> PRESETS = presets();

    /** Refuses sizes below one, a user with more interests than there are, and odd shares. */
    public Config {
      require(users >= 0, "users", users);
      require(items >= 1, "items", items);
      require(interests >= 1 && interests <= 1 << 16, "interests", interests);
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
      require(roots >= 1 && roots <= interests, "roots", roots);
      require(branching >= 1, "branching", branching);
      require(interestZipf >= 0 && interestZipf <= 10, "interestZipf", interestZipf);
      require(correlation >= 0 && correlation <= 10, "correlation", correlation);
      require(trend >= 0 && trend <= 10, "trend", trend);
      require(
          correlation == 0 || interests <= 1 << 12,
          "interests (at most 4096 where they are correlated)",
          interests);
    }

    /** A world of even interests without hierarchy, correlation and trend. */
    public Config(
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
      this(
          users,
          items,
          interests,
          interestsPerUser,
          shortest,
          meanLength,
          zipf,
          stay,
          follow,
          drift,
          interests,
          1,
          0,
          0,
          0,
          false);
    }

    /** About 600 users, 1,000 items, 20 interests and 60,000 interactions. */
    public static Config demo() {
      return new Config(600, 1000, 20, 3, 20, 100, 1.1, .85, .5, .01);
    }

    /**
     * The named worlds, smallest first: {@code toy} (300 items), {@code demo} (1,000, {@link
     * #demo}), {@code small} (2,000), {@code ml-1m} (the size of MovieLens 1M), {@code 100k},
     * {@code 1m} and {@code 10m} (so many items, each in the dataset). All but the demo's have a
     * hierarchy, uneven interests that are correlated, and a trend.
     */
    public static List<String> names() {
      return List.copyOf(PRESETS.keySet());
    }

    /**
     * A world by name.
     *
     * @throws IllegalArgumentException when there is none of that name; the message lists them
     */
    public static Config named(String name) {
      Config found = PRESETS.get(name);
      if (found == null) {
        throw new IllegalArgumentException(
            "no generated world is called \"" + name + "\"; there are " + PRESETS.keySet());
      }
      return found;
    }

    /**
     * This with one of its settings changed.
     *
     * @param name the name of a component, as {@code drift}
     * @param value its value; 0 or 1 where it is yes or no
     * @throws IllegalArgumentException when there is no such setting, or it cannot have that value
     */
    public Config with(String name, double value) {
      return with(Map.of(name, value));
    }

    /** This with several settings changed at once, as {@link #with(String, double)}. */
    public Config with(Map<String, Double> values) {
      Map<String, Object> settings = settings();
      values.forEach(
          (name, value) -> {
            Object old = settings.get(name);
            if (old == null) {
              throw new IllegalArgumentException(
                  "a world has no setting \"" + name + "\"; there are " + settings.keySet());
            }
            int whole = value.intValue();
            require(
                old instanceof Double
                    || value == whole && (old instanceof Integer || whole == 0 || whole == 1),
                name,
                value);
            settings.put(
                name,
                switch (old) {
                  case Double d -> value;
                  case Integer i -> whole;
                  default -> whole == 1;
                });
          });
      return of(settings);
    }

    /** All settings by name, in order: an Integer, a Double or a Boolean each. */
    Map<String, Object> settings() {
      Map<String, Object> settings = new LinkedHashMap<>();
      try {
        for (RecordComponent component : Config.class.getRecordComponents()) {
          settings.put(component.getName(), component.getAccessor().invoke(this));
        }
      } catch (ReflectiveOperationException e) {
        throw new AssertionError("a record's own accessors can be called", e);
      }
      return settings;
    }

    /** Of a file; settings that it lacks are those of even interests. */
    static Config read(JsonObject json) {
      Map<String, Object> settings = new Config(0, 1, 1, 1, 1, 1, 0, 0, 0, 0).settings();
      if (json.has("interests")) {
        settings.put("roots", json.integer("interests", 1, Integer.MAX_VALUE));
      }
      json.only(settings.keySet().toArray(new String[0]));
      for (Map.Entry<String, Object> setting : settings.entrySet()) {
        String key = setting.getKey();
        if (json.has(key)) {
          setting.setValue(
              switch (setting.getValue()) {
                case Integer i -> json.integer(key, 0, Integer.MAX_VALUE);
                case Double d -> json.number(key);
                default -> json.flag(key);
              });
        }
      }
      try {
        return of(settings);
      } catch (IllegalArgumentException e) {
        throw json.refuse("settings", e.getMessage(), "generate the world again");
      }
    }

    private static Config of(Map<String, Object> s) {
      return new Config(
          (int) s.get("users"),
          (int) s.get("items"),
          (int) s.get("interests"),
          (int) s.get("interestsPerUser"),
          (int) s.get("shortest"),
          (double) s.get("meanLength"),
          (double) s.get("zipf"),
          (double) s.get("stay"),
          (double) s.get("follow"),
          (double) s.get("drift"),
          (int) s.get("roots"),
          (int) s.get("branching"),
          (double) s.get("interestZipf"),
          (double) s.get("correlation"),
          (double) s.get("trend"),
          (boolean) s.get("everyItem"));
    }

    private static Map<String, Config> presets() {
      Map<String, Config> presets = new LinkedHashMap<>();
      presets.put("toy", deep(300, 300, 12, 3, 10, 30, 4, 2, false));
      presets.put("demo", demo());
      presets.put("small", deep(2_000, 2_000, 39, 3, 15, 50, 3, 3, false));
      presets.put("ml-1m", deep(6_040, 3_700, 54, 4, 20, 165, 6, 3, false));
      presets.put("100k", deep(40_000, 100_000, 200, 4, 10, 50, 20, 3, true));
      presets.put("1m", deep(200_000, 1_000_000, 500, 4, 10, 40, 20, 4, true));
      presets.put("10m", deep(1_000_000, 10_000_000, 1_000, 4, 10, 30, 40, 4, true));
      return Collections.unmodifiableMap(presets);
    }

    private static Config deep(
        int users,
        int items,
        int interests,
        int perUser,
        int shortest,
        int meanLength,
        int roots,
        int branching,
        boolean everyItem) {
      return new Config(
          users,
          items,
          interests,
          perUser,
          shortest,
          meanLength,
          1,
          .85,
          .4,
          .01,
          roots,
          branching,
          .5,
          .7,
          .3,
          everyItem);
    }

    /** The parent of an interest; -1 where it has none. */
    int parent(int interest) {
      return interest < roots ? -1 : (interest - roots) / branching;
    }

    private static void require(boolean good, String name, double value) {
      if (!good) {
        throw new IllegalArgumentException("a world cannot be made with " + name + " = " + value);
      }
    }
  }

  private final Config config;
  private final Dataset dataset;
  private final Truth truth;

  private GeneratedWorld(Config config, Dataset dataset, Truth truth) {
    this.config = config;
    this.dataset = dataset;
    this.truth = truth;
  }

  /** Makes the world of a configuration and a seed; its dataset is called "generated". */
  public static GeneratedWorld make(Config config, long seed) {
    return make("generated", config, seed);
  }

  /** Makes the world of a configuration and a seed, with a name for its dataset. */
  public static GeneratedWorld make(String name, Config config, long seed) {
    return new Maker(config, seed).make(name);
  }

  /** What it was made from. */
  public Config config() {
    return config;
  }

  /** The interactions; this world owns them. */
  public Dataset dataset() {
    return dataset;
  }

  /** What was planted; this world owns it. */
  public Truth truth() {
    return truth;
  }

  /** How many interests were planted. */
  public int interests() {
    return truth.interests();
  }

  /** The name of {@code interest}, which items have as an attribute. */
  public String interest(int interest) {
    return truth.name(interest);
  }

  /** Whether {@code item} (1..V of the dataset) was given {@code interest}. */
  public boolean has(int item, int interest) {
    return truth.has(item, interest);
  }

  /**
   * Writes the dataset to a folder and the truth beside it; see {@link Dataset#save} and {@link
   * Truth#save}.
   */
  public void save(Path folder) {
    dataset.save(folder);
    truth.save(folder);
  }

  /** Closes the dataset and the truth. */
  @Override
  public void close() {
    try {
      dataset.close();
    } finally {
      truth.close();
    }
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

  /** The first of cumulative[from .. to - 1] that is above the mark; the last where none is. */
  private static int firstAbove(double[] cumulative, int from, int to, double mark) {
    int at = Arrays.binarySearch(cumulative, from, to, mark);
    return Math.min(at < 0 ? -at - 1 : at + 1, to - 1);
  }

  private static double[] cumulative(double[] weights) {
    double[] sums = weights.clone();
    for (int i = 1; i < sums.length; i++) {
      sums[i] += sums[i - 1];
    }
    return sums;
  }

  /** Holds what users are made from; items are 0-based here. */
  private static final class Maker {
    private final Config config;
    private final long seed;
    private final int interests;
    private final int[] byRank;
    // Item i has the interests values[starts[i] .. starts[i + 1]], ascending.
    private final int[] starts;
    private final int[] values;
    // Interest z has the items pool[poolStarts[z] .. poolStarts[z + 1]], the most popular first.
    private final int[] poolStarts;
    private final int[] pool;
    private final double[] poolCumulative;
    private final double[] frequency;
    private final double[] frequencyCumulative;
    // season[s][z] is the frequency in a season, together[z][l] multiplies it; null for no effect.
    private final double[][] season;
    private final double[][] together;

    Maker(Config config, long seed) {
      this.config = config;
      this.seed = seed;
      interests = config.interests();
      frequency = new double[interests];
      Arrays.setAll(frequency, z -> Math.pow(z + 1, -config.interestZipf()));
      frequencyCumulative = cumulative(frequency);
      season = config.trend() == 0 ? null : seasons();
      together = config.correlation() == 0 ? null : affinities();
      byRank = ranking();
      starts = new int[config.items() + 1];
      values = deal();
      poolStarts = new int[interests + 1];
      for (int z : values) {
        poolStarts[z + 1]++;
      }
      for (int z = 0; z < interests; z++) {
        poolStarts[z + 1] += poolStarts[z];
      }
      pool = new int[values.length];
      poolCumulative = new double[values.length];
      fillPools();
    }

    private double[][] seasons() {
      double[][] frequencies = new double[SEASONS][interests];
      for (int z = 0; z < interests; z++) {
        double phase = new Draw(seed, PHASE, z).uniform();
        for (int s = 0; s < SEASONS; s++) {
          double angle = 2 * Math.PI * (s / (double) SEASONS - phase);
          frequencies[s][z] = frequency[z] * Math.exp(config.trend() * Math.cos(angle));
        }
      }
      return frequencies;
    }

    private double[][] affinities() {
      double[][] tastes = new double[interests][TASTES];
      for (int z = 0; z < interests; z++) {
        int parent = config.parent(z);
        double squares = 0;
        for (int d = 0; d < TASTES; d++) {
          tastes[z][d] = Philox.normal(seed, TASTE, z, d) + (parent < 0 ? 0 : tastes[parent][d]);
          squares += tastes[z][d] * tastes[z][d];
        }
        for (int d = 0; d < TASTES; d++) {
          tastes[z][d] /= Math.sqrt(squares);
        }
      }
      double[][] factors = new double[interests][interests];
      for (int z = 0; z < interests; z++) {
        for (int l = 0; l < interests; l++) {
          double cosine = 0;
          for (int d = 0; d < TASTES; d++) {
            cosine += tastes[z][d] * tastes[l][d];
          }
          factors[z][l] = Math.exp(config.correlation() * cosine);
        }
      }
      return factors;
    }

    /** Items in random order: by their bits, unsigned, then by number. */
    private int[] ranking() {
      long[] keys = new long[config.items()];
      Arrays.parallelSetAll(
          keys, i -> (long) (Philox.bits(seed, RANK, i, 0) ^ Integer.MIN_VALUE) << 32 | i);
      Arrays.parallelSort(keys);
      int[] order = new int[keys.length];
      Arrays.setAll(order, r -> (int) keys[r]);
      return order;
    }

    /** Deals interests to items; sets starts. */
    private int[] deal() {
      int[] rankOf = new int[byRank.length];
      for (int r = 0; r < byRank.length; r++) {
        rankOf[byRank[r]] = r;
      }
      int[] dealt = new int[Math.max(16, 2 * rankOf.length)];
      int n = 0;
      BitSet one = new BitSet();
      for (int item = 0; item < rankOf.length; item++) {
        one.clear();
        deal(item, rankOf[item], one);
        if (n > dealt.length - one.cardinality()) {
          dealt = Arrays.copyOf(dealt, Math.addExact(dealt.length, dealt.length / 2));
        }
        for (int z = one.nextSetBit(0); z >= 0; z = one.nextSetBit(z + 1)) {
          dealt[n++] = z;
        }
        starts[item + 1] = n;
      }
      return Arrays.copyOf(dealt, n);
    }

    private void deal(int item, int rank, BitSet dealt) {
      double stratum = rank % interests + new Draw(seed, STRATUM, item).uniform();
      give(byFrequency(stratum / interests), dealt);
      Draw draw = new Draw(seed, INTERESTS, item);
      if (draw.uniform() < SECOND_INTEREST) {
        give(byFrequency(draw.uniform()), dealt);
        if (draw.uniform() < THIRD_INTEREST) {
          give(byFrequency(draw.uniform()), dealt);
        }
      }
    }

    private void give(int interest, BitSet dealt) {
      for (int z = interest; z >= 0 && !dealt.get(z); z = config.parent(z)) {
        dealt.set(z);
      }
    }

    private int byFrequency(double share) {
      return firstAbove(
          frequencyCumulative, 0, interests, share * frequencyCumulative[interests - 1]);
    }

    private void fillPools() {
      int[] next = Arrays.copyOf(poolStarts, interests);
      double[] sums = new double[interests];
      for (int r = 0; r < byRank.length; r++) {
        int item = byRank[r];
        double weight = Math.pow(r + 1, -config.zipf());
        for (int e = starts[item]; e < starts[item + 1]; e++) {
          int z = values[e];
          sums[z] += weight;
          pool[next[z]] = item;
          poolCumulative[next[z]++] = sums[z];
        }
      }
    }

    GeneratedWorld make(String name) {
      long[] ends = new long[config.users() + 1];
      for (int user = 0; user < config.users(); user++) {
        ends[user + 1] = ends[user] + length(new Draw(seed, USER, user));
      }
      long n = ends[config.users()];
      int slots = config.interestsPerUser();
      Arena planted = Arena.ofShared();
      boolean good = false;
      try (Arena arena = Arena.ofShared()) {
        MemorySegment items = arena.allocate(JAVA_INT, n);
        MemorySegment moods = planted.allocate(JAVA_INT, n);
        MemorySegment held = planted.allocate(JAVA_INT, n * slots);
        long[] times = new long[config.users()];
        IntStream.range(0, (config.users() + USERS_AT_ONCE - 1) / USERS_AT_ONCE)
            .parallel()
            .forEach(
                block -> {
                  History history = new History(this);
                  int end = (int) Math.min(config.users(), (block + 1L) * USERS_AT_ONCE);
                  for (int user = block * USERS_AT_ONCE; user < end; user++) {
                    times[user] = history.live(user, items, moods, held, ends[user]);
                  }
                });
        int[] kept = kept(items);
        Truth truth =
            new Truth(
                planted::close,
                config,
                seed,
                itemStarts(kept),
                itemInterests(kept),
                ends,
                moods,
                held);
        Dataset dataset = dataset(name, kept, truth, ends, times, items);
        truth.belongsTo(dataset.fingerprint());
        good = true;
        return new GeneratedWorld(config, dataset, truth);
      } finally {
        if (!good) {
          planted.close();
        }
      }
    }

    private int length(Draw draw) {
      int longest = Math.max(config.shortest(), config.items() / 2);
      double rest = -Math.log(1 - draw.uniform()) * (config.meanLength() - config.shortest());
      return (int) Math.min(longest, config.shortest() + Math.round(rest));
    }

    /** The items of the dataset, ascending. */
    private int[] kept(MemorySegment items) {
      if (config.everyItem()) {
        return IntStream.range(0, config.items()).toArray();
      }
      BitSet taken = new BitSet(config.items());
      for (long at = 0; at < items.byteSize() / Integer.BYTES; at++) {
        taken.set(items.getAtIndex(JAVA_INT, at));
      }
      return taken.stream().toArray();
    }

    private int[] itemStarts(int[] kept) {
      int[] of = new int[kept.length + 1];
      for (int i = 0; i < kept.length; i++) {
        of[i + 1] = of[i] + starts[kept[i] + 1] - starts[kept[i]];
      }
      return of;
    }

    private int[] itemInterests(int[] kept) {
      int[] of = new int[values.length];
      int n = 0;
      for (int item : kept) {
        int count = starts[item + 1] - starts[item];
        System.arraycopy(values, starts[item], of, n, count);
        n += count;
      }
      return Arrays.copyOf(of, n);
    }

    private Dataset dataset(
        String name, int[] kept, Truth truth, long[] ends, long[] times, MemorySegment items) {
      int[] newItem = new int[config.items()];
      for (int i = 0; i < kept.length; i++) {
        newItem[kept[i]] = i + 1;
      }
      Catalogue catalogue =
          new Catalogue(new Numbers(kept, ""), new Numbers(kept, "Item "), truth.attributes());
      return new Dataset(
          name,
          catalogue,
          IntStream.rangeClosed(1, config.users()).mapToObj(Integer::toString).toList(),
          times,
          ends[config.users()],
          false,
          (offsets, packed, unkept) -> {
            MemorySegment.copy(ends, 0, offsets, JAVA_LONG, 0, ends.length);
            for (long at = 0; at < ends[config.users()]; at++) {
              packed.setAtIndex(JAVA_INT, at, newItem[items.getAtIndex(JAVA_INT, at)]);
            }
          });
    }
  }

  /** Texts "prefix 1", "prefix 2" made when they are asked for: millions of them cost nothing. */
  private static final class Numbers extends AbstractList<String> implements RandomAccess {
    private final int[] numbers;
    private final String prefix;

    Numbers(int[] numbers, String prefix) {
      this.numbers = numbers;
      this.prefix = prefix;
    }

    @Override
    public String get(int index) {
      return prefix + (numbers[index] + 1);
    }

    @Override
    public int size() {
      return numbers.length;
    }
  }

  /** Lives the users of one thread, one after another. */
  private static final class History {
    private final Maker world;
    private final Config config;
    private final int[] liked;
    private final double[] weights;
    private final double[] attraction;
    // What the user had: a set of items + 1 with linear probing, emptied for each user.
    private int[] had = new int[64];
    private int[] taken = new int[32];
    private Draw draw;
    private int season;
    private double weight;

    History(Maker world) {
      this.world = world;
      config = world.config;
      liked = new int[config.interestsPerUser()];
      weights = new double[liked.length];
      attraction = new double[world.interests];
    }

    /** Writes the user's items, moods and interests from {@code at} on; returns the start. */
    long live(int user, MemorySegment items, MemorySegment moods, MemorySegment held, long at) {
      draw = new Draw(world.seed, USER, user);
      int length = world.length(draw);
      double start = draw.uniform();
      season = (int) (start * SEASONS);
      for (int k = 0; k < liked.length; k++) {
        liked[k] = newInterest(k);
        weights[k] = .2 + draw.uniform();
      }
      weight = Arrays.stream(weights).sum();
      int mood = pick();
      int last = -1;
      for (int t = 0; t < length; t++) {
        if (draw.uniform() < config.drift() && liked.length < world.interests) {
          int leaving = draw.below(liked.length);
          liked[leaving] = newInterest(liked.length);
        }
        if (draw.uniform() >= config.stay()) {
          mood = pick();
        }
        last = nextItem(liked[mood], last);
        take(last, t);
        items.setAtIndex(JAVA_INT, at + t, last);
        moods.setAtIndex(JAVA_INT, at + t, liked[mood]);
        MemorySegment.copy(
            liked, 0, held, JAVA_INT, (at + t) * liked.length * Integer.BYTES, liked.length);
      }
      Arrays.fill(had, 0);
      return (long) (start * YEAR);
    }

    private int nextItem(int interest, int last) {
      int from = world.poolStarts[interest];
      int to = world.poolStarts[interest + 1];
      if (from < to) {
        boolean chained =
            last >= 0
                && Arrays.binarySearch(
                        world.values, world.starts[last], world.starts[last + 1], interest)
                    >= 0;
        for (int attempt = 0; attempt < TRIES; attempt++) {
          double share;
          if (chained && draw.uniform() < config.follow()) {
            Draw chain = new Draw(world.seed, CHAIN + ((long) interest << 8), last);
            chain.next = successor();
            share = chain.uniform();
          } else {
            share = draw.uniform();
          }
          int item =
              world
                  .pool[
                  firstAbove(world.poolCumulative, from, to, share * world.poolCumulative[to - 1])];
          if (!has(item)) {
            return item;
          }
        }
        for (int at = from; at < to; at++) {
          if (!has(world.pool[at])) {
            return world.pool[at];
          }
        }
      }
      // A sequence has no more items than there are.
      int rank = 0;
      while (has(world.byRank[rank])) {
        rank++;
      }
      return world.byRank[rank];
    }

    /** An interest that is not among the first {@code n} of liked. */
    private int newInterest(int n) {
      int interest;
      if (world.season == null && world.together == null) {
        interest = world.byFrequency(draw.uniform());
      } else {
        double[] frequency = world.season == null ? world.frequency : world.season[season];
        System.arraycopy(frequency, 0, attraction, 0, attraction.length);
        for (int k = 0; k < n && world.together != null; k++) {
          double[] factor = world.together[liked[k]];
          for (int z = 0; z < attraction.length; z++) {
            attraction[z] *= factor[z];
          }
        }
        for (int z = 1; z < attraction.length; z++) {
          attraction[z] += attraction[z - 1];
        }
        interest =
            firstAbove(
                attraction,
                0,
                attraction.length,
                draw.uniform() * attraction[attraction.length - 1]);
      }
      for (int k = 0; k < n; k++) {
        if (liked[k] == interest) {
          interest = (interest + 1) % world.interests;
          k = -1;
        }
      }
      return interest;
    }

    private int successor() {
      double mark = draw.uniform();
      return mark < SUCCESSION[0] ? 0 : mark < SUCCESSION[1] ? 1 : 2;
    }

    private int pick() {
      double mark = draw.uniform() * weight;
      int k = 0;
      while (k < weights.length - 1 && mark >= weights[k]) {
        mark -= weights[k++];
      }
      return k;
    }

    private boolean has(int item) {
      return had[slot(item)] != 0;
    }

    /** Notes the {@code n}th item. */
    private void take(int item, int n) {
      if (n == taken.length) {
        taken = Arrays.copyOf(taken, 2 * n);
        had = new int[4 * n];
        for (int i = 0; i < n; i++) {
          had[slot(taken[i])] = taken[i] + 1;
        }
      }
      taken[n] = item;
      had[slot(item)] = item + 1;
    }

    private int slot(int item) {
      int at = item * 0x9E3779B9 >>> Integer.numberOfLeadingZeros(had.length - 1);
      while (had[at] != 0 && had[at] != item + 1) {
        at = at + 1 & had.length - 1;
      }
      return at;
    }
  }
}
