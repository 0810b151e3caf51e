package dev.rhumb.steer;

import dev.rhumb.data.Cases;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.model.StateEdit;
import dev.rhumb.sae.SparseAutoencoder;
import java.util.List;

/**
 * What it costs to put an autoencoder's reconstruction in the hidden state's place, nothing edited.
 *
 * @param plain ranking by the model as it is
 * @param reconstructed ranking with the reconstruction
 * @param plainCrossEntropy mean over all positions of -log P(the next item) by the model as it is,
 *     the softmax over the whole catalogue; nats
 * @param reconstructedCrossEntropy the same with the reconstruction
 */
public record ReconstructionCost(
    RankingMetrics plain,
    RankingMetrics reconstructed,
    double plainCrossEntropy,
    double reconstructedCrossEntropy) {

  /** Histories that run at once. */
  private static final int SEQUENCES = 32;

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
              evaluator.recommend(cases, k, edit), targets, k, model.config().items()),
          crossEntropy(kernels, model, null, cases),
          crossEntropy(kernels, model, edit, cases));
    }
  }

  private static double crossEntropy(Kernels kernels, Model model, StateEdit edit, Cases cases) {
    int most = model.config().maxLength();
    int[] window = new int[most + 1];
    double sum = 0;
    long rows = 0;
    try (Batch batch = new Batch(kernels, SEQUENCES, SEQUENCES * most);
        Inference inference = new Inference(kernels, model, SEQUENCES, SEQUENCES * most);
        Buffer targets = kernels.allocate(DType.I32, (long) SEQUENCES * most);
        Buffer loss = kernels.allocate(DType.F32, 1)) {
      for (int from = 0; from < cases.count(); from += SEQUENCES) {
        batch.clear();
        for (int i = from; i < Math.min(from + SEQUENCES, cases.count()); i++) {
          int length = cases.histories().copyLast(i, most, window, 0);
          window[length] = cases.target(i);
          batch.addWithTargets(window, 0, length);
        }
        batch.seal();
        if (edit == null) {
          inference.run(batch);
        } else {
          inference.runTo(edit.site(), batch);
          edit.apply(batch, inference.state());
          inference.finish();
        }
        sum += batch.rows() * mean(kernels, model, batch, inference.hidden(), targets, loss);
        rows += batch.rows();
      }
    }
    return sum / rows;
  }

  /** The mean over a batch's rows. Item 0 is padding, so that classes count from item 1. */
  private static double mean(
      Kernels kernels, Model model, Batch batch, Buffer hidden, Buffer targets, Buffer loss) {
    int[] next = new int[batch.rows()];
    for (int r = 0; r < next.length; r++) {
      next[r] = batch.target(r) - 1;
    }
    targets.put(0, next, 0, next.length);
    int items = model.config().items();
    int width = model.config().width();
    Buffer table = model.itemTable().slice(width, (long) items * width);
    kernels
        .loss()
        .softmaxCrossEntropy(next.length, items, width, hidden, table, targets, loss, null, null);
    float[] value = new float[1];
    loss.get(0, value, 0, 1);
    return value[0];
  }

  /** The share of NDCG that is kept. */
  public double ndcgKept() {
    return reconstructed.ndcg() / plain.ndcg();
  }

  /** How much worse the next item is foretold, in nats. */
  public double crossEntropyAdded() {
    return reconstructedCrossEntropy - plainCrossEntropy;
  }
}
