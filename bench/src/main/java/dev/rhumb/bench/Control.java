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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

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
  private static final int K = 10;

  private final Kernels kernels;
  private final Split split;
  private final ModelFolder model;
  private final SparseAutoencoder sae;
  private final Concepts concepts;
  private final Path runs;
  private final ResultTable table;

  private Control(
      Kernels kernels,
      Split split,
      ModelFolder model,
      SparseAutoencoder sae,
      Concepts concepts,
      Path runs,
      ResultTable table) {
    this.kernels = kernels;
    this.split = split;
    this.model = model;
    this.sae = sae;
    this.concepts = concepts;
    this.runs = runs;
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
                "ml-1m-control", "MovieLens 1M, new users: steering by genre", "bench/control.sh");
        new Control(
                kernels, split, model, sae, Concepts.of(labels), Path.of(args[0], "control"), table)
            .study();
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
        table.write(Path.of(args[1]));
      }
    }
  }

  private void study() throws Exception {
    for (Steering.Positions positions : Steering.Positions.values()) {
      for (String concept : CONCEPTS) {
        String place = positions.name().toLowerCase(Locale.ROOT);
        Measured m =
            Measured.once(
                runs.resolve(concept + "-" + place).resolve("figures.json"),
                kernels,
                () -> measure(concept, positions));
        String where = "at " + (place.equals("all") ? "all positions" : "the last position");
        for (String point : m.values().keySet()) {
          if (point.endsWith(" share")) {
            String state = point.substring(0, point.length() - " share".length());
            for (String metric : List.of("share", "NDCG@10", "HR@10", "coverage@10")) {
              Result row = Result.of(concept + ", " + where, state, m, state + " " + metric);
              table.add(row.named(metric));
            }
          }
        }
        for (EditTable.Write write : EditTable.Write.values()) {
          table.add(
              Result.of(
                      concept + ", " + where + ", at most 10 % of NDCG@10 lost",
                      write + ", best strength",
                      m,
                      "share gained " + write)
                  .named("share, times the model's"));
        }
      }
    }
  }

  private Map<String, Double> measure(String concept, Steering.Positions positions) {
    ControlCurve curve =
        ControlCurve.of(
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
    Map<String, Double> figures = new LinkedHashMap<>();
    put(figures, "the model", curve.original());
    put(figures, "reconstructed", curve.reconstructed());
    for (ControlCurve.Point point : curve.points()) {
      put(figures, point.write() + ", strength " + point.strength(), point.outcome());
    }
    double least = NDCG_LEFT * curve.original().metrics().ndcg();
    for (EditTable.Write write : EditTable.Write.values()) {
      double best =
          curve.points().stream()
              .filter(p -> p.write() == write && p.outcome().metrics().ndcg() >= least)
              .mapToDouble(p -> p.outcome().share())
              .max()
              .orElse(Double.NaN);
      figures.put("share gained " + write, best / curve.original().share());
    }
    return figures;
  }

  private static void put(Map<String, Double> figures, String state, ControlCurve.Outcome outcome) {
    figures.put(state + " share", outcome.share());
    figures.put(state + " NDCG@10", outcome.metrics().ndcg());
    figures.put(state + " HR@10", outcome.metrics().hitRate());
    figures.put(state + " coverage@10", outcome.metrics().coverage());
  }
}
