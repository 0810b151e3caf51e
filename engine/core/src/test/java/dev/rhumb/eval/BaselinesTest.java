package dev.rhumb.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class BaselinesTest {
  /** Users and items in the order of their numbers; repeats within a user are kept. */
  static Dataset dataset(int[]... sequences) {
    DatasetBuilder builder = new DatasetBuilder();
    for (int user = 0; user < sequences.length; user++) {
      for (int t = 0; t < sequences[user].length; t++) {
        builder.add(Integer.toString(user + 1), Integer.toString(sequences[user][t]), t);
      }
    }
    return builder.build("test");
  }

  static Dataset random(Random random, int users, int items, int longest) {
    int[][] sequences = new int[users][];
    for (int u = 0; u < users; u++) {
      // Squared, so that low numbers are popular.
      sequences[u] =
          IntStream.range(0, 1 + random.nextInt(longest))
              .map(i -> 1 + (int) (items * Math.pow(random.nextDouble(), 2)))
              .toArray();
    }
    return dataset(sequences);
  }

  /** The whole sequence of each user as a history. */
  private static int[][] lists(Ranker ranker, Dataset d, int k, float[][] scores) {
    return ranker.recommend(Sequences.all(d), k, scores);
  }

  @Test
  void popularityRanksByInteractionsThenByNumber() {
    try (Dataset d = dataset(new int[] {1, 3, 3}, new int[] {2, 3}, new int[] {4, 2, 5})) {
      float[][] scores = new float[3][];
      int[][] lists = lists(Popularity.fit(Sequences.all(d)), d, 4, scores);
      assertArrayEquals(new int[] {2, 4, 5, 0}, lists[0]);
      assertArrayEquals(new float[] {2, 1, 1, Float.NEGATIVE_INFINITY}, scores[0]);
      assertArrayEquals(new int[] {1, 4, 5, 0}, lists[1]);
      assertArrayEquals(new int[] {3, 1, 0, 0}, lists[2]);
    }
  }

  @Test
  void aChainGoesByWhatFollowedTheLastItemThenByPopularity() {
    // After 1: item 2 once, 3 twice, 4 once. Popularity: 1 4x, 4 3x, 3 2x, 2 1x, 5 1x.
    try (Dataset d =
        dataset(
            new int[] {1, 3, 4},
            new int[] {1, 3},
            new int[] {1, 2},
            new int[] {5, 1, 4},
            new int[] {4})) {
      MarkovChain chain = MarkovChain.fit(Sequences.all(d));
      try (Dataset asked =
          dataset(
              new int[] {5, 1}, // ends with 1
              new int[] {3, 1}, // 3 is seen
              new int[] {1, 2}, // nothing followed 2
              new int[] {3, 4})) { // items of that dataset are 1..5 too
        float[][] scores = new float[4][];
        int[][] lists = lists(chain, asked, 4, scores);
        assertArrayEquals(new int[] {3, 4, 2, 0}, lists[0]);
        assertArrayEquals(new float[] {2, 1, 1, Float.NEGATIVE_INFINITY}, scores[0]);
        assertArrayEquals(new int[] {4, 2, 5, 0}, lists[1]);
        assertArrayEquals(new float[] {1, 1, 0, Float.NEGATIVE_INFINITY}, scores[1]);
        assertArrayEquals(new int[] {4, 3, 5, 0}, lists[2]);
        assertArrayEquals(new float[] {0, 0, 0, Float.NEGATIVE_INFINITY}, scores[2]);
        assertArrayEquals(new int[] {1, 2, 5, 0}, lists[3]);
      }
    }
  }

  @Test
  void baselinesEqualTheirDefinitions() {
    for (int seed = 0; seed < 20; seed++) {
      Random random = new Random(seed);
      try (Dataset d = random(random, 2 + random.nextInt(30), 3 + random.nextInt(20), 12)) {
        Split split = Splits.leaveOneOut(d);
        Sequences train = split.train();
        Sequences histories = split.test().histories();
        int k = 1 + random.nextInt(d.items());
        ItemKnn.Config config =
            new ItemKnn.Config(
                1 + random.nextInt(6),
                random.nextInt(3),
                random.nextBoolean() ? Double.POSITIVE_INFINITY : 1 + random.nextInt(4));
        int[][] popularity = Popularity.fit(train).recommend(histories, k, null);
        int[][] chain = MarkovChain.fit(train).recommend(histories, k, null);
        int[][] knn = ItemKnn.fit(train, config).recommend(histories, k, null);
        for (int i = 0; i < histories.count(); i++) {
          int h = i;
          int last = histories.item(i, histories.length(i) - 1);
          assertArrayEquals(ranked(train, histories, i, k, x -> 0), popularity[i]);
          assertArrayEquals(
              ranked(train, histories, i, k, x -> followed(train, last, x)), chain[i]);
          double[] scores =
              IntStream.rangeClosed(0, d.items())
                  .mapToDouble(x -> x == 0 ? 0 : knnScore(train, histories, h, x, config))
                  .toArray();
          int[] wanted = ranked(train, histories, i, k, x -> scores[x]);
          for (int at = 0; at < k; at++) {
            // Sums in another order may swap items of nearly equal score.
            double lost = Math.abs(scores[wanted[at]] - scores[knn[i][at]]);
            assertTrue(lost < 1e-6, seed + ": " + wanted[at] + " or " + knn[i][at]);
          }
        }
      }
    }
  }

  /** By score, among equal scores above 0 of kNN by anything, then by popularity and number. */
  private static int[] ranked(
      Sequences train, Sequences histories, int i, int k, IntToDoubleFunction score) {
    List<Integer> items = new ArrayList<>();
    for (int item = 1; item <= train.dataset().items(); item++) {
      int x = item;
      if (IntStream.range(0, histories.length(i)).noneMatch(p -> histories.item(i, p) == x)) {
        items.add(item);
      }
    }
    items.sort(
        Comparator.<Integer>comparingDouble(x -> -score.applyAsDouble(x))
            .thenComparing(x -> -occurrences(train, x))
            .thenComparing(x -> x));
    int[] list = new int[k];
    for (int at = 0; at < Math.min(k, items.size()); at++) {
      list[at] = items.get(at);
    }
    return list;
  }

  private static int occurrences(Sequences train, int item) {
    int n = 0;
    for (int i = 0; i < train.count(); i++) {
      for (int p = 0; p < train.length(i); p++) {
        n += train.item(i, p) == item ? 1 : 0;
      }
    }
    return n;
  }

  private static int followed(Sequences train, int a, int b) {
    int n = 0;
    for (int i = 0; i < train.count(); i++) {
      for (int p = 0; p + 1 < train.length(i); p++) {
        n += train.item(i, p) == a && train.item(i, p + 1) == b ? 1 : 0;
      }
    }
    return n;
  }

  private static double similarity(Sequences train, int a, int b, double shrinkage) {
    double both = 0;
    double ofA = 0;
    double ofB = 0;
    for (int i = 0; i < train.count(); i++) {
      boolean hasA = false;
      boolean hasB = false;
      for (int p = 0; p < train.length(i); p++) {
        hasA |= train.item(i, p) == a;
        hasB |= train.item(i, p) == b;
      }
      ofA += hasA ? 1 : 0;
      ofB += hasB ? 1 : 0;
      both += hasA && hasB ? 1 : 0;
    }
    return both == 0 ? 0 : both / (Math.sqrt(ofA * ofB) + shrinkage);
  }

  private static double knnScore(
      Sequences train, Sequences histories, int i, int item, ItemKnn.Config config) {
    double score = 0;
    int length = histories.length(i);
    for (int p = 0; p < length; p++) {
      int from = histories.item(i, p);
      double own = from == item ? 0 : similarity(train, from, item, config.shrinkage());
      long better =
          IntStream.rangeClosed(1, train.dataset().items())
              .filter(x -> x != from && x != item)
              .filter(
                  x -> {
                    double other = similarity(train, from, x, config.shrinkage());
                    return other > own || other == own && x < item;
                  })
              .count();
      if (own > 0 && better < config.neighbours()) {
        score += own * Math.pow(2, -(length - 1 - p) / config.halfLife());
      }
    }
    return score;
  }

  @Test
  void neighboursFillWithPopularityAndScoresNeverRise() {
    try (Dataset d = random(new Random(5), 60, 40, 10)) {
      Sequences all = Sequences.all(d);
      for (Ranker ranker :
          List.of(
              Popularity.fit(all),
              MarkovChain.fit(all),
              ItemKnn.fit(all, ItemKnn.Config.standard()))) {
        float[][] scores = new float[all.count()][];
        int[][] lists = ranker.recommend(all, d.items(), scores);
        assertArrayEquals(lists, ranker.recommend(all, d.items(), null), "again the same");
        for (int i = 0; i < lists.length; i++) {
          int user = i;
          int seen =
              (int)
                  IntStream.range(0, all.length(i)).map(p -> all.item(user, p)).distinct().count();
          int[] list = lists[i];
          assertEquals(d.items() - seen, IntStream.of(list).filter(x -> x > 0).distinct().count());
          for (int at = 0; at < list.length; at++) {
            int item = list[at];
            assertTrue(IntStream.range(0, all.length(i)).noneMatch(p -> all.item(user, p) == item));
            assertEquals(at >= d.items() - seen, scores[i][at] == Float.NEGATIVE_INFINITY);
            assertTrue(at == 0 || scores[i][at] <= scores[i][at - 1]);
          }
        }
      }
    }
  }

  @Test
  void aVanishingWeightIsNoCandidate() {
    int[] longHistory = IntStream.rangeClosed(1, 3000).map(i -> 1 + i % 7).toArray();
    try (Dataset d = dataset(longHistory, IntStream.rangeClosed(1, 9).toArray())) {
      Sequences all = Sequences.all(d);
      int[][] lists = ItemKnn.fit(all, new ItemKnn.Config(9, 0, .5)).recommend(all, 2, null);
      assertArrayEquals(new int[] {8, 9}, lists[0]);
    }
  }

  @Test
  void anotherCatalogueAndOddSettingsAreRefused() {
    try (Dataset d = random(new Random(1), 5, 9, 5);
        Dataset other = random(new Random(2), 50, 30, 5)) {
      Ranker ranker = Popularity.fit(Sequences.all(d));
      Sequences histories = Sequences.all(other);
      String message =
          assertThrows(IllegalArgumentException.class, () -> ranker.recommend(histories, 3, null))
              .getMessage();
      assertTrue(message.contains("same dataset"), message);
    }
    assertThrows(IllegalArgumentException.class, () -> new ItemKnn.Config(0, 1, 1));
    assertThrows(IllegalArgumentException.class, () -> new ItemKnn.Config(1, -1, 1));
    assertThrows(IllegalArgumentException.class, () -> new ItemKnn.Config(1, Double.NaN, 1));
    assertThrows(IllegalArgumentException.class, () -> new ItemKnn.Config(1, 1, 0));
    assertThrows(IllegalArgumentException.class, () -> new ItemKnn.Config(1, 1, Double.NaN));
  }
}
