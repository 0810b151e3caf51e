package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.json;

import dev.rhumb.app.study.SplitKind;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Progress;
import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SaeConfig;
import dev.rhumb.sae.SaeMetrics;
import dev.rhumb.sae.SaeResult;
import dev.rhumb.sae.SaeTrainer;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.ReconstructionCost;
import dev.rhumb.steer.Steering;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Learns a sparse autoencoder on a model's hidden states. */
@picocli.CommandLine.Command(
    name = "sae",
    description = "A model and its data -> a sparse autoencoder in the model folder.")
final class SaeCommand extends Command {
  @Mixin private ModelOptions model;
  @Mixin private DataOptions data;
  @Mixin private EngineOptions engine;
  @Mixin private VariantOptions variant;

  @Option(
      names = "--site",
      paramLabel = "SITE",
      defaultValue = "block 0",
      description = "Where it sits: 'block 0', 'mlp 0', 'last' (default: ${DEFAULT-VALUE}).")
  private String site;

  @Option(
      names = "--features",
      defaultValue = "1024",
      description = "F (default: ${DEFAULT-VALUE}).")
  private int features;

  @Option(
      names = "--steps",
      defaultValue = "5000",
      description = "Training steps (default: ${DEFAULT-VALUE}).")
  private int steps;

  @Option(
      names = "--batch",
      defaultValue = "1024",
      description = "Positions in a step (default: ${DEFAULT-VALUE}).")
  private int batch;

  @Option(names = "--lr", description = "Learning rate (default: 0.003).")
  private Float learningRate;

  @Option(
      names = "--resamples",
      paramLabel = "N",
      description =
          "How often dead features are drawn anew"
              + " (default: 4; 0 where K features are kept: there an auxiliary loss revives them).")
  private Integer resamples;

  @Option(names = "--raw", description = "Learn from hidden states as they are, not standardised.")
  private boolean raw;

  @Option(names = "--seed", defaultValue = "1", description = "(default: ${DEFAULT-VALUE})")
  private long seed;

  @Override
  Map<String, Object> work(Console console) {
    Site where = Site.parse(site);
    try (Kernels kernels = engine.open();
        Trained trained = Trained.open(kernels, model, data);
        FolderLock _ = FolderLock.take(model.folder(), "training an autoencoder")) {
      int width = trained.model().config().width();
      SaeConfig config =
          SaeConfig.of(where, width, features, variant.variant(features))
              .withSteps(steps)
              .withBatch(batch)
              .withSeed(seed)
              .withStandardised(!raw);
      if (learningRate != null) {
        config = config.withLearningRate(learningRate);
      }
      if (resamples != null) {
        config = config.withResamples(resamples);
      }
      SplitKind.SaeParts parts = SplitKind.saeParts(trained.split());
      Path folder = SparseAutoencoder.folder(model.folder(), where);
      try (SparseAutoencoder sae =
          train(console, kernels, trained.model(), parts.learn(), config, folder)) {
        SaeMetrics metrics = SaeMetrics.of(kernels, trained.model(), sae, parts.heldOut());
        ReconstructionCost cost =
            ReconstructionCost.of(
                kernels, trained.model(), sae, Steering.Positions.ALL, trained.split().test(), 10);
        say(console, sae, metrics, cost);
        console.say("written to %s", folder);
        return json(sae, metrics, cost);
      }
    }
  }

  /** Trains and saves. The caller closes the autoencoder. */
  static SparseAutoencoder train(
      Console console,
      Kernels kernels,
      Model model,
      Sequences data,
      SaeConfig config,
      Path folder) {
    try (Progress progress = console.progress("autoencoder", config.steps())) {
      SaeResult result =
          SaeTrainer.train(
              kernels,
              model,
              data,
              config,
              (step, steps, loss, auxLoss, dead) ->
                  progress.at(
                      step, String.format(Locale.ROOT, "unexplained %.4f, dead %d", loss, dead)));
      try {
        result.sae().save(folder);
        return result.sae();
      } catch (RuntimeException e) {
        result.sae().close();
        throw e;
      }
    }
  }

  static void say(
      Console console, SparseAutoencoder sae, SaeMetrics metrics, ReconstructionCost cost) {
    console.say(
        "  site %s, %s; on %,d positions of users it did not learn from:",
        sae.site(), sae.describe(), metrics.rows());
    console.say(
        "  explained variance %.4f, L0 %.1f, dead features %.1f %%, cosine %.4f",
        metrics.explainedVariance(), metrics.l0(), 100 * metrics.deadShare(), metrics.cosine());
    console.say(
        "  its reconstruction in the hidden state's place keeps %.1f %% of NDCG@10",
        100 * cost.ndcgKept());
  }
}
