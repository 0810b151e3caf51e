package dev.rhumb.steer;

import dev.rhumb.data.Cases;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.sae.SparseAutoencoder;
import java.util.List;

/**
 * What it costs to put an autoencoder's reconstruction in the hidden state's place, nothing edited.
 *
 * @param plain the model as it is
 * @param reconstructed with the reconstruction
 */
public record ReconstructionCost(RankingMetrics plain, RankingMetrics reconstructed) {

  /** Measures it over cases, with lists of {@code k}. */
  public static ReconstructionCost of(
      Kernels kernels,
      Model model,
      SparseAutoencoder sae,
      Steering.Positions positions,
      Cases cases,
      int k) {
    sae.requireFits(model.config());
    int[] targets = Evaluator.targets(cases);
    Steering nothing = Steering.of(List.of()).written(EditTable.Write.REPLACE).at(positions);
    try (Evaluator evaluator = new Evaluator(kernels, model);
        SteeringEdit edit = new SteeringEdit(kernels, sae, nothing)) {
      return new ReconstructionCost(
          evaluator.evaluate(cases, k),
          RankingMetrics.of(
              evaluator.recommend(cases, k, edit), targets, k, model.config().items()));
    }
  }

  /** The share of NDCG that is kept. */
  public double ndcgKept() {
    return reconstructed.ndcg() / plain.ndcg();
  }
}
