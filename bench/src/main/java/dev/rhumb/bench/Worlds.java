package dev.rhumb.bench;

import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.interpret.PositionLabels;
import dev.rhumb.interpret.Positions;
import dev.rhumb.interpret.TruthScore;
import dev.rhumb.interpret.TruthScorer;
import dev.rhumb.interpret.TruthScorer.Firing;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SaeConfig;
import dev.rhumb.sae.SaeListener;
import dev.rhumb.sae.SaeMetrics;
import dev.rhumb.sae.SaeTrainer;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import java.nio.file.Path;

/**
 * What autoencoders find of the interests that were planted in a generated world, by the size of
 * the dictionary F and the features kept K.
 */
public final class Worlds {
  private static final String WORLD = "small";
  private static final long SEED = 42;
  private static final Site SITE = Site.parse("block 0");
  private static final int STEPS = 3000;
  private static final int POSITIONS = 100_000;
  private static final int RANDOM_DIRECTIONS = 512;

  private final Kernels kernels;
  private final Model model;
  private final Split split;
  private final TruthScorer interests;
  private final TruthScorer moods;
  private final ResultTable table;

  private Worlds(
      Kernels kernels, GeneratedWorld world, Split split, Model model, ResultTable table) {
    this.kernels = kernels;
    this.split = split;
    this.model = model;
    this.table = table;
    Positions positions = Positions.of(split.test().histories(), POSITIONS);
    interests =
        new TruthScorer(kernels, model, SITE, positions, PositionLabels.interests(world.truth()));
    moods = new TruthScorer(kernels, model, SITE, positions, PositionLabels.moods(world.truth()));
  }

  /**
   * Runs what is left of it.
   *
   * @param args the folder of runs, the folder of results
   */
  public static void main(String[] args) throws Exception {
    try (Kernels kernels = Kernels.open();
        GeneratedWorld world = GeneratedWorld.make(GeneratedWorld.Config.named(WORLD), SEED)) {
      Split split = Splits.named("cold-users", world.dataset());
      Path folder = Path.of(args[0], "worlds", WORLD + "-" + SEED);
      Trainer.train(
          kernels,
          split,
          ModelConfig.of(BlockStyle.GPT2, world.dataset().items(), 64, 2, 2, 64, 0.1f),
          TrainingConfig.standard(SEED),
          folder,
          true,
          MovieLens.log(WORLD));
      try (ModelFolder trained = ModelFolder.open(kernels, folder)) {
        ResultTable table =
            new ResultTable(
                Path.of(args[1]),
                "generated-world",
                "A generated world: what is found of its interests",
                "bench/worlds.sh");
        table.note(
            "The world \""
                + WORLD
                + "\", seed "
                + SEED
                + ": "
                + world.dataset()
                + ", "
                + world.interests()
                + " interests in a hierarchy. Model: GPT-2 style, D 64, 2 blocks, T 64; autoencoders TopK at "
                + SITE
                + ", "
                + STEPS
                + " steps; test users.");
        table.note(
            "Interests: labels are the interests of the item at the position. Moods: the interest from which the user took"
                + " it, which nobody sees. The best column of a label is chosen on half of the test users and judged on the"
                + " other. Found: share of labels with F1 of .5 or more; own: the same where no two labels may share a column;"
                + " distinct: columns that are the best of some label, over labels. A feature fires above 0; other columns"
                + " fire above the threshold that is best for the label.");
        new Worlds(kernels, world, split, trained.model(), table).study();
        table.write();
      }
    }
  }

  private interface Score {
    TruthScore by(TruthScorer scorer);
  }

  private void study() throws Exception {
    baseline("hidden dimensions", 64, TruthScorer::hidden);
    baseline("item embedding", 64, TruthScorer::itemEmbedding);
    baseline(
        "random directions",
        RANDOM_DIRECTIONS,
        scorer -> scorer.randomDirections(RANDOM_DIRECTIONS, SEED));
    for (int features : new int[] {64, 256, 1024}) {
      for (int kept : new int[] {4, 8, 16, 32}) {
        table.part(
            "TopK",
            "F " + features + ", K " + kept,
            kernels,
            Figures.Reference.NONE,
            figures -> autoencoder(features, kept, figures));
      }
    }
  }

  private void baseline(String name, int columns, Score score) throws Exception {
    table.part(name, columns + " columns", kernels, Figures.Reference.NONE, f -> scores(score, f));
  }

  private void autoencoder(int features, int kept, Figures figures) {
    SaeConfig config = SaeConfig.of(SITE, 64, features, kept).withSteps(STEPS).withSeed(SEED);
    try (SparseAutoencoder sae =
        SaeTrainer.train(kernels, model, split.sae(), config, SaeListener.NONE).sae()) {
      scores(scorer -> scorer.features(sae, Firing.ABOVE_ZERO), figures);
      SaeMetrics quality = SaeMetrics.of(kernels, model, sae, split.test().histories());
      figures.add("explained variance", quality.explainedVariance());
      figures.add("dead share", quality.deadShare());
    }
  }

  private void scores(Score score, Figures figures) {
    TruthScore found = score.by(interests);
    figures.add("F1", found.meanF1());
    figures.add("precision", found.meanPrecision());
    figures.add("recall", found.meanRecall());
    figures.add("AUC", found.meanAuc());
    figures.add("absolute cosine", found.meanCosine());
    figures.add("found", found.found());
    figures.add("own", found.own());
    figures.add("distinct", found.distinct());
    figures.add("split", found.split());
    figures.add("absorbed", found.absorbed());
    TruthScore hidden = score.by(moods);
    figures.add("moods, F1", hidden.meanF1());
    figures.add("moods, AUC", hidden.meanAuc());
  }
}
