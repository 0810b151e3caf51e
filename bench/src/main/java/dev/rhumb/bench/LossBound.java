package dev.rhumb.bench;

import dev.rhumb.eval.Estimate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * How far a concept's share of the lists can be raised before a given part of NDCG is lost. Shares
 * and NDCG are means over users, linear between strengths; the bound is where NDCG first falls
 * below what must be kept. Intervals are of the percentile bootstrap: users are drawn with
 * replacement, and each draw has a bound of its own, so that they hold the noise of the bound too.
 *
 * @param strength where the bound lies
 * @param share the share there
 * @param times that share over the share at strength 0
 */
record LossBound(Estimate strength, Estimate share, Estimate times) {
  private static final int RESAMPLES = 2000;
  private static final double OUTSIDE = .025;

  /**
   * Finds the bound.
   *
   * @param strengths ascending, the first 0
   * @param shares by strength, then by user
   * @param ndcg likewise
   * @param kept the part of NDCG that must be kept
   * @return NaN where NDCG is kept at all strengths
   */
  static LossBound of(double[] strengths, double[][] shares, double[][] ndcg, double kept) {
    int users = shares[0].length;
    int[] drawn = new int[users];
    Arrays.setAll(drawn, user -> user);
    double[] bound = bound(strengths, shares, ndcg, kept, drawn);
    List<double[]> resampled = new ArrayList<>();
    for (int r = 0; r < RESAMPLES; r++) {
      SplittableRandom random = new SplittableRandom(r);
      Arrays.setAll(drawn, i -> random.nextInt(users));
      resampled.add(bound(strengths, shares, ndcg, kept, drawn));
    }
    Estimate[] estimates = new Estimate[bound.length];
    for (int i = 0; i < bound.length; i++) {
      int part = i;
      double[] sorted =
          resampled.stream()
              .mapToDouble(b -> b[part])
              .filter(value -> !Double.isNaN(value))
              .sorted()
              .toArray();
      estimates[i] =
          new Estimate(bound[i], quantile(sorted, OUTSIDE), quantile(sorted, 1 - OUTSIDE), users);
    }
    return new LossBound(estimates[0], estimates[1], estimates[2]);
  }

  /** Strength, share, and share over the share at 0, over the drawn users. */
  private static double[] bound(
      double[] strengths, double[][] shares, double[][] ndcg, double kept, int[] drawn) {
    double least = kept * mean(ndcg[0], drawn);
    double before = mean(ndcg[0], drawn);
    for (int i = 1; i < strengths.length; i++) {
      double now = mean(ndcg[i], drawn);
      if (now < least) {
        double part = (before - least) / (before - now);
        double from = mean(shares[i - 1], drawn);
        double share = from + part * (mean(shares[i], drawn) - from);
        double strength = strengths[i - 1] + part * (strengths[i] - strengths[i - 1]);
        return new double[] {strength, share, share / mean(shares[0], drawn)};
      }
      before = now;
    }
    return new double[] {Double.NaN, Double.NaN, Double.NaN};
  }

  private static double mean(double[] values, int[] drawn) {
    double sum = 0;
    for (int i : drawn) {
      sum += values[i];
    }
    return sum / drawn.length;
  }

  private static double quantile(double[] sorted, double part) {
    return sorted.length == 0
        ? Double.NaN
        : sorted[(int) Math.min(sorted.length - 1, Math.round(part * (sorted.length - 1)))];
  }
}
