package dev.rhumb.app;

import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.ControlCurve;
import dev.rhumb.steer.Steering;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Control curves: what steering a concept does to recommendations. */
@picocli.CommandLine.Command(
    name = "steer",
    description = "Control curves: concept x strength -> share of the lists, NDCG, coverage.")
final class SteerCommand extends Command {
  @Mixin private ModelOptions model;
  @Mixin private DataOptions data;
  @Mixin private EngineOptions engine;
  @Mixin private SiteOptions site;

  @Option(
      names = {"--concept", "-c"},
      paramLabel = "NAME",
      split = ",",
      description = "Concepts to steer (default: the clearest five).")
  private List<String> concepts = new ArrayList<>();

  @Option(
      names = "--strength",
      paramLabel = "X",
      split = ",",
      defaultValue = "-2,0,1,2,4,8",
      description =
          "Strengths; 1 adds as much as the concept's features have where they fire (default:"
              + " ${DEFAULT-VALUE}).")
  private double[] strengths;

  @Option(
      names = "--write",
      split = ",",
      defaultValue = "DELTA,REPLACE",
      description =
          "delta keeps the autoencoder's error, replace puts the reconstruction in the hidden"
              + " state's place (default: both).")
  private List<EditTable.Write> writes;

  @Option(
      names = "--positions",
      defaultValue = "LAST",
      description = "last or all (default: last).")
  private Steering.Positions positions;

  @Option(
      names = "-k",
      defaultValue = "10",
      description = "Length of a list (default: ${DEFAULT-VALUE}).")
  private int k;

  @Override
  Map<String, Object> work(Console console) {
    if (k < 1) {
      throw usage("-k " + k + " must be 1 or more");
    }
    try (Kernels kernels = engine.open();
        Trained trained = Trained.open(kernels, model, data);
        SparseAutoencoder sae = site.open(kernels, trained)) {
      FeatureLabels labels = FeatureLabels.load(site.folder(model.folder()));
      Concepts known = Concepts.of(labels);
      List<String> names = concepts.isEmpty() ? clearest(labels, known, 5) : concepts;
      if (names.isEmpty()) {
        throw new Refusal(
            site.folder(model.folder()).toString(),
            "no feature stands for a concept",
            "train an autoencoder with more steps or features, on data with attributes");
      }
      List<ControlCurve> curves;
      int total = 2 + names.size() * writes.size() * strengths.length;
      try (Progress progress = console.progress("steering", total)) {
        int[] done = {0};
        curves =
            ControlCurve.of(
                kernels,
                trained.model(),
                sae,
                known,
                names,
                strengths,
                writes,
                positions,
                trained.split().test(),
                k,
                () -> progress.at(++done[0], ""));
      }
      for (ControlCurve curve : curves) {
        say(console, curve, k);
      }
      return map(
          "k", k,
          "positions", positions.name().toLowerCase(Locale.ROOT),
          "cases", trained.split().test().count(),
          "curves", curves.stream().map(SteerCommand::json).toList());
    }
  }

  /** The concepts whose best features are clearest, on users who did not choose them. */
  static List<String> clearest(FeatureLabels labels, Concepts concepts, int most) {
    return labels.attributes().scores().stream()
        .filter(score -> score.rank() == 1 && concepts.names().contains(score.attribute()))
        .sorted(java.util.Comparator.comparingDouble(score -> -score.correlation()))
        .limit(most)
        .map(score -> score.attribute())
        .toList();
  }

  /** Prints a curve. */
  static void say(Console console, ControlCurve curve, int k) {
    console.heading(curve.concept());
    Table table = new Table("", "strength", "share@" + k, "NDCG@" + k, "HR@" + k, "coverage@" + k);
    table.row(row("original", "", curve.original()));
    for (ControlCurve.Point point : curve.points()) {
      table.row(
          row(
              point.write().name().toLowerCase(Locale.ROOT),
              plain(point.strength()),
              point.outcome()));
    }
    table.row(row("reconstructed", "", curve.reconstructed()));
    console.say(table);
  }

  private static String[] row(String state, String strength, ControlCurve.Outcome outcome) {
    return new String[] {
      state,
      strength,
      EvaluateCommand.four(outcome.share()),
      EvaluateCommand.four(outcome.metrics().ndcg()),
      EvaluateCommand.four(outcome.metrics().hitRate()),
      EvaluateCommand.four(outcome.metrics().coverage())
    };
  }

  /** A number without needless digits. */
  static String plain(double value) {
    return value == Math.rint(value) && Math.abs(value) < 1e9
        ? Long.toString((long) value)
        : Double.toString(value);
  }

  /** A curve for {@code --json} and the report. */
  static Map<String, Object> json(ControlCurve curve) {
    return map(
        "concept", curve.concept(),
        "original", json(curve.original()),
        "reconstructed", json(curve.reconstructed()),
        "points",
            curve.points().stream()
                .map(
                    point ->
                        map(
                            "write", point.write().name().toLowerCase(Locale.ROOT),
                            "strength", point.strength(),
                            "outcome", json(point.outcome())))
                .toList());
  }

  private static Map<String, Object> json(ControlCurve.Outcome outcome) {
    return map("share", outcome.share(), "metrics", EvaluateCommand.json(outcome.metrics()));
  }
}
