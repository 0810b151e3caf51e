package dev.rhumb.eval;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Cases;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Split;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import java.util.function.IntToDoubleFunction;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/**
 * The lists that a {@link Ranker} gave, judged by every {@link Metric} at any k up to their length,
 * as a whole and case by case. A value is worked out when it is asked for.
 *
 * <p>A view of a dataset, which must stay open. Unchangeable, so any thread may read.
 */
public final class RankingReport {
  /** The smoothing of calibration: alpha of Steck (2018). */
  static final double CALIBRATION_ALPHA = .01;

  // Whole batches of the evaluator, so that its lists are those of one call for all.
  private static final int PART = 8 * Evaluator.BATCH;

  private final int[][] lists;
  private final int[][] relevant;
  private final Sequences histories;
  private final ItemCounts training;
  private final Attributes attributes;
  private final int length;

  /**
   * Judges lists.
   *
   * @param lists one for each history, best first, all of one length; 0 is an empty place, and none
   *     but empty places follow it
   * @param relevant the items of each case that count as hits; repeats count once
   * @param histories what the lists were asked for
   * @param training popularity in what was trained on
   * @throws IllegalArgumentException when the counts of lists, of cases and of histories differ, a
   *     list is of another length, or a case has nothing relevant
   */
  public RankingReport(int[][] lists, int[][] relevant, Sequences histories, ItemCounts training) {
    if (lists.length != histories.count() || relevant.length != histories.count()) {
      throw new IllegalArgumentException(
          lists.length
              + " lists and relevant items of "
              + relevant.length
              + " cases for "
              + histories.count()
              + " histories; give one each");
    }
    this.lists = lists.clone();
    this.relevant = new int[relevant.length][];
    this.histories = histories;
    this.training = training;
    attributes = histories.dataset().attributes();
    length = lists.length == 0 ? 0 : lists[0].length;
    for (int i = 0; i < lists.length; i++) {
      if (lists[i].length != length) {
        throw new IllegalArgumentException(
            "list " + i + " has " + lists[i].length + " places, list 0 has " + length);
      }
      this.relevant[i] = Arrays.stream(relevant[i]).sorted().distinct().toArray();
      if (this.relevant[i].length == 0) {
        throw new IllegalArgumentException("case " + i + " has no relevant item");
      }
    }
  }

  /**
   * Asks a ranker for lists of k items and judges them on the test cases of a split; popularity is
   * that of the training part.
   *
   * @throws IllegalArgumentException when k is not from 1 to V, or the split has no test case
   */
  public static RankingReport of(Ranker ranker, Split split, int k) {
    return of(ranker, split.test(), ItemCounts.of(split.train()), k);
  }

  /** As the other method, for any cases, with popularity counted already. */
  public static RankingReport of(Ranker ranker, Cases cases, ItemCounts training, int k) {
    return of(ranker, cases, training, k, done -> {});
  }

  /**
   * As the other methods, telling how it goes.
   *
   * @param progress is given the number of cases done, from time to time
   */
  public static RankingReport of(
      Ranker ranker, Cases cases, ItemCounts training, int k, IntConsumer progress) {
    requireLength(k, ranker.items());
    int n = cases.count();
    if (n == 0) {
      throw new IllegalArgumentException(
          "there is no case to judge by: no user has items enough for this split; choose another"
              + " split, or keep users with more items");
    }
    int[][] lists = new int[n][];
    for (int from = 0; from < n; from += PART) {
      int[] part = IntStream.range(from, Math.min(n, from + PART)).toArray();
      int[][] some = ranker.recommend(cases.histories().select(part), k, null);
      System.arraycopy(some, 0, lists, from, some.length);
      progress.accept(from + some.length);
    }
    return new RankingReport(
        lists,
        IntStream.range(0, n).mapToObj(i -> new int[] {cases.target(i)}).toArray(int[][]::new),
        cases.histories(),
        training);
  }

  /** Refuses a length of lists that is not from 1 to V. */
  public static void requireLength(int k, int items) {
    if (k < 1 || k > items) {
      throw new IllegalArgumentException(
          "k = " + k + " must be from 1 to " + items + ", the number of items in the catalogue");
    }
  }

  /** How many cases there are. */
  public int cases() {
    return lists.length;
  }

  /** The length of the lists: the largest k. */
  public int length() {
    return length;
  }

  /** The most relevant items that a case has; where it is 1, some metrics of accuracy coincide. */
  public int mostRelevant() {
    return Arrays.stream(relevant).mapToInt(items -> items.length).max().orElse(0);
  }

  /** What the lists were asked for. */
  public Sequences histories() {
    return histories;
  }

  /** The relevant items of case {@code i}, ascending, as a new array. */
  public int[] relevant(int i) {
    return relevant[i].clone();
  }

  /** The rank of the first hit of case {@code i}, from 1; 0 where the list has none. */
  public int rank(int i) {
    return Accuracy.firstHit(lists[i], relevant[i], length);
  }

  /** The metric at k over all cases: NaN where it is defined for none. */
  public double value(Metric metric, int k) {
    requireAtMostLength(k);
    return switch (metric) {
      case COVERAGE -> coverage(k);
      case INTER_LIST_DIVERSITY -> interListDiversity(k);
      case GINI -> gini(k);
      case POPULARITY_LIFT -> {
        double history = mean(IntStream.range(0, cases()).mapToDouble(this::historyPopularity));
        yield value(Metric.POPULARITY, k) / history - 1;
      }
      default -> mean(Arrays.stream(values(metric, k)));
    };
  }

  /**
   * The metric at k for each case, in the order of the histories, as a new array: NaN where it is
   * not defined.
   *
   * @throws IllegalArgumentException when it is no metric of a case, or lists are shorter than k
   */
  public double[] values(Metric metric, int k) {
    requireAtMostLength(k);
    if (!metric.ofCase()) {
      throw new IllegalArgumentException(metric.id() + " is of all lists together, not of a case");
    }
    return IntStream.range(0, cases()).mapToDouble(i -> of(metric, i, k)).toArray();
  }

  /**
   * The metrics at k: means with their intervals over users, and what is of all lists together
   * without one.
   */
  public List<Estimate> estimates(List<Metric> metrics, int k, Bootstrap bootstrap) {
    double[][] columns =
        metrics.stream().filter(Metric::ofCase).map(m -> values(m, k)).toArray(double[][]::new);
    Map<Integer, Integer> numbers = new HashMap<>();
    int[] users = new int[cases()];
    for (int i = 0; i < users.length; i++) {
      int next = numbers.size();
      users[i] = numbers.computeIfAbsent(histories.user(i), user -> next);
    }
    Iterator<Estimate> means = bootstrap.means(users, columns).iterator();
    return metrics.stream()
        .map(
            m ->
                m.ofCase()
                    ? means.next()
                    : new Estimate(value(m, k), Double.NaN, Double.NaN, numbers.size()))
        .toList();
  }

  /** HR, NDCG, MRR and coverage at k; each 0 where there is no case. */
  public RankingMetrics metrics(int k) {
    return cases() == 0
        ? new RankingMetrics(k, 0, 0, 0, 0, 0)
        : new RankingMetrics(
            k,
            cases(),
            value(Metric.HIT_RATE, k),
            value(Metric.NDCG, k),
            value(Metric.MRR, k),
            value(Metric.COVERAGE, k));
  }

  /**
   * The mean over lists of the share of their first k items that have each attribute, in the order
   * of {@link Attributes#names}; an item counts for each of its attributes. Lists without an item
   * are left out.
   */
  public double[] attributeShares(int k) {
    requireAtMostLength(k);
    double[] shares = new double[attributes.count()];
    int counted = 0;
    for (int[] list : lists) {
      int places = places(list, k);
      counted += places > 0 ? 1 : 0;
      for (int at = 0; at < places; at++) {
        for (int attribute : attributes.of(list[at])) {
          shares[attribute] += 1.0 / places;
        }
      }
    }
    for (int a = 0; a < shares.length; a++) {
      shares[a] /= counted;
    }
    return shares;
  }

  private double of(Metric metric, int i, int k) {
    int[] list = lists[i];
    return switch (metric) {
      case NOVELTY -> meanOfItems(list, k, this::selfInformation);
      case POPULARITY -> meanOfItems(list, k, training::interactions);
      case LONG_TAIL -> meanOfItems(list, k, item -> training.inHead(item) ? 0 : 1);
      case INTRA_LIST_DIVERSITY -> intraListDiversity(list, k);
      case CALIBRATION -> calibration(i, k);
      default -> Accuracy.of(metric, list, relevant[i], k);
    };
  }

  private static double meanOfItems(int[] list, int k, IntToDoubleFunction value) {
    return mean(Arrays.stream(list, 0, places(list, k)).mapToDouble(value));
  }

  private double selfInformation(int item) {
    if (training.sequences() == 0) {
      return Double.NaN;
    }
    return Math.log(training.sequences() / (double) Math.max(1, training.users(item)))
        / Math.log(2);
  }

  private double historyPopularity(int i) {
    return mean(
        IntStream.range(0, histories.length(i))
            .mapToDouble(p -> training.interactions(histories.item(i, p))));
  }

  /** How many lists hold each item, by its number; element 0 stays 0. */
  private int[] frequencies(int k) {
    int[] frequencies = new int[training.items() + 1];
    for (int[] list : lists) {
      for (int at = 0; at < places(list, k); at++) {
        frequencies[list[at]]++;
      }
    }
    return frequencies;
  }

  private double coverage(int k) {
    return Arrays.stream(frequencies(k)).filter(f -> f > 0).count() / (double) training.items();
  }

  private double interListDiversity(int k) {
    double shared = 0;
    for (int f : frequencies(k)) {
      shared += (double) f * (f - 1);
    }
    double n = cases();
    return n < 2 ? Double.NaN : 1 - shared / (k * n * (n - 1));
  }

  private double gini(int k) {
    int[] f = frequencies(k);
    Arrays.sort(f);
    int v = training.items();
    double weighted = 0;
    double total = 0;
    for (int j = 1; j <= v; j++) {
      weighted += (2.0 * j - v - 1) * f[j];
      total += f[j];
    }
    return weighted / (v * total);
  }

  private double intraListDiversity(int[] list, int k) {
    int places = places(list, k);
    int[][] sets = new int[places][];
    for (int at = 0; at < places; at++) {
      sets[at] = attributes.of(list[at]);
    }
    double sum = 0;
    int pairs = 0;
    for (int a = 1; a < places; a++) {
      for (int b = 0; b < a; b++) {
        if (sets[a].length > 0 && sets[b].length > 0) {
          int common = common(sets[a], sets[b]);
          sum += 1 - common / (double) (sets[a].length + sets[b].length - common);
          pairs++;
        }
      }
    }
    return sum / pairs;
  }

  /** How many numbers two ascending arrays share. */
  private static int common(int[] a, int[] b) {
    int common = 0;
    for (int i = 0, j = 0; i < a.length && j < b.length; ) {
      common += a[i] == b[j] ? 1 : 0;
      int step = Integer.compare(a[i], b[j]);
      i += step <= 0 ? 1 : 0;
      j += step >= 0 ? 1 : 0;
    }
    return common;
  }

  private double calibration(int i, int k) {
    int[] history = new int[histories.length(i)];
    histories.copy(i, 0, history.length, history, 0);
    double[] p = distribution(history, history.length);
    double[] q = distribution(lists[i], places(lists[i], k));
    if (p == null || q == null) {
      return Double.NaN;
    }
    double divergence = 0;
    for (int a = 0; a < p.length; a++) {
      if (p[a] > 0) {
        double smoothed = (1 - CALIBRATION_ALPHA) * q[a] + CALIBRATION_ALPHA * p[a];
        divergence += p[a] * Math.log(p[a] / smoothed);
      }
    }
    return divergence;
  }

  /** How the first {@code n} items are distributed over attributes; null where none has any. */
  private double[] distribution(int[] items, int n) {
    double[] distribution = new double[attributes.count()];
    int counted = 0;
    for (int at = 0; at < n; at++) {
      int[] set = attributes.of(items[at]);
      counted += set.length > 0 ? 1 : 0;
      for (int attribute : set) {
        distribution[attribute] += 1.0 / set.length;
      }
    }
    if (counted == 0) {
      return null;
    }
    for (int a = 0; a < distribution.length; a++) {
      distribution[a] /= counted;
    }
    return distribution;
  }

  /** How many of the first k places of a list are filled. */
  private static int places(int[] list, int k) {
    int places = 0;
    while (places < k && list[places] != 0) {
      places++;
    }
    return places;
  }

  /** The mean of the numbers that are not NaN, added up in order; NaN where there is none. */
  static double mean(DoubleStream values) {
    double sum = 0;
    int counted = 0;
    for (double value : values.toArray()) {
      if (!Double.isNaN(value)) {
        sum += value;
        counted++;
      }
    }
    return sum / counted;
  }

  private void requireAtMostLength(int k) {
    if (k < 1 || k > length && cases() > 0) {
      throw new IllegalArgumentException(
          "k = " + k + ", but the lists have " + length + " places; ask the ranker for more");
    }
  }
}
