package dev.rhumb.bench;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.ControlCurve;
import dev.rhumb.steer.Steering;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Supplier;

/**
 * What steering does on MovieLens 1M: the share of a genre in the lists of new users, NDCG and
 * coverage, by strength; the change added to the hidden state or the reconstruction in its place;
 * at the last position or at all. The model and the autoencoder are those of {@link ColdUsers}; the
 * features of a genre are chosen on users who trained the transformer, the lists are those of the
 * test users.
 */
public final class Control {
  private static final String AUTOENCODER = "topk-f512-k16";
  private static final List<String> CONCEPTS = List.of("Sci-Fi", "Horror", "Children's", "Western");
  private static final double[] STRENGTHS = {-4, -2, -1, 0, .25, .5, .75, 1, 1.25, 1.5, 2, 3, 4, 8};
  private static final double NDCG_LEFT = .9;
  private static final String BOUNDED = "largest share at a loss of at most 10 % of NDCG@10";
  private static final int K = 10;

  private final Kernels kernels;
  private final Split split;
  private final ModelFolder model;
  private final SparseAutoencoder sae;
  private final Concepts concepts;
  private final ResultTable table;

  private Control(
      Kernels kernels,
      Split split,
      ModelFolder model,
      SparseAutoencoder sae,
      Concepts concepts,
      ResultTable table) {
    this.kernels = kernels;
    this.split = split;
    this.model = model;
    this.sae = sae;
    this.concepts = concepts;
    this.table = table;
  }

  /**
   * Runs it, or what is left of it, and writes the table.
   *
   * @param args the folder of runs, in which {@link ColdUsers} has run, and the folder of results
   */
  public static void main(String[] args) throws Exception {
    Path cold = Path.of(args[0], "cold-users");
    Path folder = cold.resolve(AUTOENCODER);
    if (!Files.exists(folder.resolve("cfg.json"))) {
      throw new IllegalArgumentException(
          folder + " holds no autoencoder; run bench/cold-users.sh first");
    }
    try (Kernels kernels = Kernels.open();
        Dataset dataset = MovieLens.open()) {
      Split split = Splits.named("cold-users", dataset);
      try (ModelFolder model = ColdUsers.backbone(kernels, split, cold);
          SparseAutoencoder sae = SparseAutoencoder.load(kernels, folder)) {
        FeatureLabels labels =
            FeatureLabels.of(
                kernels, model.model(), sae, split.train(), FeatureLabels.MAX_POSITIONS);
        ResultTable table =
            new ResultTable(
                Path.of(args[1]),
                "ml-1m-control",
                "MovieLens 1M, new users: steering by genre",
                "bench/control.sh");
        table.note(
            "The autoencoder: TopK, F "
                + sae.features()
                + ", K "
                + sae.kept()
                + ", at "
                + sae.site()
                + " of the model of ml-1m-cold-users. Strength 1 adds to each of a genre's features (up to 4, by their"
                + " correlation) its mean activation where it fires. DELTA adds the change to the hidden state, REPLACE puts the"
                + " edited reconstruction in its place. Share: mean over the "
                + split.test().count()
                + " test users of the share of the genre in the first 10.");
        new Control(kernels, split, model, sae, Concepts.of(labels), table).study();
        table.write();
      }
    }
  }

  private void study() throws Exception {
    for (Steering.Positions positions : Steering.Positions.values()) {
      for (String concept : CONCEPTS) {
        String work =
            concept
                + (positions == Steering.Positions.ALL
                    ? ", at all positions"
                    : ", at the last position");
        // All states of a concept come from one reading of the curve.
        Supplier<ControlCurve> curve = once(() -> curve(concept, positions));
        outcome(work, "the model", () -> curve.get().original());
        outcome(work, "reconstructed", () -> curve.get().reconstructed());
        for (EditTable.Write write : EditTable.Write.values()) {
          for (int i = 0; i < STRENGTHS.length; i++) {
            double strength = STRENGTHS[i];
            outcome(
                work,
                write + ", strength " + strength,
                () ->
                    curve.get().points().stream()
                        .filter(p -> p.write() == write && p.strength() == strength)
                        .findFirst()
                        .orElseThrow()
                        .outcome());
          }
          table.part(
              BOUNDED,
              work + ", " + write,
              kernels,
              Figures.Reference.NONE,
              figures -> best(curve.get(), write, figures));
        }
      }
    }
  }

  private void outcome(String work, String state, Supplier<ControlCurve.Outcome> outcome)
      throws Exception {
    table.part(
        work,
        state,
        kernels,
        Figures.Reference.NONE,
        figures -> {
          ControlCurve.Outcome o = outcome.get();
          figures.add("share", o.share());
          figures.add("NDCG@10", o.metrics().ndcg());
          figures.add("HR@10", o.metrics().hitRate());
          figures.add("coverage@10", o.metrics().coverage());
        });
  }

  private static void best(ControlCurve curve, EditTable.Write write, Figures figures) {
    ControlCurve.Outcome plain = curve.original();
    ControlCurve.Point best =
        curve.points().stream()
            .filter(p -> p.write() == write)
            .filter(p -> p.outcome().metrics().ndcg() >= NDCG_LEFT * plain.metrics().ndcg())
            .max(Comparator.comparingDouble(p -> p.outcome().share()))
            .orElse(null);
    figures.add("strength", best == null ? Double.NaN : best.strength());
    figures.add("share", best == null ? Double.NaN : best.outcome().share());
    figures.add(
        "times the model's", best == null ? Double.NaN : best.outcome().share() / plain.share());
  }

  private ControlCurve curve(String concept, Steering.Positions positions) {
    return ControlCurve.of(
            kernels,
            model.model(),
            sae,
            concepts,
            List.of(concept),
            STRENGTHS,
            List.of(EditTable.Write.values()),
            positions,
            split.test(),
            K,
            () -> {})
        .getFirst();
  }

  private static <T> Supplier<T> once(Supplier<T> work) {
    List<T> made = new ArrayList<>();
    return () -> {
      if (made.isEmpty()) {
        made.add(work.get());
      }
      return made.getFirst();
    };
  }
}
