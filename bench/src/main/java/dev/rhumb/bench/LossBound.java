package dev.rhumb.bench;

import dev.rhumb.eval.Estimate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * How far a concept's share of the lists can be raised before a given part of the model's NDCG is
 * lost. Shares and NDCG are means over users, linear between strengths; the bound is where NDCG
 * first falls below what must be kept. Intervals are of the percentile bootstrap: users are drawn
 * with replacement, and each draw has a bound of its own, so that they hold the noise of the bound
 * too.
 *
 * @param strength where the bound lies
 * @param share the share there
 * @param times that share over the model's
 */
record LossBound(Estimate strength, Estimate share, Estimate times) {
  private static final int RESAMPLES = 2000;
  private static final double OUTSIDE = .025;

  /**
   * By user.
   *
   * @param shares the concept's share of the list
   * @param ndcg NDCG of the list
   */
  record Lists(double[] shares, double[] ndcg) {}

  /**
   * Finds the bound.
   *
   * @param model the lists of the model as it is
   * @param strengths ascending
   * @param lists by strength
   * @param kept the part of NDCG that must be kept
   * @return NaN where NDCG is kept at all strengths or at none
   */
  static LossBound of(Lists model, double[] strengths, List<Lists> lists, double kept) {
    int users = model.shares.length;
    int[] drawn = new int[users];
    Arrays.setAll(drawn, user -> user);
    double[] bound = bound(model, strengths, lists, kept, drawn);
    List<double[]> resampled = new ArrayList<>();
    for (int r = 0; r < RESAMPLES; r++) {
      SplittableRandom random = new SplittableRandom(r);
      Arrays.setAll(drawn, i -> random.nextInt(users));
      resampled.add(bound(model, strengths, lists, kept, drawn));
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

  /** Strength, share, and share over the model's, over the drawn users. */
  private static double[] bound(
      Lists model, double[] strengths, List<Lists> lists, double kept, int[] drawn) {
    double least = kept * mean(model.ndcg, drawn);
    double before = mean(lists.getFirst().ndcg, drawn);
    for (int i = 1; i < strengths.length && before >= least; i++) {
      double now = mean(lists.get(i).ndcg, drawn);
      if (now < least) {
        double part = (before - least) / (before - now);
        double from = mean(lists.get(i - 1).shares, drawn);
        double share = from + part * (mean(lists.get(i).shares, drawn) - from);
        double strength = strengths[i - 1] + part * (strengths[i] - strengths[i - 1]);
        return new double[] {strength, share, share / mean(model.shares, drawn)};
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
