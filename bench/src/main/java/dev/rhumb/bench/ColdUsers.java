package dev.rhumb.bench;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Cases;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Bootstrap;
import dev.rhumb.eval.Estimate;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.Metric;
import dev.rhumb.eval.Ranker;
import dev.rhumb.eval.RankingReport;
import dev.rhumb.interpret.AttributeScore;
import dev.rhumb.interpret.AttributeScores;
import dev.rhumb.interpret.Columns;
import dev.rhumb.interpret.FeatureLabel;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.interpret.Positions;
import dev.rhumb.kernels.EditTable;
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
import dev.rhumb.sae.SaeVariant;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Steering;
import dev.rhumb.steer.SteeringEdit;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;

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
  private static final Site LAST_BLOCK = Site.parse("block 1");
  private static final double SAME = .7;

  /** Folders of the autoencoders that {@link Control} steers by. */
  static final String LONG = "topk-f512-k16-long";

  static final String LONG_LAST = LONG + "-block-1";

  private static final String STEPS = "20,000 steps";
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

  private static final String GENRES = "best r by genre, same users: ";
  private static final Figures.Reference PER_GENRE =
      new Figures.Reference(PAPER, PAPER_CORRELATION);
  private static final Figures.Reference QUALITY =
      new Figures.Reference(
          PAPER,
          Map.of(
              "explained variance",
              .9707,
              "L0",
              88.5,
              "dead share",
              1. / 512,
              "mean r, same users",
              .6576,
              "mean P(fires given genre), same users",
              .8638));

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
                Path.of(args[1]),
                "ml-1m-cold-users",
                "MovieLens 1M, new users: what autoencoders find in the hidden state",
                "bench/cold-users.sh");
        table.note(
            "The model: GPT-2 style, D 64, 2 blocks, 2 heads, T 128, full cross-entropy, batch 256, seed "
                + SEED
                + ". Test users: the newest tenth, original ids 1 to 604. Autoencoders at "
                + SITE
                + ". Not exactly reproducible: the authors also cut training rows by time, which the file at hand"
                + " lacks; they train on 487,093 and 319,903 interactions, here it is "
                + String.format(
                    Locale.ROOT, "%,d and %,d.", split.train().total(), split.sae().total()));
        table.note(
            "Mean r: Pearson's r of the best column for a genre, mean over 18 genres; chosen on one half of the test users"
                + " and scored on the other. \"Same users\" chooses and scores on all of them, as the authors do. Hidden"
                + " dimensions, item embedding and random directions may stand for a genre by either sign; a feature may not."
                + " Current: the genres of the item at the position; next: those of the item that follows.");
        table.note(
            "NDCG kept: NDCG@10 with the reconstruction in the hidden state's place, at the last position or at all, over"
                + " the model's; in brackets 95 % intervals by the bootstrap over users, paired. Others: the "
                + String.format(Locale.ROOT, "%,d", split.validation().count())
                + " users who trained the autoencoders and not the transformer, whose checkpoint they chose.");
        new ColdUsers(kernels, split, folder.model(), runs, table).study();
        table.write();
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
    baseline("hidden dimensions", 64, p -> Columns.hidden(kernels, model, SITE, p));
    baseline("item embedding", 64, p -> Columns.itemEmbedding(kernels, model, p));
    baseline(
        "random directions",
        RANDOM_DIRECTIONS,
        p -> Columns.randomDirections(kernels, model, SITE, RANDOM_DIRECTIONS, SEED, p));
    autoencoders();
  }

  /** A TopK of K 16 that learns four times as long as usual. */
  private static SaeConfig longer(Site site, int features) {
    return SaeConfig.of(site, 64, features, 16).withSteps(20_000);
  }

  /**
   * The paper's recipe, TopK by K, F and length of training, and the other variants at the paper's
   * size.
   */
  private void autoencoders() throws Exception {
    autoencoder(
        "ReLU + L1, the paper's recipe",
        "F 512, 10,000 steps",
        "relu-l1-paper",
        SaeConfig.of(SITE, 64, 512, new SaeVariant.ReluL1(.1f, false))
            .withStandardised(false)
            .withResamples(0)
            .withLearningRate(1e-3f)
            .withSteps(10_000));
    for (int features : new int[] {512, 2048}) {
      for (int kept : new int[] {8, 16, 32}) {
        autoencoder(
            "TopK",
            "F " + features + ", K " + kept,
            "topk-f" + features + "-k" + kept,
            SaeConfig.of(SITE, 64, features, kept));
      }
    }
    autoencoder("TopK", "F 512, K 16, " + STEPS, LONG, longer(SITE, 512));
    autoencoder(
        "TopK", "F 512, K 16, " + STEPS + ", " + LAST_BLOCK, LONG_LAST, longer(LAST_BLOCK, 512));
    autoencoder("TopK", "F 128, K 16, " + STEPS, "topk-f128-k16-long", longer(SITE, 128));
    returning("F 512, K 16", "topk-f512-k16", SaeConfig.of(SITE, 64, 512, 16));
    returning("F 512, K 16, " + STEPS, LONG, longer(SITE, 512));
    returning("F 128, K 16, " + STEPS, "topk-f128-k16-long", longer(SITE, 128));
    other("BatchTopK", "F 512, K 16", new SaeVariant.BatchTopK(16));
    other(
        "Matryoshka",
        "F 512, K 16, prefixes 32 to 512",
        SaeVariant.Matryoshka.halves(new SaeVariant.TopK(16), 512));
    other("JumpReLU", "F 512, L0 weight .003", new SaeVariant.JumpRelu(3e-3f, .05f));
    other("Gated", "F 512, L1 weight .2", new SaeVariant.Gated(.2f));
    other("ReLU + L1, squared", "F 512, L1 weight .1", new SaeVariant.ReluL1(.1f, true));
  }

  private void other(String work, String shape, SaeVariant variant) throws Exception {
    autoencoder(work, shape, variant.label() + "-f512", SaeConfig.of(SITE, 64, 512, variant));
  }

  private void ranking() throws Exception {
    table.part(
        "model",
        "D 64, T 128, " + split.test().count() + " users",
        kernels,
        new Figures.Reference(
            PAPER, Map.of("NDCG@10", .1363, "HR@10", .2550, "MAP@10", .1003, "coverage@10", .388)),
        figures -> {
          try (Ranker ranker = new Evaluator(kernels, model)) {
            RankingReport report = RankingReport.of(ranker, split, K);
            Bootstrap bootstrap = Bootstrap.standard();
            figures.add("NDCG@10", bootstrap.mean(report.values(Metric.NDCG, K)));
            figures.add("HR@10", bootstrap.mean(report.values(Metric.HIT_RATE, K)));
            figures.add("MAP@10", bootstrap.mean(report.values(Metric.MAP, K)));
            figures.add("coverage@10", report.value(Metric.COVERAGE, K));
          }
        });
  }

  private interface Read {
    Columns columns(Positions positions);
  }

  private void baseline(String name, int columns, Read read) throws Exception {
    table.part(
        name, columns + " columns", kernels, QUALITY, figures -> correlations(read, true, figures));
    table.part(
        GENRES + name,
        columns + " columns",
        kernels,
        Figures.Reference.NONE,
        f -> genres(read, true, f));
  }

  private void correlations(Read read, boolean eitherSign, Figures figures) {
    Attributes genres = split.train().dataset().attributes();
    Positions positions = Positions.of(split.test().histories(), POSITIONS);
    Columns current = read.columns(positions);
    AttributeScores scores = AttributeScores.of(current, genres, eitherSign, 1);
    AttributeScores same = AttributeScores.notHeldOut(current, genres, eitherSign);
    AttributeScores next =
        AttributeScores.of(read.columns(positions.heldAgainstNext()), genres, eitherSign, 1);
    figures.add("mean r", scores.meanCorrelation());
    figures.add("mean AUC", scores.meanAuc());
    figures.add("mean r, same users", same.meanCorrelation());
    figures.add("mean P(fires given genre), same users", same.meanFires());
    figures.add("mean r, next", next.meanCorrelation());
    figures.add("mean AUC, next", next.meanAuc());
  }

  /** Each genre's best correlation, on the users that it was chosen on, as the paper has it. */
  private void genres(Read read, boolean eitherSign, Figures figures) {
    Positions positions = Positions.of(split.test().histories(), POSITIONS);
    AttributeScores.notHeldOut(
            read.columns(positions), split.train().dataset().attributes(), eitherSign)
        .scores()
        .forEach(score -> figures.add(score.attribute(), score.correlation()));
  }

  private void autoencoder(String work, String shape, String run, SaeConfig settings)
      throws Exception {
    SaeConfig config = settings.withSeed(SEED);
    Path folder = runs.resolve(run);
    table.part(work, shape, kernels, QUALITY, figures -> measure(config, folder, figures));
    table.part(
        GENRES + work,
        shape,
        kernels,
        PER_GENRE,
        figures -> {
          try (SparseAutoencoder sae = trained(config, folder)) {
            genres(p -> Columns.features(kernels, model, sae, p), false, figures);
          }
        });
  }

  private void measure(SaeConfig config, Path folder, Figures figures) {
    try (SparseAutoencoder sae = trained(config, folder)) {
      SaeMetrics quality = SaeMetrics.of(kernels, model, sae, split.test().histories());
      figures.add("explained variance", quality.explainedVariance());
      figures.add("L0", quality.l0());
      figures.add("dead share", quality.deadShare());
      for (Steering.Positions positions : Steering.Positions.values()) {
        String where = positions == Steering.Positions.LAST ? "last" : "all";
        figures.add("NDCG kept, " + where, kept(sae, positions, split.test()));
        figures.add("NDCG kept, " + where + ", others", kept(sae, positions, split.validation()));
      }
      correlations(p -> Columns.features(kernels, model, sae, p), false, figures);
    }
  }

  /** How many of an autoencoder's features another one has that differs in its seed alone. */
  private void returning(String shape, String run, SaeConfig settings) throws Exception {
    long other = SEED + 1;
    table.part(
        "features that return with another seed: TopK",
        shape,
        kernels,
        Figures.Reference.NONE,
        figures -> {
          try (SparseAutoencoder one = trained(settings.withSeed(SEED), runs.resolve(run));
              SparseAutoencoder two =
                  trained(settings.withSeed(other), runs.resolve(run + "-seed-" + other))) {
            double[] nearest = nearest(one, two);
            FeatureLabels labels =
                FeatureLabels.of(kernels, model, one, split.test().histories(), POSITIONS);
            int[] labelled = labels.clearest().stream().mapToInt(FeatureLabel::feature).toArray();
            int[] best =
                labels.attributes().scores().stream()
                    .filter(score -> score.rank() == 1)
                    .mapToInt(AttributeScore::column)
                    .distinct()
                    .toArray();
            figures.add("labelled", labelled.length);
            figures.add("labelled that return", returning(nearest, labelled));
            figures.add("best of a genre", best.length);
            figures.add("best of a genre that return", returning(nearest, best));
            figures.add(
                "all that return",
                returning(nearest, IntStream.range(0, nearest.length).toArray()));
            figures.add(
                "mean nearest absolute cosine", Arrays.stream(nearest).average().orElseThrow());
          }
        });
  }

  private static double returning(double[] nearest, int[] features) {
    return Arrays.stream(features).filter(f -> nearest[f] > SAME).count()
        / (double) features.length;
  }

  /**
   * For each decoder row the largest |cosine| with a row of another decoder; rows are of norm 1.
   */
  private static double[] nearest(SparseAutoencoder one, SparseAutoencoder two) {
    float[] rows = one.decoderWeights().floats();
    float[] others = two.decoderWeights().floats();
    int width = one.width();
    double[] nearest = new double[one.features()];
    for (int f = 0; f < nearest.length; f++) {
      for (int g = 0; g < two.features(); g++) {
        double cosine = 0;
        for (int d = 0; d < width; d++) {
          cosine += (double) rows[f * width + d] * others[g * width + d];
        }
        nearest[f] = Math.max(nearest[f], Math.abs(cosine));
      }
    }
    return nearest;
  }

  /**
   * NDCG with the reconstruction over that of the model; the interval is that of the paired loss.
   */
  private Estimate kept(SparseAutoencoder sae, Steering.Positions positions, Cases cases) {
    Steering nothing = Steering.of(List.of()).written(EditTable.Write.REPLACE).at(positions);
    int items = model.config().items();
    try (Evaluator evaluator = new Evaluator(kernels, model);
        SteeringEdit edit = new SteeringEdit(kernels, sae, nothing)) {
      double[] plain = Control.ndcg(cases, evaluator.recommend(cases, K, null), items);
      double[] put = Control.ndcg(cases, evaluator.recommend(cases, K, edit), items);
      double mean = Arrays.stream(plain).average().orElseThrow();
      Arrays.setAll(put, user -> (put[user] - plain[user]) / mean);
      Estimate gain = Bootstrap.standard().mean(put);
      return new Estimate(1 + gain.value(), 1 + gain.low(), 1 + gain.high(), gain.users());
    }
  }

  private SparseAutoencoder trained(SaeConfig config, Path folder) {
    if (Files.exists(folder.resolve("cfg.json"))) {
      return SparseAutoencoder.load(kernels, folder);
    }
    SaeResult result = SaeTrainer.train(kernels, model, split.sae(), config, SaeListener.NONE);
    result.sae().save(folder);
    return result.sae();
  }
}
