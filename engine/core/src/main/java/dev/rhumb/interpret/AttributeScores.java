package dev.rhumb.interpret;

import dev.rhumb.data.Attributes;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The best columns for each attribute: chosen by Pearson's r on one half of the users, scored on
 * the other.
 *
 * @param scores by attribute in the order of their names, then by rank; an attribute for which no
 *     correlation is defined has none
 * @param meanChosen mean over attributes of the best column's r where it was chosen
 * @param meanCorrelation the same, held out
 * @param meanAuc mean over attributes of the best column's ROC-AUC, held out
 * @param meanFires mean over attributes of the best column's P(fires | attribute), held out
 */
public record AttributeScores(
    List<AttributeScore> scores,
    double meanChosen,
    double meanCorrelation,
    double meanAuc,
    double meanFires) {

  private static final double FALSE_DISCOVERY_RATE = 0.05;

  /** Copies the list. */
  public AttributeScores {
    scores = List.copyOf(scores);
  }

  /** Means over the best columns of given scores. */
  AttributeScores(List<AttributeScore> scores) {
    this(
        scores,
        mean(scores, AttributeScore::chosenCorrelation),
        mean(scores, AttributeScore::correlation),
        mean(scores, AttributeScore::auc),
        mean(scores, AttributeScore::firesGivenAttribute));
  }

  /**
   * Chooses and scores.
   *
   * @param eitherSign whether a column may stand for an attribute by being small, as a hidden
   *     dimension does: then |r| and max(AUC, 1 - AUC) count
   * @param perAttribute how many columns to give for each attribute
   */
  public static AttributeScores of(
      Columns data, Attributes labels, boolean eitherSign, int perAttribute) {
    return of(
        FeatureStatistics.of(data, labels, Half.FIRST),
        FeatureStatistics.of(data, labels, Half.SECOND),
        labels,
        eitherSign,
        perAttribute);
  }

  /**
   * Chooses and scores on the same users, all of them, as reports that hold nothing out do. The
   * figures called held out are not: they are for comparison with such reports alone.
   */
  public static AttributeScores notHeldOut(Columns data, Attributes labels, boolean eitherSign) {
    FeatureStatistics all = FeatureStatistics.of(data, labels, Half.BOTH);
    return of(all, all, labels, eitherSign, 1);
  }

  static AttributeScores of(
      FeatureStatistics chooser,
      FeatureStatistics judge,
      Attributes labels,
      boolean eitherSign,
      int perAttribute) {
    List<AttributeScore> scores = new ArrayList<>();
    for (int a = 0; a < labels.count(); a++) {
      int attribute = a;
      int[] best =
          IntStream.range(0, chooser.columns())
              .filter(c -> !Double.isNaN(chooser.correlation(c, attribute)))
              .boxed()
              .sorted(
                  Comparator.<Integer>comparingDouble(
                          c -> -signed(chooser.correlation(c, attribute), eitherSign))
                      .thenComparing(Comparator.naturalOrder()))
              .limit(perAttribute)
              .mapToInt(Integer::intValue)
              .toArray();
      for (int i = 0; i < best.length; i++) {
        scores.add(score(chooser, judge, labels, best[i], a, i + 1, eitherSign));
      }
    }
    return new AttributeScores(tested(scores));
  }

  static AttributeScore score(
      FeatureStatistics chooser,
      FeatureStatistics judge,
      Attributes labels,
      int column,
      int attribute,
      int rank,
      boolean eitherSign) {
    double auc = judge.auc(column, attribute);
    return new AttributeScore(
        labels.names().get(attribute),
        rank,
        column,
        signed(chooser.correlation(column, attribute), eitherSign),
        signed(judge.correlation(column, attribute), eitherSign),
        eitherSign ? Math.max(auc, 1 - auc) : auc,
        judge.firesGiven(column, attribute),
        judge.givenFires(column, attribute),
        judge.pValue(column, attribute),
        false);
  }

  /**
   * Says which are significant. The pairs were chosen on other users than those that they are
   * tested on, so only the tests of the chosen pairs count as tries. A null entry stays one.
   */
  static List<AttributeScore> tested(List<AttributeScore> scores) {
    double threshold =
        FeatureStatistics.benjaminiHochberg(
            scores.stream()
                .mapToDouble(score -> score == null ? Double.NaN : score.pValue())
                .toArray(),
            FALSE_DISCOVERY_RATE);
    List<AttributeScore> tested = new ArrayList<>();
    for (AttributeScore score : scores) {
      tested.add(score == null ? null : score.withSignificant(score.pValue() <= threshold));
    }
    return tested;
  }

  private static double signed(double correlation, boolean eitherSign) {
    return eitherSign ? Math.abs(correlation) : correlation;
  }

  private static double mean(
      List<AttributeScore> scores, java.util.function.ToDoubleFunction<AttributeScore> figure) {
    return scores.stream()
        .filter(score -> score.rank() == 1)
        .mapToDouble(figure)
        .filter(value -> !Double.isNaN(value))
        .average()
        .orElse(Double.NaN);
  }
}
