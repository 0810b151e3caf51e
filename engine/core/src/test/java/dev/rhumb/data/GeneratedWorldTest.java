package dev.rhumb.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class GeneratedWorldTest {
  private static final GeneratedWorld.Config TINY =
      new GeneratedWorld.Config(5, 1, 1, 1, 1, 1, 1, .5, .5, .5);

  @Test
  void theSeedDecidesTheWorld() {
    GeneratedWorld.Config config = new GeneratedWorld.Config(40, 80, 6, 2, 5, 12, .9, .8, .5, .05);
    try (GeneratedWorld a = GeneratedWorld.make(config, 3);
        GeneratedWorld b = GeneratedWorld.make(config, 3);
        GeneratedWorld c = GeneratedWorld.make(config, 4)) {
      assertEquals(a.dataset().fingerprint(), b.dataset().fingerprint());
      assertNotEquals(a.dataset().fingerprint(), c.dataset().fingerprint());
    }
  }

  @Test
  void theTruthIsInTheAttributes() {
    try (GeneratedWorld world = GeneratedWorld.make(GeneratedWorld.Config.demo(), 1)) {
      Dataset d = world.dataset();
      assertEquals(20, world.interests());
      assertEquals("interest-00", world.interest(0));
      assertEquals(world.interests(), d.attributes().count());
      for (int z = 0; z < world.interests(); z++) {
        int attribute = d.attributes().find(world.interest(z));
        int items = 0;
        for (int item = 1; item <= d.items(); item++) {
          assertEquals(world.has(item, z), d.attributes().has(item, attribute));
          items += world.has(item, z) ? 1 : 0;
        }
        assertEquals(items, d.attributes().itemsWith(attribute));
        assertTrue(items >= 50 && items <= 150, world.interest(z) + " has " + items + " items");
      }
      assertEquals("Item " + d.itemId(1), d.title(1));
    }
  }

  @Test
  void theDemoHasItsSizeAndNoRepeats() {
    try (GeneratedWorld world = GeneratedWorld.make(GeneratedWorld.Config.demo(), 1)) {
      Dataset d = world.dataset();
      assertEquals(600, d.users());
      assertTrue(d.items() > 950, "items " + d.items());
      assertTrue(
          d.interactions() > 50_000 && d.interactions() < 70_000,
          "interactions " + d.interactions());
      for (int user = 0; user < d.users(); user++) {
        int[] sequence = DatasetBuilderTest.sequence(d, user);
        assertEquals(sequence.length, Arrays.stream(sequence).distinct().count());
        assertTrue(sequence.length >= 20 && sequence.length <= 500);
      }
    }
  }

  /**
   * Short histories, so that taking no item twice bends the law little; items with more interests
   * are taken more.
   */
  @Test
  void popularityFallsLikeZipf() {
    for (double zipf : new double[] {.6, 1}) {
      GeneratedWorld.Config config =
          new GeneratedWorld.Config(6000, 1000, 10, 3, 5, 8, zipf, .5, 0, 0);
      try (GeneratedWorld world = GeneratedWorld.make(config, 1)) {
        double slope = slope(world.dataset());
        assertEquals(-zipf, slope, .2, "slope at exponent " + zipf);
      }
    }
    try (GeneratedWorld world = GeneratedWorld.make(GeneratedWorld.Config.demo(), 1)) {
      double slope = slope(world.dataset());
      assertTrue(slope < -.3, "slope " + slope);
    }
  }

  /** Of log count against log rank, by least squares over ranks 10 to 300. */
  private static double slope(Dataset d) {
    int[] falling = Arrays.stream(counts(d)).map(n -> -n).sorted().map(n -> -n).toArray();
    double x = 0, y = 0, xx = 0, xy = 0;
    int n = 0;
    for (int rank = 10; rank <= 300; rank++, n++) {
      double lx = Math.log(rank);
      double ly = Math.log(falling[rank - 1]);
      x += lx;
      y += ly;
      xx += lx * lx;
      xy += lx * ly;
    }
    return (n * xy - x * y) / (n * xx - x * x);
  }

  /** A table of pairs learnt on half of the users must beat popularity on the other half. */
  @Test
  void theLastItemTellsOfTheNext() {
    try (GeneratedWorld world = GeneratedWorld.make(GeneratedWorld.Config.demo(), 1)) {
      Dataset d = world.dataset();
      int[] counts = counts(d);
      int[] popular =
          IntStream.rangeClosed(1, d.items())
              .boxed()
              .sorted((a, b) -> counts[b] - counts[a])
              .limit(10)
              .mapToInt(i -> i)
              .toArray();
      Map<Integer, Map<Integer, Integer>> pairs = new HashMap<>();
      int steps = 0, byPair = 0, byPopularity = 0;
      for (int user = 0; user < d.users(); user++) {
        for (int t = 1; t < d.length(user); t++) {
          int last = d.item(user, t - 1);
          int next = d.item(user, t);
          Map<Integer, Integer> after = pairs.computeIfAbsent(last, i -> new HashMap<>());
          if (user < d.users() / 2) {
            after.merge(next, 1, Integer::sum);
          } else {
            steps++;
            byPair +=
                after.entrySet().stream()
                        .sorted(Map.Entry.<Integer, Integer>comparingByValue().reversed())
                        .limit(10)
                        .anyMatch(e -> e.getKey() == next)
                    ? 1
                    : 0;
            byPopularity += Arrays.stream(popular).anyMatch(i -> i == next) ? 1 : 0;
          }
        }
      }
      assertTrue(byPair > 2 * byPopularity, byPair + " and " + byPopularity + " of " + steps);
    }
  }

  @Test
  void neighboursShareAnInterest() {
    try (GeneratedWorld world = GeneratedWorld.make(GeneratedWorld.Config.demo(), 1)) {
      Dataset d = world.dataset();
      long near = 0, far = 0, pairs = 0;
      for (int user = 0; user < d.users(); user++) {
        int length = d.length(user);
        for (int t = 1; t < length; t++) {
          near += share(world, d.item(user, t), d.item(user, t - 1));
          far += share(world, d.item(user, t), d.item((user + 1) % d.users(), 0));
          pairs++;
        }
      }
      assertTrue(near > .7 * pairs, near + " of " + pairs);
      assertTrue(far < .3 * pairs, far + " of " + pairs);
    }
  }

  @Test
  void theSmallestWorldsAndOddOnes() {
    try (GeneratedWorld world = GeneratedWorld.make(TINY, 0)) {
      assertEquals(1, world.dataset().items());
      assertEquals(5, world.dataset().interactions());
      assertTrue(world.has(1, 0));
    }
    // More interests than items: some interest has no item, so moods must fall back.
    try (GeneratedWorld world =
        GeneratedWorld.make(new GeneratedWorld.Config(9, 3, 8, 8, 3, 3, 0, 0, 1, 1), 5)) {
      assertEquals(27, world.dataset().interactions());
    }
    assertThrows(
        IllegalArgumentException.class,
        () -> new GeneratedWorld.Config(5, 1, 1, 2, 1, 1, 1, .5, .5, .5));
    assertThrows(
        IllegalArgumentException.class,
        () -> new GeneratedWorld.Config(5, 1, 1, 1, 2, 2, 1, .5, .5, .5));
    assertThrows(
        IllegalArgumentException.class,
        () -> new GeneratedWorld.Config(5, 1, 1, 1, 1, 1, 1, Double.NaN, .5, .5));
  }

  /** What a seed gave once it gives for ever: results elsewhere rest on these worlds. */
  @Test
  void worldsStayWhatTheyWere() {
    GeneratedWorld.Config quick =
        new GeneratedWorld.Config(200, 200, 8, 3, 10, 40, .8, .85, .6, .01);
    assertEquals(
        "25769e283d0804eed650a740ccf41afe41c2ed5735141b0ac1d8bf697ddffa28",
        fingerprint(GeneratedWorld.Config.demo(), 1));
    assertEquals(
        "b1599da3d486c4309be1f7bc4da3fbc9d818cf2f0d60ca66b91290f186964039", fingerprint(quick, 1));
    assertEquals(
        "fbe91e33b543ed02db65e68d0612cd52306fc30b128c0cd37ae21ca58a347561",
        fingerprint(GeneratedWorld.Config.named("toy"), 1));
  }

  private static String fingerprint(GeneratedWorld.Config config, long seed) {
    try (GeneratedWorld world = GeneratedWorld.make(config, seed)) {
      return world.dataset().fingerprint();
    }
  }

  /** Of middle size, with all that a world can have. */
  @Test
  void aDeepWorldIsAsTheSpecificationSays() {
    GeneratedWorld.Config config =
        GeneratedWorld.Config.named("small").with("users", 3000).with("trend", 1);
    try (GeneratedWorld world = GeneratedWorld.make(config, 5)) {
      Dataset d = world.dataset();
      Truth truth = world.truth();
      assertEquals(39, truth.interests());
      assertEquals(-1, truth.parent(2));
      assertEquals(0, truth.parent(3));
      assertEquals(2, truth.parent(11));
      assertEquals(3, truth.parent(12));
      assertEquals(36, truth.parents().size());
      assertEquals("interest-03", truth.parents().get("interest-12"));
      int[] items = new int[39];
      for (int item = 1; item <= d.items(); item++) {
        for (int z : truth.of(item)) {
          items[z]++;
          assertTrue(truth.parent(z) < 0 || truth.has(item, truth.parent(z)));
          assertTrue(d.attributes().has(item, d.attributes().find(truth.name(z))));
        }
        assertEquals(truth.of(item).length, d.attributes().of(item).length);
      }
      // Leaves, which have no items but their own: frequent ones have more.
      assertTrue(items[12] + items[13] + items[14] > 1.3 * (items[36] + items[37] + items[38]));

      long astray = 0;
      long exchanged = 0;
      long steps = 0;
      int[][] together = new int[39][39];
      for (int user = 0; user < d.users(); user++) {
        for (int t = 0; t < d.length(user); t++) {
          int[] held = truth.held(user, t);
          assertEquals(3, Arrays.stream(held).distinct().count());
          assertTrue(Arrays.binarySearch(held, truth.mood(user, t)) >= 0);
          astray += truth.has(d.item(user, t), truth.mood(user, t)) ? 0 : 1;
          if (t > 0) {
            steps++;
            exchanged += Arrays.equals(held, truth.held(user, t - 1)) ? 0 : 1;
          }
        }
        for (int a : truth.held(user, 0)) {
          for (int b : truth.held(user, 0)) {
            together[a][b]++;
          }
        }
      }
      assertTrue(astray < .03 * d.interactions(), astray + " of " + d.interactions());
      assertEquals(.01, exchanged / (double) steps, .002);
      // Relatives come together more than chance: three of 39, weighted by frequency.
      double kin = 0;
      double strangers = 0;
      int relatives = 0;
      int others = 0;
      for (int a = 3; a < 39; a++) {
        for (int b = 3; b < a; b++) {
          double lift = together[a][b] * 3000. / ((double) together[a][a] * together[b][b]);
          if (truth.parent(a) == truth.parent(b) || truth.parent(a) == b) {
            kin += lift;
            relatives++;
          } else {
            strangers += lift;
            others++;
          }
        }
      }
      assertTrue(
          kin / relatives > 1.25 * strangers / others,
          kin / relatives + " and " + strangers / others);
    }
  }

  /** With a trend, what users hold depends on when they come. */
  @Test
  void interestsComeAndGoOverTheYear() {
    for (double trend : new double[] {0, 2}) {
      GeneratedWorld.Config config =
          new GeneratedWorld.Config(4000, 200, 5, 1, 2, 2, .8, .5, 0, 0).with("trend", trend);
      try (GeneratedWorld world = GeneratedWorld.make(config, 1)) {
        int[][] seasons = new int[4][5];
        for (int user = 0; user < 4000; user++) {
          int season = (int) (world.dataset().userTime(user) / 250_000_000);
          seasons[season][world.truth().mood(user, 0)]++;
        }
        double most = 0;
        for (int z = 0; z < 5; z++) {
          int interest = z;
          int[] of = Arrays.stream(seasons).mapToInt(season -> season[interest]).toArray();
          most =
              Math.max(
                  most,
                  Arrays.stream(of).max().getAsInt() / (1. + Arrays.stream(of).min().getAsInt()));
        }
        assertTrue(trend == 0 ? most < 1.6 : most > 4, "trend " + trend + ": " + most);
      }
    }
  }

  @Test
  void everyItemIsThereWhereThatIsWanted() {
    GeneratedWorld.Config config =
        GeneratedWorld.Config.named("100k").with("users", 50).with("items", 20_000);
    try (GeneratedWorld world = GeneratedWorld.make(config, 1)) {
      assertEquals(20_000, world.dataset().items());
      assertEquals("20000", world.dataset().itemId(20_000));
      assertEquals(777, world.dataset().itemOf("777"));
      assertEquals(0, world.dataset().itemOf("20001"));
      assertEquals(0, world.dataset().itemOf("no"));
    }
  }

  @Test
  void settingsByName() {
    GeneratedWorld.Config toy = GeneratedWorld.Config.named("toy");
    assertEquals(.25, toy.with("drift", .25).drift());
    assertTrue(toy.with("everyItem", 1).everyItem());
    assertEquals(toy, toy.with("users", toy.users()));
    for (String name : GeneratedWorld.Config.names()) {
      GeneratedWorld.Config.named(name);
    }
    for (Executable wrong :
        new Executable[] {
          () -> toy.with("size", 3),
          () -> toy.with("users", 1.5),
          () -> toy.with("everyItem", 2),
          () -> toy.with("drift", 2),
          () -> toy.with("roots", 0),
          () -> toy.with("correlation", 1).with("interests", 5000),
          () -> GeneratedWorld.Config.named("tiny")
        }) {
      assertThrows(IllegalArgumentException.class, wrong);
    }
  }

  private static int share(GeneratedWorld world, int a, int b) {
    return IntStream.range(0, world.interests()).anyMatch(z -> world.has(a, z) && world.has(b, z))
        ? 1
        : 0;
  }

  private static int[] counts(Dataset d) {
    int[] counts = new int[d.items() + 1];
    for (int user = 0; user < d.users(); user++) {
      for (int t = 0; t < d.length(user); t++) {
        counts[d.item(user, t)]++;
      }
    }
    return counts;
  }
}
