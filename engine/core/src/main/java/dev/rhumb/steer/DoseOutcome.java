package dev.rhumb.steer;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Cases;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;
import dev.rhumb.model.StateEdit;
import dev.rhumb.sae.SparseAutoencoder;
import java.util.stream.IntStream;

/**
 * What a {@link Dose} does to recommendations when every user gets a strength of his own, written
 * as a delta at the last position.
 *
 * @param dose the dose
 * @param strength mean over cases of the strength
 * @param deviation mean over cases of the distance between the list's share and the dose
 * @param outcome the lists
 */
public record DoseOutcome(
    Dose dose, double strength, double deviation, ControlCurve.Outcome outcome) {

  /**
   * Searches every case's strength and judges the lists.
   *
   * @param k length of a list
   * @throws IllegalArgumentException when the concept is unknown; it offers the nearest names
   */
  public static DoseOutcome of(
      Kernels kernels,
      Model model,
      SparseAutoencoder sae,
      Concepts concepts,
      Dose dose,
      Cases cases,
      int k) {
    sae.requireFits(model.config());
    concepts.parts(dose.concept());
    Attributes attributes = cases.histories().dataset().attributes();
    int attribute = attributes.find(dose.concept());
    Dose.Search[] searches = new Dose.Search[cases.count()];
    boolean[] searching = new boolean[searches.length];
    for (int i = 0; i < searches.length; i++) {
      searches[i] = dose.search();
    }
    int[][] lists;
    // All cases run at once; a search that has ended stays at its best strength.
    try (Evaluator evaluator = new Evaluator(kernels, model);
        EachSteered edit = new EachSteered(kernels, sae, concepts, dose.concept(), searches)) {
      boolean more;
      do {
        more = false;
        for (int i = 0; i < searches.length; i++) {
          searching[i] = searches[i].next();
          more |= searching[i];
        }
        edit.restart();
        lists = evaluator.recommend(cases, k, edit);
        for (int i = 0; i < searches.length; i++) {
          if (searching[i]) {
            int[] items = IntStream.of(lists[i]).filter(item -> item != 0).toArray();
            int with =
                (int) IntStream.of(items).filter(item -> attributes.has(item, attribute)).count();
            searches[i].saw(with, items.length);
          }
        }
      } while (more);
    }
    double strength = 0;
    double deviation = 0;
    for (int i = 0; i < searches.length; i++) {
      strength += searches[i].strength() / searches.length;
      int[][] one = {lists[i]};
      double share = RankingMetrics.attributeShare(one, k, attributes, attribute);
      deviation += Math.abs(share - dose.share()) / searches.length;
    }
    return new DoseOutcome(
        dose,
        strength,
        deviation,
        new ControlCurve.Outcome(
            RankingMetrics.attributeShare(lists, k, attributes, attribute),
            RankingMetrics.of(lists, Evaluator.targets(cases), k, model.config().items())));
  }

  /** Steers the sequences that come, each by the strength of its own search, in their order. */
  private static final class EachSteered implements StateEdit, AutoCloseable {
    private final Kernels kernels;
    private final SparseAutoencoder sae;
    private final Concepts concepts;
    private final String concept;
    private final Dose.Search[] searches;
    private final EditTable table = new EditTable(16);
    private final Buffer indices;
    private final Buffer values;
    private int next;

    EachSteered(
        Kernels kernels,
        SparseAutoencoder sae,
        Concepts concepts,
        String concept,
        Dose.Search[] searches) {
      this.kernels = kernels;
      this.sae = sae;
      this.concepts = concepts;
      this.concept = concept;
      this.searches = searches;
      indices = kernels.allocate(DType.I32, sae.kept());
      values = kernels.allocate(DType.F32, sae.kept());
    }

    void restart() {
      next = 0;
    }

    @Override
    public Site site() {
      return sae.site();
    }

    @Override
    public void apply(Batch batch, Buffer state) {
      for (int i = 0; i < batch.sequences(); i++) {
        concepts.steer(concept, searches[next++].strength()).fill(table);
        Buffer row = state.slice((batch.offset(i + 1) - 1L) * sae.width(), sae.width());
        sae.steer(kernels, 1, row, table, row, indices, values);
      }
    }

    @Override
    public void close() {
      indices.close();
      values.close();
    }
  }
}
