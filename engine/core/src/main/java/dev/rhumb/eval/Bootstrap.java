package dev.rhumb.eval;

import dev.rhumb.kernels.Philox;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Percentile intervals by the bootstrap (Efron and Tibshirani, "An introduction to the bootstrap",
 * 1993, section 13.3): as many users as there are, drawn with replacement, {@code resamples} times;
 * the interval holds the middle {@code level} of the means. Users are drawn, not cases: a user's
 * cases stay together.
 *
 * <p>One seed gives the same intervals for the same values, whatever else is asked for. Time:
 * resamples x users x metrics. Unchangeable, so any thread may use it.
 *
 * @param resamples how many; 0 for no intervals
 * @param level the share of means that an interval holds, such as .95
 * @param seed of the draws
 */
public record Bootstrap(int resamples, double level, long seed) {
  /** Philox stream of the seeds of the resamples. */
  private static final long STREAM = 0x424F4F54L;

  /** Checks them. */
  public Bootstrap {
    if (resamples < 0) {
      throw new IllegalArgumentException(resamples + " resamples; there must be 0 or more");
    }
    if (!(level > 0 && level < 1)) {
      throw new IllegalArgumentException(
          "the level of an interval is " + level + "; it must be above 0 and below 1");
    }
  }

  /** 2,000 resamples, 95 %, seed 1. */
  public static Bootstrap standard() {
    return new Bootstrap(2000, .95, 1);
  }

  /** The mean of each column of scores over all cases that have a value, in the columns' order. */
  public List<Estimate> means(CaseScores scores) {
    return means(
        scores.userNumbers(),
        scores.columns().stream().map(scores::values).toArray(double[][]::new));
  }

  /** The mean of values, each of a user of its own; NaN is none. */
  public Estimate mean(double[] values) {
    return means(IntStream.range(0, values.length).toArray(), values).getFirst();
  }

  /**
   * Means of several columns over the same cases.
   *
   * @param users the user of each case, numbered from 0 without a gap
   * @param columns for each a value of each case; NaN is none
   */
  List<Estimate> means(int[] users, double[]... columns) {
    int n = Arrays.stream(users).max().orElse(-1) + 1;
    int m = columns.length;
    // By user, then column: the sum of values and how many there are.
    double[] sums = new double[Math.multiplyExact(n, m)];
    int[] counts = new int[sums.length];
    double[] total = new double[m];
    int[] counted = new int[m];
    int[] withValue = new int[m];
    for (int c = 0; c < m; c++) {
      for (int i = 0; i < users.length; i++) {
        if (!Double.isNaN(columns[c][i])) {
          int at = users[i] * m + c;
          withValue[c] += counts[at] == 0 ? 1 : 0;
          sums[at] += columns[c][i];
          counts[at]++;
          total[c] += columns[c][i];
          counted[c]++;
        }
      }
    }
    double[][] means = resample(n, m, sums, counts);
    List<Estimate> estimates = new ArrayList<>();
    for (int c = 0; c < m; c++) {
      double[] sorted = Arrays.stream(means[c]).filter(x -> !Double.isNaN(x)).sorted().toArray();
      boolean sure = withValue[c] > 1 && sorted.length > 0;
      estimates.add(
          new Estimate(
              total[c] / counted[c],
              sure ? quantile(sorted, (1 - level) / 2) : Double.NaN,
              sure ? quantile(sorted, (1 + level) / 2) : Double.NaN,
              withValue[c]));
    }
    return estimates;
  }

  /** The mean of each column in each resample. */
  private double[][] resample(int n, int m, double[] sums, int[] counts) {
    int runs = n == 0 || m == 0 ? 0 : resamples;
    double[][] means = new double[m][runs];
    double[] sum = new double[m];
    long[] count = new long[m];
    for (int r = 0; r < runs; r++) {
      SplittableRandom random = generator(seed, STREAM, r);
      Arrays.fill(sum, 0);
      Arrays.fill(count, 0);
      for (int draw = 0; draw < n; draw++) {
        int from = random.nextInt(n) * m;
        for (int c = 0; c < m; c++) {
          sum[c] += sums[from + c];
          count[c] += counts[from + c];
        }
      }
      for (int c = 0; c < m; c++) {
        means[c][r] = sum[c] / count[c];
      }
    }
    return means;
  }

  /** A generator for one of many runs, so that each depends on its number alone. */
  static SplittableRandom generator(long seed, long stream, int run) {
    return new SplittableRandom(
        (long) Philox.bits(seed, stream, run, 0) << 32
            | Philox.bits(seed, stream, run, 1) & 0xFFFFFFFFL);
  }

  /** The quantile between the two nearest of ascending numbers, by their distance. */
  private static double quantile(double[] sorted, double share) {
    double at = share * (sorted.length - 1);
    int below = (int) at;
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
  }
}
