package dev.rhumb.steer;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Finds the few features whose decoder directions together come nearest to a constant on the scores
 * of an attribute's items, which of all changes that make the attribute as probable moves the
 * model's distribution least. Nearest: the variance, under the model's own distribution, of what
 * they do to the scores beside the constant is smallest. Orthogonal matching pursuit (Pati,
 * Rezaiifar and Krishnaprasad 1993) with amounts above 0, as in non-negative least squares (Lawson
 * and Hanson 1974): each round takes the feature whose effect goes best with what is left, refits
 * all amounts, and drops features whose amount is not above 0.
 */
final class FeaturePursuit {
  /** A feature, and how much of it goes with 1 on the scores. */
  record Amount(int feature, double amount) {}

  private final ScoreEffect effect;
  private final int[] features;
  private final double[][] directions;
  private final double[][] informed;
  private final double[] cost;

  /**
   * Prepares.
   *
   * @param features which may be taken
   * @param directions (F, D), decoder rows of those, in their order
   */
  FeaturePursuit(ScoreEffect effect, int[] features, double[][] directions) {
    this.effect = effect;
    this.features = features;
    this.directions = directions;
    informed = new double[features.length][];
    cost = new double[features.length];
    for (int f = 0; f < features.length; f++) {
      informed[f] = effect.informed(directions[f]);
      cost[f] = ScoreEffect.dot(directions[f], informed[f]);
    }
  }

  /**
   * Up to {@code most} features for an attribute, the largest amount first, scaled so that together
   * they add to its probability, to first order, what a constant of 1 does; none where no feature
   * makes it more probable.
   */
  List<Amount> of(int attribute, int most) {
    double[] gain = new double[features.length];
    for (int f = 0; f < gain.length; f++) {
      gain[f] = ScoreEffect.dot(directions[f], effect.gradient(attribute));
    }
    List<Integer> chosen = new ArrayList<>();
    double[] amounts = {};
    for (int round = 0; round < most; round++) {
      int next = next(chosen, amounts, gain);
      if (next < 0) {
        break;
      }
      chosen.add(next);
      amounts = fit(chosen, gain);
    }
    double gained = 0;
    for (int i = 0; i < amounts.length; i++) {
      gained += amounts[i] * gain[chosen.get(i)];
    }
    double scale = effect.spread(attribute) / gained;
    double[] fitted = amounts;
    return IntStream.range(0, fitted.length)
        .mapToObj(i -> new Amount(features[chosen.get(i)], scale * fitted[i]))
        .sorted(Comparator.comparingDouble(amount -> -amount.amount()))
        .toList();
  }

  /** The feature whose effect goes best with what is left; -1 when none adds to it. */
  private int next(List<Integer> chosen, double[] amounts, double[] gain) {
    int best = -1;
    double bestFit = 0;
    for (int f = 0; f < features.length; f++) {
      if (chosen.contains(f) || !(cost[f] > 0)) {
        continue;
      }
      double left = gain[f];
      for (int i = 0; i < amounts.length; i++) {
        left -= amounts[i] * ScoreEffect.dot(directions[chosen.get(i)], informed[f]);
      }
      double fit = left / Math.sqrt(cost[f]);
      // What rounding leaves of nothing is nothing.
      if (fit > Math.max(bestFit, 1e-6 * Math.abs(gain[f]) / Math.sqrt(cost[f]))) {
        bestFit = fit;
        best = f;
      }
    }
    return best;
  }

  /** The best amounts of the chosen features; those whose amount is not above 0 are dropped. */
  private double[] fit(List<Integer> chosen, double[] gain) {
    while (!chosen.isEmpty()) {
      int n = chosen.size();
      double[][] products = new double[n][n];
      double[] gains = new double[n];
      for (int i = 0; i < n; i++) {
        gains[i] = gain[chosen.get(i)];
        for (int j = 0; j < n; j++) {
          products[i][j] = ScoreEffect.dot(directions[chosen.get(i)], informed[chosen.get(j)]);
        }
      }
      double[] amounts = solve(products, gains);
      int worst = 0;
      for (int i = 1; i < n; i++) {
        worst = amounts[i] < amounts[worst] ? i : worst;
      }
      if (amounts[worst] > 0) {
        return amounts;
      }
      chosen.remove(worst);
    }
    return new double[0];
  }

  /** A x = b for a symmetric A above 0, by Cholesky; a ridge holds what is nearly dependent. */
  static double[] solve(double[][] a, double[] b) {
    int n = b.length;
    double[][] l = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j <= i; j++) {
        double sum = a[i][j] + (i == j ? 1e-10 * a[i][i] : 0);
        for (int k = 0; k < j; k++) {
          sum -= l[i][k] * l[j][k];
        }
        l[i][j] = i == j ? Math.sqrt(sum) : sum / l[j][j];
      }
    }
    double[] x = b.clone();
    for (int i = 0; i < n; i++) {
      for (int k = 0; k < i; k++) {
        x[i] -= l[i][k] * x[k];
      }
      x[i] /= l[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
      for (int k = i + 1; k < n; k++) {
        x[i] -= l[k][i] * x[k];
      }
      x[i] /= l[i][i];
    }
    return x;
  }
}
