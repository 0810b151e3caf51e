package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.json;
import static dev.rhumb.app.study.Figures.map;

import dev.rhumb.app.study.SplitKind;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Progress;
import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.data.Sequences;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;
import dev.rhumb.sae.ActivationCache;
import dev.rhumb.sae.SaeConfig;
import dev.rhumb.sae.SaeLayout;
import dev.rhumb.sae.SaeListener;
import dev.rhumb.sae.SaeMetrics;
import dev.rhumb.sae.SaeResult;
import dev.rhumb.sae.SaeTrainer;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.ReconstructionCost;
import dev.rhumb.steer.Steering;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.IntFunction;
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
      description = "Where it sits: 'block 0', 'mlp 0', 'last' (default: block 0).")
  private String site;

  @Option(
      names = "--features",
      split = ",",
      defaultValue = "1024",
      description = "F (default: ${DEFAULT-VALUE}); several train one autoencoder each.")
  private List<Integer> features;

  @Option(
      names = "--name",
      paramLabel = "NAME",
      description =
          "Keep it beside the site's own autoencoder, in sae/SITE@NAME; other commands find it by"
              + " --sae SITE@NAME. Several are named by their F and K, after this name if there is"
              + " one.")
  private String name;

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

  @Option(
      names = "--dead-epochs",
      paramLabel = "N",
      description =
          "Epochs without firing after which a feature is dead"
              + " (default: 1; 0.1 where K features are kept).")
  private Float deadEpochs;

  @Option(names = "--raw", description = "Learn from hidden states as they are, not standardised.")
  private boolean raw;

  @Option(names = "--seed", defaultValue = "1", description = "(default: ${DEFAULT-VALUE})")
  private long seed;

  @Option(
      names = "--cache",
      paramLabel = "FOLDER",
      description =
          "Keep the hidden states in this folder and learn from there; a later run with the same"
              + " model, data and site does not run the model again.")
  private Path cache;

  @Option(
      names = "--cache-type",
      paramLabel = "TYPE",
      defaultValue = "float32",
      description =
          "How --cache stores them: float32, or bfloat16 in half the space"
              + " (default: ${DEFAULT-VALUE}).")
  private String cacheType;

  @Option(
      names = "--import",
      paramLabel = "FOLDER",
      description = "Train nothing: take the autoencoder in this folder, of SAELens or sparsify.")
  private Path importFrom;

  @Option(
      names = "--export",
      paramLabel = "LAYOUT",
      description =
          "Train nothing: write the model's autoencoder to --out, as saelens or sparsify.")
  private String exportAs;

  @Option(names = "--out", paramLabel = "FOLDER", description = "Where --export writes to.")
  private Path out;

  @Override
  Map<String, Object> work(Console console) {
    if (exportAs != null && importFrom != null) {
      throw usage("--import and --export do not go together");
    }
    if ((exportAs == null) != (out == null)) {
      throw usage("--export needs --out, and --out goes with --export alone");
    }
    if (exportAs != null) {
      return export(console);
    }
    try (Kernels kernels = engine.open();
        Trained trained = Trained.open(kernels, model, data);
        FolderLock _ = FolderLock.take(model.folder(), "training an autoencoder")) {
      return importFrom == null
          ? train(console, kernels, trained)
          : importOne(console, kernels, trained);
    }
  }

  private Site site() {
    return Site.parse(site == null ? "block 0" : site);
  }

  private Map<String, Object> export(Console console) {
    SaeLayout layout = SaeLayout.of(exportAs);
    Path from = SparseAutoencoder.folder(model.folder(), site(), name);
    try (Kernels kernels = engine.open();
        SparseAutoencoder sae = SparseAutoencoder.load(kernels, from)) {
      layout.write(sae, out);
      console.say("%s: %s, written to %s", from, sae.describe(), out);
      return map("from", from.toString(), "layout", layout.toString(), "folder", out.toString());
    }
  }

  private Map<String, Object> importOne(Console console, Kernels kernels, Trained trained) {
    Site where = site == null ? null : Site.parse(site);
    try (SparseAutoencoder sae = SaeLayout.of(importFrom).read(kernels, importFrom, where)) {
      sae.requireFits(trained.model().config());
      Path folder = SparseAutoencoder.folder(model.folder(), sae.site(), name);
      save(sae, folder);
      return judge(console, kernels, trained, sae, folder);
    }
  }

  private Map<String, Object> train(Console console, Kernels kernels, Trained trained) {
    Site where = site();
    boolean several = features.size() * variant.kept().size() > 1;
    List<SaeConfig> configs = new ArrayList<>();
    List<Path> folders = new ArrayList<>();
    for (int f : features) {
      for (Integer k : variant.kept()) {
        configs.add(config(where, trained.model().config().width(), f, k));
        String own = several ? "f" + f + (k == null ? "" : "-k" + k) : null;
        String full = name == null ? own : own == null ? name : name + "-" + own;
        Path folder = SparseAutoencoder.folder(model.folder(), where, full);
        if (folders.contains(folder)) {
          throw usage("--features and --k name the same autoencoder twice");
        }
        folders.add(folder);
      }
    }
    List<SparseAutoencoder> saes =
        train(console, kernels, trained.model(), learn(console, kernels, trained, where), configs);
    try {
      List<Map<String, Object>> results = new ArrayList<>();
      for (int i = 0; i < saes.size(); i++) {
        save(saes.get(i), folders.get(i));
      }
      for (int i = 0; i < saes.size(); i++) {
        results.add(judge(console, kernels, trained, saes.get(i), folders.get(i)));
      }
      return several ? map("autoencoders", results) : results.getFirst();
    } finally {
      saes.forEach(SparseAutoencoder::close);
    }
  }

  private SaeConfig config(Site where, int width, int features, Integer kept) {
    SaeConfig config =
        SaeConfig.of(where, width, features, variant.variant(features, kept))
            .withSteps(steps)
            .withBatch(batch)
            .withSeed(seed)
            .withStandardised(!raw);
    if (deadEpochs != null) {
      config = config.withDeadEpochs(deadEpochs);
    }
    if (learningRate != null) {
      config = config.withLearningRate(learningRate);
    }
    return resamples == null ? config : config.withResamples(resamples);
  }

  /** What to learn from: a cache, filled if need be, or the model itself. */
  private Source learn(Console console, Kernels kernels, Trained trained, Site where) {
    Sequences learn = SplitKind.saeParts(trained.split()).learn();
    if (cache == null) {
      return new Source(learn, null);
    }
    DType stored =
        switch (cacheType) {
          case "float32" -> DType.F32;
          case "bfloat16" -> DType.BF16;
          default -> throw usage("--cache-type is float32 or bfloat16, not " + cacheType);
        };
    try (Progress progress = console.progress("hidden states", learn.total())) {
      ActivationCache filled =
          ActivationCache.fill(
              kernels,
              trained.model(),
              where,
              learn,
              trained.split().name(),
              ActivationCache.Storage.of(stored, trained.model().config().width()),
              cache,
              rows -> progress.at(rows, ""));
      console.say("%,d hidden states in %s", filled.rows(), cache);
      return new Source(learn, filled);
    }
  }

  /**
   * What autoencoders learn from.
   *
   * @param sequences whose hidden states
   * @param cache which holds these, or null
   */
  private record Source(Sequences sequences, ActivationCache cache) {}

  private Map<String, Object> judge(
      Console console, Kernels kernels, Trained trained, SparseAutoencoder sae, Path folder) {
    Sequences heldOut = SplitKind.saeParts(trained.split()).heldOut();
    SaeMetrics metrics = SaeMetrics.of(kernels, trained.model(), sae, heldOut);
    ReconstructionCost cost =
        ReconstructionCost.of(
            kernels, trained.model(), sae, Steering.Positions.ALL, trained.split().test(), 10);
    say(console, sae, metrics, cost);
    console.say("written to %s", folder);
    Map<String, Object> result = json(sae, metrics, cost);
    result.put("folder", folder.toString());
    return result;
  }

  /** Trains and saves. The caller closes the autoencoder. */
  static SparseAutoencoder train(
      Console console,
      Kernels kernels,
      Model model,
      Sequences data,
      SaeConfig config,
      Path folder) {
    SparseAutoencoder sae =
        train(console, kernels, model, new Source(data, null), List.of(config)).getFirst();
    try {
      save(sae, folder);
      return sae;
    } catch (RuntimeException e) {
      sae.close();
      throw e;
    }
  }

  /** Saves it, without the labels of the one that it replaces. */
  private static void save(SparseAutoencoder sae, Path folder) {
    try {
      Files.deleteIfExists(folder.resolve(FeatureLabels.FEATURES_FILE));
      Files.deleteIfExists(folder.resolve(FeatureLabels.ATTRIBUTES_FILE));
      Files.deleteIfExists(folder.resolve(Concepts.FILE));
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot take the earlier labels out of " + folder, e);
    }
    sae.save(folder);
  }

  /** Trains on one stream of hidden states. The caller closes the autoencoders. */
  private static List<SparseAutoencoder> train(
      Console console, Kernels kernels, Model model, Source source, List<SaeConfig> configs) {
    long total = configs.stream().mapToLong(SaeConfig::steps).sum();
    int n = configs.size();
    try (Progress progress = console.progress("autoencoder", total)) {
      IntFunction<SaeListener> listeners =
          i ->
              (step, steps, loss, auxLoss, dead) ->
                  progress.at(
                      (step - 1L) * n + i + 1,
                      String.format(Locale.ROOT, "unexplained %.4f, dead %d", loss, dead));
      List<SaeResult> results =
          source.cache == null
              ? SaeTrainer.train(kernels, model, source.sequences, configs, listeners)
              : SaeTrainer.train(kernels, source.cache, configs, listeners);
      return results.stream().map(SaeResult::sae).toList();
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
        "  its reconstruction in the hidden state's place keeps %.1f %% of NDCG@10"
            + " and adds %.4f to the cross-entropy %.4f of the next item",
        100 * cost.ndcgKept(), cost.crossEntropyAdded(), cost.plainCrossEntropy());
  }
}
