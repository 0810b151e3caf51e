package dev.rhumb.bench;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.interpret.AttributeScore;
import dev.rhumb.interpret.AttributeScores;
import dev.rhumb.interpret.Columns;
import dev.rhumb.interpret.Positions;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SaeConfig;
import dev.rhumb.sae.SaeListener;
import dev.rhumb.sae.SaeMetrics;
import dev.rhumb.sae.SaeResult;
import dev.rhumb.sae.SaeTrainer;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.ReconstructionCost;
import dev.rhumb.steer.Steering;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The experiment of arXiv 2507.12202 on MovieLens 1M: users who came last are tested, 60 % of the
 * others train a GPT-2 style transformer, 40 % the autoencoders. How good is the model, how well do
 * autoencoders reconstruct its hidden state, and how well does a feature stand for a genre, beside
 * what hidden dimensions, the item embedding and random directions give to the same code.
 */
public final class ColdUsers {
  private static final long SEED = 42;
  private static final int K = 10;
  private static final Site SITE = Site.parse("block 0");
  private static final int POSITIONS = 200_000;
  private static final int RANDOM_DIRECTIONS = 512;
  private static final String PAPER = "arXiv 2507.12202, authors' notebook";
  private static final Map<String, Double> PAPER_CORRELATION =
      Map.ofEntries(
          Map.entry("Action", .564),
          Map.entry("Adventure", .575),
          Map.entry("Animation", .694),
          Map.entry("Children's", .632),
          Map.entry("Comedy", .502),
          Map.entry("Crime", .666),
          Map.entry("Documentary", .687),
          Map.entry("Drama", .432),
          Map.entry("Fantasy", .800),
          Map.entry("Film-Noir", .799),
          Map.entry("Horror", .740),
          Map.entry("Musical", .715),
          Map.entry("Mystery", .741),
          Map.entry("Romance", .652),
          Map.entry("Sci-Fi", .666),
          Map.entry("Thriller", .510),
          Map.entry("War", .701),
          Map.entry("Western", .761));

  private final Kernels kernels;
  private final Split split;
  private final Model model;
  private final Path runs;
  private final ResultTable table;

  private ColdUsers(Kernels kernels, Split split, Model model, Path runs, ResultTable table) {
    this.kernels = kernels;
    this.split = split;
    this.model = model;
    this.runs = runs;
    this.table = table;
  }

  /**
   * Runs it, or what is left of it, and writes the table.
   *
   * @param args the folder of runs, the folder of results
   */
  public static void main(String[] args) throws Exception {
    Path runs = Path.of(args[0], "cold-users");
    try (Kernels kernels = Kernels.open();
        Dataset dataset = MovieLens.open()) {
      Split split = Splits.named("cold-users", dataset);
      try (ModelFolder folder = backbone(kernels, split, runs)) {
        ResultTable table =
            new ResultTable(
                "ml-1m-cold-users",
                "MovieLens 1M, new users: what autoencoders find in the hidden state",
                "bench/cold-users.sh");
        new ColdUsers(kernels, split, folder.model(), runs, table).study();
        table.note(
            "The model: GPT-2 style, D 64, 2 blocks, 2 heads, T 128, full cross-entropy, batch 256, seed "
                + SEED
                + ". Test users: the newest tenth, original ids 1 to 604. Autoencoders at "
                + SITE
                + ". Not exactly reproducible: the authors also cut training rows by time, which the file at hand"
                + " lacks; they train on 487,093 and 319,903 interactions, here it is "
                + String.format(
                    java.util.Locale.ROOT,
                    "%,d and %,d.",
                    split.train().total(),
                    split.sae().total()));
        table.note(
            "Mean r: Pearson's r of the best column for a genre, mean over 18 genres; chosen on one half of the test users"
                + " and scored on the other. \"Same users\" chooses and scores on all of them, as the authors do. Hidden"
                + " dimensions, item embedding and random directions may stand for a genre by either sign; a feature may not."
                + " Current: the genres of the item at the position; next: those of the item that follows.");
        table.write(Path.of(args[1]));
      }
    }
  }

  /** The folder of the model that the studies of new users share; the caller closes it. */
  static ModelFolder backbone(Kernels kernels, Split split, Path runs) {
    Path folder = runs.resolve("model-" + SEED);
    Trainer.train(
        kernels,
        split,
        ModelConfig.of(BlockStyle.GPT2, split.train().dataset().items(), 64, 2, 2, 128, 0.1f),
        new TrainingConfig(SEED, 256, 1e-3f, 0, 0, 100, 10),
        folder,
        true,
        MovieLens.log("cold users, seed " + SEED));
    return ModelFolder.open(kernels, folder);
  }

  private void study() throws Exception {
    ranking();
    baseline("hidden dimensions", "64", p -> Columns.hidden(kernels, model, SITE, p));
    baseline("item embedding", "64", p -> Columns.itemEmbedding(kernels, model, p));
    baseline(
        "random directions",
        "" + RANDOM_DIRECTIONS,
        p -> Columns.randomDirections(kernels, model, SITE, RANDOM_DIRECTIONS, SEED, p));
    for (SaeConfig config : autoencoders()) {
      autoencoder(config);
    }
  }

  private static List<SaeConfig> autoencoders() {
    List<SaeConfig> all = new ArrayList<>();
    for (int features : new int[] {512, 2048}) {
      for (int kept : new int[] {8, 16, 32}) {
        all.add(SaeConfig.of(SITE, 64, features, kept).withSeed(SEED));
      }
    }
    return all;
  }

  private void ranking() throws Exception {
    Measured m =
        once(
            "ranking",
            () -> {
              try (Evaluator evaluator = new Evaluator(kernels, model)) {
                RankingMetrics metrics = evaluator.evaluate(split.test(), K);
                Map<String, Double> figures = new LinkedHashMap<>();
                figures.put("NDCG@10", metrics.ndcg());
                figures.put("HR@10", metrics.hitRate());
                figures.put("MAP@10", metrics.mrr());
                figures.put("coverage@10", metrics.coverage());
                return figures;
              }
            });
    String shape = "D 64, T 128, " + split.test().count() + " users";
    Map<String, Double> paper =
        Map.of("NDCG@10", .1363, "HR@10", .2550, "MAP@10", .1003, "coverage@10", .388);
    for (String metric : m.values().keySet()) {
      table.add(Result.of("model", shape, m, metric).against(PAPER, paper.get(metric)));
    }
  }

  private interface Read {
    Columns columns(Positions positions);
  }

  private void baseline(String name, String columns, Read read) throws Exception {
    Measured m =
        once(
            name.replace(' ', '-'),
            () -> {
              Map<String, Double> figures = new LinkedHashMap<>();
              correlations(read, true, figures);
              return figures;
            });
    for (String metric : CORRELATIONS) {
      table.add(Result.of(name, columns + " columns", m, metric));
    }
  }

  private static final List<String> CORRELATIONS =
      List.of("mean r", "mean AUC", "mean r, same users", "mean r, next", "mean AUC, next");

  private void correlations(Read read, boolean eitherSign, Map<String, Double> figures) {
    Attributes genres = split.train().dataset().attributes();
    Positions positions = Positions.of(split.test().histories(), POSITIONS);
    Columns current = read.columns(positions);
    AttributeScores scores = AttributeScores.of(current, genres, eitherSign, 1);
    AttributeScores same = AttributeScores.notHeldOut(current, genres, eitherSign);
    AttributeScores next =
        AttributeScores.of(read.columns(positions.heldAgainstNext()), genres, eitherSign, 1);
    figures.put("mean r", scores.meanCorrelation());
    figures.put("mean AUC", scores.meanAuc());
    figures.put("mean r, same users", same.meanCorrelation());
    figures.put("mean P(fires given genre), same users", same.meanFires());
    figures.put("mean r, next", next.meanCorrelation());
    figures.put("mean AUC, next", next.meanAuc());
    for (AttributeScore score : same.scores()) {
      figures.put("r " + score.attribute(), score.correlation());
    }
  }

  private void autoencoder(SaeConfig config) throws Exception {
    String name = "topk-f" + config.features() + "-k" + config.kept();
    Measured m = once(name, () -> measure(config, runs.resolve(name)));
    String shape = "F " + config.features() + ", K " + config.kept();
    for (String metric :
        List.of(
            "explained variance",
            "L0",
            "dead share",
            "NDCG kept, last",
            "NDCG kept, all",
            "mean r",
            "mean AUC",
            "mean r, same users",
            "mean r, next",
            "mean AUC, next")) {
      Result row = Result.of("TopK", shape, m, metric);
      table.add(
          switch (metric) {
            case "explained variance" -> row.against(PAPER, .9707);
            case "L0" -> row.against(PAPER, 88.5);
            case "dead share" -> row.against(PAPER, 1.0 / 512);
            case "mean r, same users" -> row.against(PAPER, .6576);
            default -> row;
          });
    }
  }

  private Map<String, Double> measure(SaeConfig config, Path folder) {
    try (SparseAutoencoder sae = trained(config, folder)) {
      SaeMetrics quality = SaeMetrics.of(kernels, model, sae, split.test().histories());
      Map<String, Double> figures = new LinkedHashMap<>();
      figures.put("explained variance", quality.explainedVariance());
      figures.put("L0", quality.l0());
      figures.put("dead share", quality.deadShare());
      figures.put("cosine", quality.cosine());
      figures.put("MAE", quality.meanAbsoluteError());
      figures.put("RMSE", quality.rootMeanSquaredError());
      figures.put("NDCG kept, last", kept(sae, Steering.Positions.LAST));
      figures.put("NDCG kept, all", kept(sae, Steering.Positions.ALL));
      correlations(p -> Columns.features(kernels, model, sae, p), false, figures);
      return figures;
    }
  }

  private double kept(SparseAutoencoder sae, Steering.Positions positions) {
    return ReconstructionCost.of(kernels, model, sae, positions, split.test(), K).ndcgKept();
  }

  private SparseAutoencoder trained(SaeConfig config, Path folder) {
    if (Files.exists(folder.resolve("cfg.json"))) {
      return SparseAutoencoder.load(kernels, folder);
    }
    SaeResult result = SaeTrainer.train(kernels, model, split.sae(), config, SaeListener.NONE);
    result.sae().save(folder);
    return result.sae();
  }

  private Measured once(String name, Measured.Work work) throws Exception {
    return Measured.once(runs.resolve(name).resolve("figures.json"), kernels, work);
  }
}
