package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.fixed;
import static dev.rhumb.app.study.Figures.plain;

import dev.rhumb.app.load.DataFolders;
import dev.rhumb.app.load.Rare;
import dev.rhumb.app.study.Example;
import dev.rhumb.app.study.Findings;
import dev.rhumb.app.study.Report;
import dev.rhumb.app.study.SplitKind;
import dev.rhumb.app.study.Study;
import dev.rhumb.app.study.Titles;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Split;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SaeConfig;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.ControlCurve;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingResult;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The main job, end to end. */
@picocli.CommandLine.Command(
    name = "demo",
    description = "The main job end to end: data -> model -> autoencoder -> labels -> steering.")
final class DemoCommand extends Command {
  private static final Site SITE = new Site(Site.Kind.BLOCK, 0);

  @Mixin private DataOptions data;
  @Mixin private EngineOptions engine;

  @Option(
      names = {"--model", "-m"},
      paramLabel = "FOLDER",
      description = "Where the model goes (default: runs/demo/NAME).")
  private Path model;

  @Option(
      names = "--report",
      paramLabel = "FOLDER",
      defaultValue = "report",
      description = "Where the page goes (default: ${DEFAULT-VALUE}).")
  private Path report;

  @Option(
      names = "--quick",
      description = "A few seconds instead of minutes, to see that it works.")
  private boolean quick;

  @Option(
      names = "--generated",
      description = "Use the generated catalogue, whatever data there are.")
  private boolean generated;

  @Option(names = "--seed", defaultValue = "1", description = "(default: ${DEFAULT-VALUE})")
  private long seed;

  /**
   * How much is done.
   *
   * @param leastInteractions items with fewer are left out
   */
  private record Effort(
      int leastInteractions,
      int width,
      int length,
      int epochs,
      int patience,
      int features,
      int kept,
      int steps,
      Study.Settings study) {
    static final Effort FULL =
        new Effort(5, 64, 100, 36, 4, 1024, 16, 3000, Study.Settings.standard());
    static final Effort QUICK =
        new Effort(
            20, 32, 30, 2, 2, 128, 8, 150, new Study.Settings(20_000, 2, List.of(0., 2., 4.), 4));
  }

  @Override
  Map<String, Object> work(Console console) throws IOException {
    DataFolders.Search search =
        generated ? null : DataFolders.find(data.named(), DataFolders.DEFAULT);
    if (search != null && search.folder() != null) {
      try (Dataset all = DataOptions.open(search.folder());
          Dataset dataset = Rare.removed(all, effort().leastInteractions)) {
        console.say("%s (%s)", all, search.folder());
        console.say(
            "  items with fewer than %d interactions are left out: %,d items and %,d interactions"
                + " stay",
            effort().leastInteractions, dataset.items(), dataset.interactions());
        return run(console, dataset, false);
      }
    }
    if (search != null) {
      console.note(
          "no data (%s); using a generated catalogue, whose true interests are known",
          String.join("; ", search.reasons()));
    }
    try (GeneratedWorld world = GeneratedWorld.make(world(), seed)) {
      console.say("%s, made from %d interests", world.dataset(), world.interests());
      return run(console, world.dataset(), true);
    }
  }

  private Effort effort() {
    return quick ? Effort.QUICK : Effort.FULL;
  }

  private GeneratedWorld.Config world() {
    return quick
        ? new GeneratedWorld.Config(200, 200, 8, 3, 10, 40, .8, .85, .6, .01)
        : GeneratedWorld.Config.demo();
  }

  private Map<String, Object> run(Console console, Dataset dataset, boolean truth)
      throws IOException {
    Effort effort = effort();
    Path folder = model == null ? Path.of("runs", "demo", dataset.name()) : model;
    Map<String, Object> seconds = new LinkedHashMap<>();
    long start = System.nanoTime();
    try (Kernels kernels = engine.open()) {
      console.say("%s", kernels.describe());

      console.heading("training a transformer");
      Split split = SplitKind.LEAVE_ONE_OUT.of(dataset);
      ModelConfig architecture =
          ModelConfig.of(
              BlockStyle.SASREC, dataset.items(), effort.width, 2, 1, effort.length, .2f);
      TrainingConfig training =
          new TrainingConfig(seed, 64, 1.5e-3f, 0, 0, effort.epochs, effort.patience);
      // The demonstration always starts anew; only the mark of an earlier run has to go.
      Files.deleteIfExists(folder.resolve("training").resolve("state.safetensors"));
      TrainingResult trained =
          TrainCommand.train(console, kernels, split, architecture, training, folder, false);
      // Other commands go on with this model, and these data are nowhere else.
      dataset.save(Trained.data(folder));
      start = lap(seconds, "training", start);

      try (ModelFolder opened = ModelFolder.open(kernels, folder)) {
        console.heading("learning a sparse autoencoder on its hidden states");
        SaeConfig config =
            SaeConfig.of(SITE, effort.width, effort.features, effort.kept)
                .withSteps(effort.steps)
                .withSeed(seed);
        Path saeFolder = SparseAutoencoder.folder(folder, SITE);
        try (SparseAutoencoder sae =
            SaeCommand.train(
                console,
                kernels,
                opened.model(),
                SplitKind.saeParts(split).learn(),
                config,
                saeFolder)) {
          start = lap(seconds, "autoencoder", start);
          Study study = new Study(kernels, split, opened.model(), sae, effort.study);
          FeatureLabels labels = study.label(saeFolder);
          Concepts concepts = study.concepts(labels, saeFolder);
          Findings findings = study.findings(console, labels, concepts, trained.history(), truth);
          Path page = Report.write(report, findings);
          lap(seconds, "study", start);
          say(console, sae, findings);
          console.say("");
          console.say(
              "%.0f s in all; the report is %s, the model is in %s",
              seconds.values().stream().mapToDouble(s -> (double) s).sum(), page, folder);
          Map<String, Object> result = ExplainCommand.result(findings, page);
          result.put("model", folder.toString());
          result.put("generated", truth);
          result.put("backend", kernels.describe());
          result.put("seconds", seconds);
          return result;
        }
      }
    }
  }

  private static long lap(Map<String, Object> seconds, String stage, long start) {
    long now = System.nanoTime();
    seconds.put(stage, (now - start) * 1e-9);
    return now;
  }

  private static void say(Console console, SparseAutoencoder sae, Findings findings) {
    SaeCommand.say(console, sae, findings.sae(), findings.cost());
    console.heading("ranking, " + findings.ranking().cases() + " test cases, full catalogue");
    console.say(
        EvaluateCommand.table(findings.ranking().k())
            .row(EvaluateCommand.row("model", findings.ranking()))
            .row(EvaluateCommand.row("popularity", findings.popularity())));
    ExplainCommand.say(console, findings.labels(), findings.catalogue());
    console.say(
        "  hidden dimensions by the same measure, either sign: r %s",
        fixed(findings.hidden().meanCorrelation(), 3));
    if (findings.generated()) {
      console.say(
          "  of %d planted interests a feature found %d (r %s or more), a hidden dimension %d",
          findings.catalogue().attributes().count(),
          Findings.found(findings.labels().attributes()),
          plain(Findings.FOUND),
          Findings.found(findings.hidden()));
    }
    Example example = findings.example();
    if (example != null) {
      console.heading("user " + example.user() + ", the newest of the history");
      List<Integer> history = example.history();
      for (int item : history.subList(Math.max(0, history.size() - 5), history.size())) {
        console.say("  %s", Titles.words(findings.catalogue(), item));
      }
      RecommendCommand.say(
          console, "before", findings.catalogue(), findings.labels(), example.before());
      RecommendCommand.say(
          console,
          "after steering " + example.concept() + " = " + plain(example.strength()),
          findings.catalogue(),
          findings.labels(),
          example.after());
    }
    for (ControlCurve curve : findings.curves().stream().limit(1).toList()) {
      SteerCommand.say(console, curve, findings.ranking().k());
    }
  }
}
