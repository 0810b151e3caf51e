package dev.rhumb.steer;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Cases;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.sae.SparseAutoencoder;
import java.util.ArrayList;
import java.util.List;

/**
 * What steering a concept does to recommendations, by strength.
 *
 * @param concept the concept, which is an attribute of items
 * @param original the model as it is
 * @param reconstructed the reconstruction in the hidden state's place, nothing edited
 * @param points edited, by write in the order given, then by strength
 */
public record ControlCurve(
    String concept, Outcome original, Outcome reconstructed, List<Point> points) {

  /**
   * Recommendations in one state.
   *
   * @param share mean over cases of the share of the list that has the attribute
   * @param metrics ranking metrics
   */
  public record Outcome(double share, RankingMetrics metrics) {}

  /**
   * One strength.
   *
   * @param write how the edit was written back
   * @param strength as {@link Concepts} counts it
   * @param outcome what it gave
   */
  public record Point(EditTable.Write write, double strength, Outcome outcome) {}

  /** Copies the list. */
  public ControlCurve {
    points = List.copyOf(points);
  }

  /**
   * Curves of some concepts.
   *
   * @param names which concepts
   * @param strengths which strengths
   * @param writes which ways to write back
   * @param positions at which positions hidden states are replaced and edited
   * @param k length of a list
   * @param done runs after each evaluation, of which there are 2 + names x writes x strengths
   * @throws IllegalArgumentException when a concept is unknown; it offers the nearest names
   */
  public static List<ControlCurve> of(
      Kernels kernels,
      Model model,
      SparseAutoencoder sae,
      Concepts concepts,
      List<String> names,
      double[] strengths,
      List<EditTable.Write> writes,
      Steering.Positions positions,
      Cases cases,
      int k,
      Runnable done) {
    sae.requireFits(model.config());
    names.forEach(concepts::parts);
    Attributes attributes = cases.histories().dataset().attributes();
    int[] targets = Evaluator.targets(cases);
    List<ControlCurve> curves = new ArrayList<>();
    try (Evaluator evaluator = new Evaluator(kernels, model)) {
      int[][] plain = evaluator.recommend(cases, k, null);
      done.run();
      Steering nothing = Steering.of(List.of()).written(EditTable.Write.REPLACE).at(positions);
      int[][] replaced = lists(kernels, sae, nothing, evaluator, cases, k);
      done.run();
      for (String name : names) {
        int attribute = attributes.find(name);
        List<Point> points = new ArrayList<>();
        for (EditTable.Write write : writes) {
          for (double strength : strengths) {
            Steering steering = concepts.steer(name, strength).written(write).at(positions);
            int[][] lists = lists(kernels, sae, steering, evaluator, cases, k);
            points.add(
                new Point(
                    write, strength, outcome(lists, targets, k, attributes, attribute, model)));
            done.run();
          }
        }
        curves.add(
            new ControlCurve(
                attributes.names().get(attribute),
                outcome(plain, targets, k, attributes, attribute, model),
                outcome(replaced, targets, k, attributes, attribute, model),
                points));
      }
    }
    return curves;
  }

  private static int[][] lists(
      Kernels kernels,
      SparseAutoencoder sae,
      Steering steering,
      Evaluator evaluator,
      Cases cases,
      int k) {
    try (SteeringEdit edit = new SteeringEdit(kernels, sae, steering)) {
      return evaluator.recommend(cases, k, edit);
    }
  }

  private static Outcome outcome(
      int[][] lists, int[] targets, int k, Attributes attributes, int attribute, Model model) {
    return new Outcome(
        RankingMetrics.attributeShare(lists, k, attributes, attribute),
        RankingMetrics.of(lists, targets, k, model.config().items()));
  }
}
