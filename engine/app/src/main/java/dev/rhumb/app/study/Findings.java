package dev.rhumb.app.study;

import dev.rhumb.data.Catalogue;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.interpret.AttributeScores;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.sae.SaeMetrics;
import dev.rhumb.steer.ControlCurve;
import dev.rhumb.steer.ReconstructionCost;
import dev.rhumb.train.EpochReport;
import java.util.List;

/**
 * All that was found out about a model and its autoencoder.
 *
 * @param data the data set in words
 * @param catalogue its items
 * @param generated whether the data were generated, so that attributes are the planted truth
 * @param model the architecture
 * @param split the name of the split
 * @param history epochs of training; empty where unknown
 * @param ranking the model on the test cases
 * @param popularity the most popular items on the same
 * @param standings the model and baselines on the same, by all metrics
 * @param site where the autoencoder sits
 * @param features F
 * @param kept K
 * @param sae its quality
 * @param cost what its reconstruction costs
 * @param labels what its features mean
 * @param hidden how well hidden dimensions stand for attributes: the baseline
 * @param cards of the clearest features
 * @param curves of the clearest concepts
 * @param example one user's list before and after; null where no concept can be steered
 */
public record Findings(
    String data,
    Catalogue catalogue,
    boolean generated,
    ModelConfig model,
    String split,
    List<EpochReport> history,
    RankingMetrics ranking,
    RankingMetrics popularity,
    List<Standing> standings,
    String site,
    int features,
    int kept,
    SaeMetrics sae,
    ReconstructionCost cost,
    FeatureLabels labels,
    AttributeScores hidden,
    List<FeatureCard> cards,
    List<ControlCurve> curves,
    Example example) {

  /** A correlation from which on a feature counts as having found an attribute. */
  public static final double FOUND = .5;

  /** Copies the lists. */
  public Findings {
    history = List.copyOf(history);
    standings = List.copyOf(standings);
    cards = List.copyOf(cards);
    curves = List.copyOf(curves);
  }

  /** How many attributes some feature stands for with a held-out correlation of {@link #FOUND}. */
  public static long found(AttributeScores scores) {
    return scores.scores().stream()
        .filter(score -> score.rank() == 1 && score.correlation() >= FOUND)
        .count();
  }
}
