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
