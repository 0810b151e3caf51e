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
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RankingReportTest {
  private static final double NONE = Double.NaN;

  /**
   * Six items and three users. Interactions: item 1 3x, 2 2x, 3 and 4 1x, 5 and 6 none in training
   * but in a fourth sequence that is not counted. Attributes: 1 a, 2 a b, 3 b, 4 c, 5 none, 6 a.
   */
  private static Dataset world() {
    DatasetBuilder builder = new DatasetBuilder();
    int[][] sequences = {{1, 2}, {1, 3}, {1, 2, 4}, {5, 6}};
    for (int u = 0; u < sequences.length; u++) {
      for (int t = 0; t < sequences[u].length; t++) {
        builder.add("u" + u, Integer.toString(sequences[u][t]), t);
      }
    }
    return builder
        .item("1", "", "a")
        .item("2", "", "a", "b")
        .item("3", "", "b")
        .item("4", "", "c")
        .item("6", "", "a")
        .build("world");
  }

  private static RankingReport report(Dataset d, int[][] lists, int[][] relevant) {
    Sequences all = Sequences.all(d);
    int[] users = IntStream.range(0, lists.length).toArray();
    return new RankingReport(
        lists, relevant, all.select(users), ItemCounts.of(all.select(0, 1, 2)));
  }

  private static void values(RankingReport report, Metric metric, int k, double... expected) {
    assertArrayEquals(expected, report.values(metric, k), 1e-12, metric + "@" + k);
    double mean = Arrays.stream(expected).filter(x -> !Double.isNaN(x)).average().orElse(NONE);
    assertEquals(mean, report.value(metric, k), 1e-12, metric + "@" + k);
  }

  @Test
  void accuracyWithOneRelevantItem() {
    try (Dataset d = world()) {
      RankingReport r =
          report(d, new int[][] {{3, 4, 5}, {2, 4, 6}, {3, 0, 0}}, new int[][] {{5}, {2}, {1}});
      values(r, Metric.HIT_RATE, 3, 1, 1, 0);
      values(r, Metric.HIT_RATE, 2, 0, 1, 0);
      values(r, Metric.NDCG, 3, .5, 1, 0); // 1 / log2(4)
      values(r, Metric.MRR, 3, 1 / 3., 1, 0);
      values(r, Metric.MAP, 3, 1 / 3., 1, 0);
      values(r, Metric.PRECISION, 3, 1 / 3., 1 / 3., 0);
      values(r, Metric.RECALL, 3, 1, 1, 0);
      assertEquals(1, r.mostRelevant());
      assertEquals(List.of(3, 1, 0), IntStream.range(0, 3).mapToObj(r::rank).toList());
      RankingMetrics four =
          RankingMetrics.of(
              new int[][] {{3, 4, 5}, {2, 4, 6}, {3, 0, 0}}, new int[] {5, 2, 1}, 3, 6);
      assertEquals(four, r.metrics(3));
    }
  }

  @Test
  void accuracyWithSeveralRelevantItems() {
    try (Dataset d = world()) {
      RankingReport r =
          report(
              d,
              new int[][] {{3, 4, 5, 6}, {2, 4, 6, 3}},
              new int[][] {{6, 4, 1, 4}, {2, 4, 6, 3, 1}});
      // Hits of the first at ranks 2 and 4, of three; all four of the second, of five.
      values(r, Metric.HIT_RATE, 4, 1, 1);
      values(r, Metric.RECALL, 4, 2 / 3., 4 / 5.);
      values(r, Metric.PRECISION, 4, 2 / 4., 1);
      values(r, Metric.MRR, 4, 1 / 2., 1);
      values(r, Metric.MAP, 4, (1 / 2. + 2 / 4.) / 3, 1); // min(4, 5) hits possible
      double log3 = Math.log(2) / Math.log(3);
      double log5 = Math.log(2) / Math.log(5);
      values(r, Metric.NDCG, 4, (log3 + log5) / (1 + log3 + .5), 1);
      values(r, Metric.NDCG, 2, log3 / (1 + log3), 1);
      values(r, Metric.MAP, 1, 0, 1);
      assertEquals(5, r.mostRelevant());
      assertArrayEquals(new int[] {1, 4, 6}, r.relevant(0));
    }
  }

  @Test
  void noveltyAndPopularity() {
    try (Dataset d = world()) {
      RankingReport r =
          report(d, new int[][] {{1, 3, 5}, {2, 0, 0}, {0, 0, 0}}, new int[][] {{1}, {1}, {1}});
      // Three users: item 1 has all of them, 3 one, 5 none, which counts as one.
      double log3 = Math.log(3) / Math.log(2);
      values(r, Metric.NOVELTY, 3, 2 / 3. * log3, log3 - 1, NONE);
      values(r, Metric.NOVELTY, 1, 0, log3 - 1, NONE);
      values(r, Metric.POPULARITY, 3, 4 / 3., 2, NONE);
      // The head: 3 + 2 of 7 interactions are less than 80 %, so item 3 belongs to it.
      values(r, Metric.LONG_TAIL, 3, 1 / 3., 0, NONE);
      // Histories: (3 + 2) / 2, (3 + 1) / 2, (3 + 2 + 1) / 3.
      assertEquals(
          (4 / 3. + 2) / 2 / ((2.5 + 2 + 2) / 3) - 1, r.value(Metric.POPULARITY_LIFT, 3), 1e-12);
    }
  }

  @Test
  void metricsOfAllLists() {
    try (Dataset d = world()) {
      RankingReport r =
          report(d, new int[][] {{1, 3}, {3, 1}, {3, 0}}, new int[][] {{1}, {1}, {1}});
      assertEquals(2 / 6., r.value(Metric.COVERAGE, 2), 1e-12);
      // Overlaps 2, 1, 1 of 2.
      assertEquals(1 - (2 + 1 + 1) / 2. / 3, r.value(Metric.INTER_LIST_DIVERSITY, 2), 1e-12);
      // Frequencies 0 0 0 0 2 3: (2 5 - 7) 2 + (2 6 - 7) 3 over 6 x 5.
      assertEquals((3 * 2 + 5 * 3) / 30., r.value(Metric.GINI, 2), 1e-12);
      assertArrayEquals(
          new double[] {(.5 + .5 + 0) / 3, (.5 + .5 + 1) / 3, 0}, r.attributeShares(2), 1e-12);
      assertThrows(IllegalArgumentException.class, () -> r.values(Metric.GINI, 2));
    }
  }

  @Test
  void diversityWithinAListAndCalibration() {
    try (Dataset d = world()) {
      RankingReport r =
          report(
              d,
              new int[][] {{1, 2, 5}, {3, 4, 2}, {5, 0, 0}, {1, 2, 3}},
              new int[][] {{1}, {1}, {1}, {1}});
      // {a} {a b} {}: one pair, Jaccard 1/2. {b} {c} {a b}: 0, 1/2, 0.
      values(r, Metric.INTRA_LIST_DIVERSITY, 3, .5, (1 + .5 + 1) / 3, NONE, (.5 + 1 + .5) / 3);
      values(r, Metric.INTRA_LIST_DIVERSITY, 1, NONE, NONE, NONE, NONE);
      // Histories {1, 2}: a 3/4, b 1/4; {1, 3}: a 1/2, b 1/2; {5, 6}: a 1.
      // Lists {1, 2, 5}: the same as its history; {3, 4, 2}: a 1/6, b 1/2, c 1/3;
      // {5}: none; {1, 2, 3}: a 1/2, b 1/2.
      values(
          r,
          Metric.CALIBRATION,
          3,
          0,
          .5 * Math.log(.5 / (.99 / 6 + .01 / 2)) + .5 * Math.log(.5 / .5),
          NONE,
          Math.log(1 / (.99 / 2 + .01)));
    }
  }

  @Test
  void aCatalogueWithoutAttributesHasNoValuesOfThem() {
    try (Dataset d = BaselinesTest.random(new Random(1), 9, 8, 6)) {
      Split split = Splits.leaveOneOut(d);
      RankingReport r = RankingReport.of(Popularity.fit(split.train()), split, 3);
      assertTrue(Double.isNaN(r.value(Metric.INTRA_LIST_DIVERSITY, 3)));
      assertTrue(Double.isNaN(r.value(Metric.CALIBRATION, 3)));
      assertEquals(0, r.attributeShares(3).length);
    }
  }

  @Test
  void countsEqualBruteForceOverPairs() {
    for (int seed = 0; seed < 40; seed++) {
      Random random = new Random(seed);
      int items = 2 + random.nextInt(20);
      int n = 2 + random.nextInt(12);
      int k = 1 + random.nextInt(items);
      try (Dataset d = BaselinesTest.dataset(IntStream.rangeClosed(1, items).toArray())) {
        int[][] lists = new int[n][];
        for (int i = 0; i < n; i++) {
          List<Integer> shuffled =
              new ArrayList<>(IntStream.rangeClosed(1, items).boxed().toList());
          Collections.shuffle(shuffled, random);
          int filled = random.nextInt(k + 1);
          lists[i] = IntStream.range(0, k).map(at -> at < filled ? shuffled.get(at) : 0).toArray();
        }
        int[] user = new int[n];
        Sequences all = Sequences.all(d);
        int[][] relevant = new int[n][];
        Arrays.fill(relevant, new int[] {1});
        RankingReport r = new RankingReport(lists, relevant, all.select(user), ItemCounts.of(all));
        int pairs = 0;
        double diversity = 0;
        double differences = 0;
        int[] f = new int[items + 1];
        for (int i = 0; i < n; i++) {
          for (int item : lists[i]) {
            f[item]++;
          }
          for (int j = 0; j < i; j++) {
            Set<Integer> common = new HashSet<>();
            for (int a : lists[i]) {
              for (int b : lists[j]) {
                if (a == b && a != 0) {
                  common.add(a);
                }
              }
            }
            diversity += 1 - common.size() / (double) k;
            pairs++;
          }
        }
        double total = 0;
        for (int a = 1; a <= items; a++) {
          total += f[a];
          for (int b = 1; b <= items; b++) {
            differences += Math.abs(f[a] - f[b]);
          }
        }
        assertEquals(diversity / pairs, r.value(Metric.INTER_LIST_DIVERSITY, k), 1e-12);
        // The other definition of Gini: half the relative mean absolute difference.
        assertEquals(differences / (2 * items * total), r.value(Metric.GINI, k), 1e-12);
      }
    }
  }

  @Test
  void estimatesAreTheValuesWithIntervalsWhereThereAreMeans() {
    try (Dataset d = BaselinesTest.random(new Random(3), 40, 12, 9)) {
      Split split = Splits.leaveOneOut(d);
      RankingReport report = RankingReport.of(MarkovChain.fit(split.train()), split, 5);
      List<Metric> metrics = List.of(Metric.GINI, Metric.NDCG, Metric.COVERAGE, Metric.NOVELTY);
      Bootstrap bootstrap = new Bootstrap(100, .9, 2);
      List<Estimate> estimates = report.estimates(metrics, 4, bootstrap);
      for (int m = 0; m < metrics.size(); m++) {
        assertEquals(report.value(metrics.get(m), 4), estimates.get(m).value(), 1e-12);
        assertEquals(report.cases(), estimates.get(m).users());
        assertEquals(metrics.get(m).ofCase(), estimates.get(m).low() < estimates.get(m).high());
      }
      assertEquals(bootstrap.mean(report.values(Metric.NDCG, 4)), estimates.get(1));
      assertEquals(Metric.values().length, Metric.telling(2).size());
      assertEquals(Metric.values().length - 3, Metric.telling(1).size());
    }
  }

  @Test
  void impossibleLengthsAndCasesAreRefused() {
    try (Dataset d = BaselinesTest.random(new Random(3), 9, 8, 6);
        Dataset single = BaselinesTest.dataset(new int[] {1}, new int[] {2})) {
      Split split = Splits.leaveOneOut(d);
      Ranker ranker = Popularity.fit(split.train());
      for (int k : new int[] {0, -1, d.items() + 1}) {
        String message =
            assertThrows(IllegalArgumentException.class, () -> RankingReport.of(ranker, split, k))
                .getMessage();
        assertTrue(message.contains("1 to " + d.items()), message);
      }
      RankingReport report = RankingReport.of(ranker, split, 3);
      assertThrows(IllegalArgumentException.class, () -> report.value(Metric.NDCG, 4));
      assertThrows(IllegalArgumentException.class, () -> report.value(Metric.GINI, 0));
      Split empty = Splits.leaveOneOut(single);
      String none =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> RankingReport.of(Popularity.fit(empty.train()), empty, 1))
              .getMessage();
      assertTrue(none.contains("no case"), none);
      Sequences all = Sequences.all(single);
      ItemCounts counts = ItemCounts.of(all);
      assertThrows(
          IllegalArgumentException.class,
          () -> new RankingReport(new int[][] {{1}}, new int[][] {{1}}, all, counts));
      assertThrows(
          IllegalArgumentException.class,
          () -> new RankingReport(new int[][] {{1}, {1, 2}}, new int[][] {{1}, {1}}, all, counts));
      assertThrows(
          IllegalArgumentException.class,
          () -> new RankingReport(new int[][] {{1}, {1}}, new int[][] {{1}, {}}, all, counts));
    }
  }

  @Test
  void metricsAreFoundByNameAndTheNearestAreOffered() {
    for (Metric metric : Metric.values()) {
      assertEquals(metric, Metric.named(metric.id().toUpperCase(Locale.ROOT)));
    }
    assertEquals("ndcg@10", Metric.NDCG.at(10));
    String message =
        assertThrows(IllegalArgumentException.class, () -> Metric.named("ndgc")).getMessage();
    assertTrue(message.contains("'ndgc'") && message.contains("\"ndcg\""), message);
  }
}
