package dev.rhumb.eval;

import java.util.Arrays;
import java.util.Comparator;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Tests of whether paired differences are about 0: one difference for each user, the first model's
 * value minus the second's. All are two-sided. Which of them suits rankings: Smucker, Allan and
 * Carterette, "A comparison of statistical significance tests for information retrieval
 * evaluation", CIKM 2007 (the permutation test and the t-test agree; Wilcoxon's tests something
 * else).
 */
public final class PairedTests {
  /** Up to so many differences that are not 0 the permutation test goes through all signs. */
  public static final int ALL_SIGNS = 20;

  /** Up to so many differences that are not 0 Wilcoxon's test is exact. */
  public static final int EXACT_RANKS = 50;

  private static final long STREAM = 0x5045524DL;

  private PairedTests() {}

  /** Student's paired t-test: 1 where all differences are 0; NaN for fewer than two. */
  public static double student(double[] differences) {
    int n = differences.length;
    if (n < 2) {
      return Double.NaN;
    }
    double mean = Arrays.stream(differences).sum() / n;
    double squares = 0;
    for (double d : differences) {
      squares += (d - mean) * (d - mean);
    }
    return mean == 0 ? 1 : TwoSided.student(mean / Math.sqrt(squares / (n - 1) / n), n - 1);
  }

  /**
   * Fisher's permutation test of the mean: how often a mean as far from 0 arises when each
   * difference has its sign by chance. Exact up to {@value #ALL_SIGNS} differences that are not 0;
   * above, {@code permutations} drawn signs and (b + 1) / (permutations + 1) (Phipson and Smyth,
   * "Permutation p-values should never be zero", 2010). NaN without any difference, 1 where all are
   * 0.
   *
   * @param permutations how many; 1 or more
   * @param seed of the drawn signs
   */
  public static double permutation(double[] differences, int permutations, long seed) {
    if (permutations < 1) {
      throw new IllegalArgumentException(permutations + " permutations; there must be 1 or more");
    }
    if (differences.length == 0) {
      return Double.NaN;
    }
    // A 0 is the same with either sign.
    double[] d = Arrays.stream(differences).filter(x -> x != 0).toArray();
    double seen = Math.abs(Arrays.stream(d).sum());
    // Sums in another order that are equal on paper must count as equal.
    double least = seen - 1e-12 * Arrays.stream(d).map(Math::abs).sum();
    return d.length <= ALL_SIGNS ? allSigns(d, least) : drawnSigns(d, least, permutations, seed);
  }

  private static double allSigns(double[] d, double least) {
    long runs = 1L << d.length;
    long asFar = 0;
    double[] signed = d.clone();
    for (long run = 1; run <= runs; run++) {
      asFar += Math.abs(Arrays.stream(signed).sum()) >= least ? 1 : 0;
      // Gray's code: from one run to the next a single sign changes.
      int flipped = Long.numberOfTrailingZeros(run);
      if (flipped < d.length) {
        signed[flipped] = -signed[flipped];
      }
    }
    return asFar / (double) runs;
  }

  private static double drawnSigns(double[] d, double least, int permutations, long seed) {
    long asFar = 0;
    for (int run = 0; run < permutations; run++) {
      SplittableRandom random = Bootstrap.generator(seed, STREAM, run);
      double sum = 0;
      for (int i = 0; i < d.length; i += Long.SIZE) {
        long signs = random.nextLong();
        for (int j = i; j < Math.min(d.length, i + Long.SIZE); j++, signs >>>= 1) {
          sum += (signs & 1) == 0 ? d[j] : -d[j];
        }
      }
      asFar += Math.abs(sum) >= least ? 1 : 0;
    }
    return (asFar + 1.0) / (permutations + 1.0);
  }

  /**
   * Wilcoxon's signed-rank test: differences of 0 are left out, equal sizes share their mean rank.
   * Exact, also with shared ranks, up to {@value #EXACT_RANKS} differences that are not 0; above,
   * the normal approximation with the correction for shared ranks and for continuity. NaN without
   * any difference, 1 where all are 0.
   */
  public static double wilcoxon(double[] differences) {
    return wilcoxon(differences, EXACT_RANKS);
  }

  /** Exact up to a given number of differences. */
  static double wilcoxon(double[] differences, int exactUpTo) {
    if (differences.length == 0) {
      return Double.NaN;
    }
    double[] d =
        Arrays.stream(differences)
            .filter(x -> x != 0)
            .boxed()
            .sorted(Comparator.comparingDouble(Math::abs))
            .mapToDouble(Double::doubleValue)
            .toArray();
    int n = d.length;
    if (n == 0) {
      return 1;
    }
    // Twice the ranks, so that shared ones are whole numbers too.
    long[] ranks = new long[n];
    double shared = 0;
    for (int from = 0, to = 0; from < n; from = to) {
      while (to < n && Math.abs(d[to]) == Math.abs(d[from])) {
        to++;
      }
      Arrays.fill(ranks, from, to, from + 1L + to);
      double t = to - from;
      shared += t * t * t - t;
    }
    long positive = IntStream.range(0, n).filter(i -> d[i] > 0).mapToLong(i -> ranks[i]).sum();
    if (n <= exactUpTo) {
      return exactRanks(ranks, positive);
    }
    double mean = n * (n + 1.0) / 4;
    double variance = n * (n + 1.0) * (2.0 * n + 1) / 24 - shared / 48;
    double distance = Math.abs(positive / 2.0 - mean);
    return TwoSided.normal(Math.max(0, distance - .5) / Math.sqrt(variance));
  }

  /**
   * Twice the smaller tail of the sum of the ranks that are positive, each with probability 1/2.
   */
  private static double exactRanks(long[] ranks, long positive) {
    int total = (int) Arrays.stream(ranks).sum();
    double[] probability = new double[total + 1];
    probability[0] = 1;
    int reached = 0;
    for (long rank : ranks) {
      reached += (int) rank;
      for (int sum = reached; sum >= 0; sum--) {
        double with = sum >= rank ? probability[sum - (int) rank] : 0;
        probability[sum] = (probability[sum] + with) / 2;
      }
    }
    double below = 0;
    for (int sum = 0; sum <= Math.min(positive, total - positive); sum++) {
      below += probability[sum];
    }
    return Math.min(1, 2 * below);
  }

  /**
   * Holm's correction for several tests ("A simple sequentially rejective multiple test procedure",
   * 1979): with the m probabilities ascending, the j-th times m - j + 1, never below the one before
   * and at most 1. NaN is no test and stays.
   *
   * @return in the order given, as a new array
   */
  public static double[] holm(double[] probabilities) {
    int[] order =
        IntStream.range(0, probabilities.length)
            .filter(i -> !Double.isNaN(probabilities[i]))
            .boxed()
            .sorted(Comparator.comparingDouble(i -> probabilities[i]))
            .mapToInt(Integer::intValue)
            .toArray();
    double[] adjusted = probabilities.clone();
    double before = 0;
    for (int j = 0; j < order.length; j++) {
      before = Math.max(before, Math.min(1, (order.length - j) * probabilities[order[j]]));
      adjusted[order[j]] = before;
    }
    return adjusted;
  }
}
