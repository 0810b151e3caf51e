package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.fixed;
import static dev.rhumb.app.study.Figures.map;
import static dev.rhumb.app.study.Figures.plain;

import dev.rhumb.app.study.Figures;
import dev.rhumb.app.study.Study;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.app.terminal.Table;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.ControlCurve;
import dev.rhumb.steer.Dose;
import dev.rhumb.steer.DoseOutcome;
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
          "Strengths; 1 makes the concept's odds about e times as large, on average (default:"
              + " ${DEFAULT-VALUE}).")
  private double[] strengths;

  @Option(
      names = "--dose",
      paramLabel = "SHARE",
      split = ",",
      description =
          "Shares of a list, from 0 to 1, that every user is to get of a concept: each by a"
              + " strength of its own, as a delta at the last position.")
  private double[] doses = {};

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
    for (double dose : doses) {
      if (!(dose >= 0 && dose <= 1)) {
        throw usage("--dose " + dose + " must be from 0 to 1");
      }
    }
    try (Kernels kernels = engine.open();
        Trained trained = Trained.open(kernels, model, data);
        SparseAutoencoder sae = site.open(kernels, trained)) {
      FeatureLabels labels = FeatureLabels.load(site.folder(model.folder()));
      Concepts known = Concepts.load(site.folder(model.folder()), labels);
      List<String> names = concepts.isEmpty() ? Study.clearest(labels, known, 5) : concepts;
      if (names.isEmpty()) {
        throw new Refusal(
            site.folder(model.folder()).toString(),
            "no feature stands for a concept",
            "train an autoencoder with more steps or features, on data with attributes");
      }
      List<ControlCurve> curves =
          new Study(kernels, trained.split(), trained.model(), sae, Study.Settings.standard())
              .curves(console, known, names, strengths, writes, positions, k);
      for (ControlCurve curve : curves) {
        say(console, curve, k);
      }
      List<DoseOutcome> met = new ArrayList<>();
      for (String name : names) {
        for (double share : doses) {
          met.add(
              DoseOutcome.of(
                  kernels,
                  trained.model(),
                  sae,
                  known,
                  new Dose(name, share),
                  trained.split().test(),
                  k));
        }
      }
      if (!met.isEmpty()) {
        say(console, met);
      }
      return map(
          "k", k,
          "positions", positions.name().toLowerCase(Locale.ROOT),
          "cases", trained.split().test().count(),
          "curves", curves.stream().map(Figures::json).toList(),
          "doses", met.stream().map(Figures::json).toList());
    }
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

  /** Prints doses. */
  private void say(Console console, List<DoseOutcome> doses) {
    console.heading("every user's own strength for a share of the list");
    Table table =
        new Table("", "dose", "share@" + k, "|share - dose|", "mean strength", "NDCG@" + k);
    for (DoseOutcome met : doses) {
      table.row(
          met.dose().concept(),
          plain(met.dose().share()),
          fixed(met.outcome().share(), 4),
          fixed(met.deviation(), 4),
          fixed(met.strength(), 2),
          fixed(met.outcome().metrics().ndcg(), 4));
    }
    console.say(table);
  }

  private static String[] row(String state, String strength, ControlCurve.Outcome outcome) {
    return new String[] {
      state,
      strength,
      fixed(outcome.share(), 4),
      fixed(outcome.metrics().ndcg(), 4),
      fixed(outcome.metrics().hitRate(), 4),
      fixed(outcome.metrics().coverage(), 4)
    };
  }
}
