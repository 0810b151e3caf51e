package dev.rhumb.eval;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * One metric of two rankers on the same users, who are told apart by chance or not. A user's
 * difference is the mean over those cases that have a value from both.
 *
 * @param metric the column, such as {@code ndcg@10}
 * @param first the first ranker's mean over those cases
 * @param second the second's
 * @param difference first minus second, with its bootstrap interval
 * @param better on how many users the first is above the second
 * @param worse on how many it is below
 * @param student Student's paired t-test
 * @param permutation the permutation test of the mean
 * @param wilcoxon Wilcoxon's signed-rank test
 */
public record Comparison(
    String metric,
    double first,
    double second,
    Estimate difference,
    int better,
    int worse,
    Probability student,
    Probability permutation,
    Probability wilcoxon) {

  /** How many permutations are drawn where there are too many to go through. */
  public static final int PERMUTATIONS = 10_000;

  /**
   * How likely so large a difference is by chance.
   *
   * @param alone of this test by itself
   * @param corrected by Holm's method for all metrics of one comparison
   */
  public record Probability(double alone, double corrected) {}

  private record Pair(double[] first, double[] second, double[] ofUsers) {}

  /**
   * Compares two rankers on some columns that both have; correction is for all of them.
   *
   * @param bootstrap of the interval; its seed is that of the {@value #PERMUTATIONS} drawn
   *     permutations too
   * @throws IllegalArgumentException when the two were not judged on the same data, split, users
   *     and targets, or lack a column
   */
  public static List<Comparison> of(
      CaseScores first, CaseScores second, List<String> columns, Bootstrap bootstrap) {
    first.requireSameCases(second);
    int[] users = first.userNumbers();
    List<Pair> pairs = new ArrayList<>();
    double[][] differences = new double[columns.size()][];
    for (int c = 0; c < differences.length; c++) {
      double[] a = first.values(columns.get(c));
      double[] b = second.values(columns.get(c));
      differences[c] = IntStream.range(0, a.length).mapToDouble(i -> a[i] - b[i]).toArray();
      for (int i = 0; i < a.length; i++) {
        if (Double.isNaN(differences[c][i])) {
          a[i] = Double.NaN;
          b[i] = Double.NaN;
        }
      }
      pairs.add(new Pair(a, b, ofUsers(users, differences[c])));
    }
    List<Estimate> estimates = bootstrap.means(users, differences);
    double[] student = tests(pairs, PairedTests::student);
    double[] permutation =
        tests(pairs, d -> PairedTests.permutation(d, PERMUTATIONS, bootstrap.seed()));
    double[] wilcoxon = tests(pairs, PairedTests::wilcoxon);
    List<Comparison> comparisons = new ArrayList<>();
    for (int c = 0; c < differences.length; c++) {
      Pair pair = pairs.get(c);
      comparisons.add(
          new Comparison(
              columns.get(c),
              RankingReport.mean(Arrays.stream(pair.first)),
              RankingReport.mean(Arrays.stream(pair.second)),
              estimates.get(c),
              (int) Arrays.stream(pair.ofUsers).filter(d -> d > 0).count(),
              (int) Arrays.stream(pair.ofUsers).filter(d -> d < 0).count(),
              probability(student, c),
              probability(permutation, c),
              probability(wilcoxon, c)));
    }
    return comparisons;
  }

  private static double[] tests(List<Pair> pairs, ToDoubleFunction<double[]> test) {
    return pairs.stream().map(Pair::ofUsers).mapToDouble(test).toArray();
  }

  private static Probability probability(double[] alone, int c) {
    return new Probability(alone[c], PairedTests.holm(alone)[c]);
  }

  /** The mean difference of each user who has one. */
  private static double[] ofUsers(int[] users, double[] differences) {
    int n = Arrays.stream(users).max().orElse(-1) + 1;
    double[] sums = new double[n];
    int[] counts = new int[n];
    for (int i = 0; i < users.length; i++) {
      if (!Double.isNaN(differences[i])) {
        sums[users[i]] += differences[i];
        counts[users[i]]++;
      }
    }
    return IntStream.range(0, n)
        .filter(u -> counts[u] > 0)
        .mapToDouble(u -> sums[u] / counts[u])
        .toArray();
  }
}
