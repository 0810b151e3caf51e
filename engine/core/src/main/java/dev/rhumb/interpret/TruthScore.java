package dev.rhumb.interpret;

import java.util.List;
import java.util.function.ToDoubleFunction;

/**
 * How well columns find labels that are known to be true, such as the planted interests of a
 * generated world. What is chosen is chosen on the first half of the users; the figures come from
 * the second. {@link TruthScorer} makes it.
 *
 * <p>A column <em>fires</em> where its value, with the sign of the match, is above a threshold: 0
 * for features, the best one on the first half for columns that have no firing of their own.
 *
 * @param columns C
 * @param positions of the second half
 * @param labels those with at least one position, and one without, in each half
 * @param meanF1 mean over labels of F1 of the column with the best F1
 * @param meanPrecision mean over labels of that column's precision
 * @param meanRecall mean over labels of that column's recall
 * @param meanAuc mean over labels of the AUC of the column with the best AUC
 * @param meanCosine mean over labels of |cosine| between the column with the best and the label's
 *     direction; NaN without directions
 * @param found share of labels whose best column has an F1 of {@link #FOUND} or more
 * @param own the same share, where no two labels may have one column: the assignment with the
 *     largest sum of F1 on the first half (Hungarian method, exact)
 * @param distinct how many columns are the best of some label, over the number of labels
 * @param split labels that are spread over two columns or more
 * @param duplicated labels whose best column has a copy
 * @param absorbed labels that are absorbed into their parents' blind spot, of {@code withParent}
 * @param withParent labels that have a parent among the labels
 */
public record TruthScore(
    int columns,
    int positions,
    List<Label> labels,
    double meanF1,
    double meanPrecision,
    double meanRecall,
    double meanAuc,
    double meanCosine,
    double found,
    double own,
    double distinct,
    int split,
    int duplicated,
    int absorbed,
    int withParent) {

  /** The F1 from which on a label counts as found. */
  public static final double FOUND = .5;

  /**
   * A column that stands for a label.
   *
   * @param column from 0; -1 where there is none, and then all figures are NaN
   * @param negative whether it stands for the label by being small
   * @param threshold above which it fires, after the sign
   * @param chosen the figure by which it was chosen, on the first half
   * @param precision P(label | fires)
   * @param recall P(fires | label)
   * @param f1 their harmonic mean; 0 where it never fires
   * @param auc the probability that a position with the label has a larger value than one without,
   *     ties counting one half
   * @param cosine between the column's direction and the label's, of the first half; NaN without
   */
  public record Match(
      int column,
      boolean negative,
      double threshold,
      double chosen,
      double precision,
      double recall,
      double f1,
      double auc,
      double cosine) {}

  /**
   * What is known of one label.
   *
   * @param name its name
   * @param parent its parent's name, or null
   * @param positions that have it, in the second half
   * @param byF1 the column with the best F1
   * @param byAuc the column with the best AUC
   * @param byCosine the column with the best |cosine|
   * @param own the column of the one-to-one assignment
   * @param parts how many columns it takes, each mostly within the label, until one more raises the
   *     F1 of their union by less than {@link TruthScorer#GAIN}; 0 where no column is mostly within
   * @param copies further columns that fire where {@code byF1} does: intersection over union of
   *     {@link TruthScorer#SAME} or more
   * @param absorption P(the parent's column is silent, this label's fires | label); NaN without a
   *     parent, or where both have the same column
   * @param absorbed whether the absorption is one half or more, though the parent's column fires at
   *     half or more of the parent's other positions: the parent's column has learnt to leave this
   *     label out
   */
  public record Label(
      String name,
      String parent,
      int positions,
      Match byF1,
      Match byAuc,
      Match byCosine,
      Match own,
      int parts,
      int copies,
      double absorption,
      boolean absorbed) {}

  /** Copies the list. */
  public TruthScore {
    labels = List.copyOf(labels);
  }

  /** The summary of labels. */
  TruthScore(int columns, int positions, List<Label> labels) {
    this(
        columns,
        positions,
        labels,
        mean(labels, label -> label.byF1().f1()),
        mean(labels, label -> label.byF1().precision()),
        mean(labels, label -> label.byF1().recall()),
        mean(labels, label -> label.byAuc().auc()),
        mean(labels, label -> Math.abs(label.byCosine().cosine())),
        mean(labels, label -> label.byF1().f1() >= FOUND ? 1 : 0),
        mean(labels, label -> label.own().f1() >= FOUND ? 1 : 0),
        labels.stream().mapToInt(label -> label.byF1().column()).distinct().count()
            / (double) labels.size(),
        (int) labels.stream().filter(label -> label.parts() > 1).count(),
        (int) labels.stream().filter(label -> label.copies() > 0).count(),
        (int) labels.stream().filter(Label::absorbed).count(),
        (int) labels.stream().filter(label -> label.parent() != null).count());
  }

  private static double mean(List<Label> labels, ToDoubleFunction<Label> figure) {
    return labels.stream()
        .mapToDouble(figure)
        .filter(value -> !Double.isNaN(value))
        .average()
        .orElse(Double.NaN);
  }
}
