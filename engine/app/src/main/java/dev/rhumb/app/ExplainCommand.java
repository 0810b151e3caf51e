package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.fixed;
import static dev.rhumb.app.study.Figures.json;
import static dev.rhumb.app.study.Figures.map;
import static dev.rhumb.app.study.Figures.number;
import static dev.rhumb.app.study.Figures.percent;

import dev.rhumb.app.study.Figures;
import dev.rhumb.app.study.Findings;
import dev.rhumb.app.study.Report;
import dev.rhumb.app.study.Study;
import dev.rhumb.app.study.Titles;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Table;
import dev.rhumb.data.Catalogue;
import dev.rhumb.interpret.AttributeScore;
import dev.rhumb.interpret.FeatureLabel;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.train.Trainer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Says what the features of an autoencoder mean. */
@picocli.CommandLine.Command(
    name = "explain",
    description = "Feature statistics and labels, and the report.")
final class ExplainCommand extends Command {
  @Mixin private ModelOptions model;
  @Mixin private DataOptions data;
  @Mixin private EngineOptions engine;
  @Mixin private SiteOptions site;

  @Option(
      names = "--report",
      paramLabel = "FOLDER",
      defaultValue = "report",
      description = "Where the page goes (default: ${DEFAULT-VALUE}).")
  private Path report;

  @Override
  Map<String, Object> work(Console console) {
    try (Kernels kernels = engine.open();
        Trained trained = Trained.open(kernels, model, data);
        SparseAutoencoder sae = site.open(kernels, trained)) {
      Study study =
          new Study(kernels, trained.split(), trained.model(), sae, Study.Settings.standard());
      Path folder = site.folder(model.folder());
      FeatureLabels labels = study.label(folder);
      Concepts concepts = study.concepts(labels, folder);
      say(console, labels, trained.dataset().catalogue());
      Findings findings =
          study.findings(console, labels, concepts, Trainer.history(model.folder()), false);
      console.say(
          "hidden dimensions by the same measure: mean r %s",
          fixed(findings.hidden().meanCorrelation(), 3));
      Path page = Report.write(report, findings);
      console.say("labels written to %s, the report to %s", folder, page);
      return result(findings, page);
    }
  }

  /** Prints the clearest features and the best feature of each attribute. */
  static void say(Console console, FeatureLabels labels, Catalogue catalogue) {
    console.heading("the ten clearest features");
    for (FeatureLabel label : labels.clearest().stream().limit(10).toList()) {
      AttributeScore best = label.best();
      console.say(
          "  #%-5d %s  r %s, AUC %s, fires at %s of positions",
          label.feature(),
          label.label(),
          fixed(best.correlation(), 3),
          fixed(best.auc(), 3),
          percent(label.firingShare()));
      for (int item : label.topItems().stream().limit(4).toList()) {
        console.say("           %s", Titles.words(catalogue, item));
      }
    }
    console.heading("attributes, each with the feature that goes with it best");
    Table table = new Table("", "feature", "r", "AUC", "P(fires|it)", "P(it|fires)", "significant");
    for (AttributeScore score : labels.attributes().scores()) {
      if (score.rank() == 1) {
        table.row(
            score.attribute(),
            "#" + score.column(),
            fixed(score.correlation(), 3),
            fixed(score.auc(), 3),
            fixed(score.firesGivenAttribute(), 3),
            fixed(score.attributeGivenFires(), 3),
            score.significant() ? "yes" : "no");
      }
    }
    console.say(table);
    console.say(
        "  mean over attributes: r %s (%s where it was chosen), AUC %s; users are held out",
        fixed(labels.attributes().meanCorrelation(), 3),
        fixed(labels.attributes().meanChosen(), 3),
        fixed(labels.attributes().meanAuc(), 3));
  }

  /** Findings for {@code --json}. */
  static Map<String, Object> result(Findings findings, Path page) {
    Catalogue catalogue = findings.catalogue();
    return map(
        "report", page.toString(),
        "data", findings.data(),
        "ranking", json(findings.ranking()),
        "popularity", json(findings.popularity()),
        "sae",
            map(
                "site", findings.site(),
                "features", findings.features(),
                "kept", findings.kept(),
                "explained_variance", number(findings.sae().explainedVariance()),
                "l0", findings.sae().l0(),
                "dead_share", findings.sae().deadShare(),
                "ndcg_kept", number(findings.cost().ndcgKept())),
        "mean_correlation", number(findings.labels().attributes().meanCorrelation()),
        "mean_correlation_hidden", number(findings.hidden().meanCorrelation()),
        "attributes_found", Findings.found(findings.labels().attributes()),
        "clearest",
            findings.labels().clearest().stream()
                .limit(10)
                .map(
                    label ->
                        map(
                            "feature", label.feature(),
                            "label", label.label(),
                            "correlation", number(label.best().correlation()),
                            "auc", number(label.best().auc()),
                            "firing_share", label.firingShare(),
                            "items", titles(catalogue, label.topItems())))
                .toList(),
        "curves", findings.curves().stream().map(Figures::json).toList());
  }

  private static List<String> titles(Catalogue catalogue, List<Integer> items) {
    return items.stream().map(catalogue::title).toList();
  }
}
