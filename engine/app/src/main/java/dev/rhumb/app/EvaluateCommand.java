package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.fixed;
import static dev.rhumb.app.study.Figures.json;
import static dev.rhumb.app.study.Figures.map;

import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Table;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.Popularity;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.Kernels;
import java.util.Map;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Ranking metrics of a model over the full catalogue. */
@picocli.CommandLine.Command(
    name = "evaluate",
    description = "Ranking metrics of a model on its test cases, over the full catalogue.")
final class EvaluateCommand extends Command {
  @Mixin private ModelOptions model;
  @Mixin private DataOptions data;
  @Mixin private EngineOptions engine;

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
        Evaluator evaluator = new Evaluator(kernels, trained.model())) {
      RankingMetrics metrics = evaluator.evaluate(trained.split().test(), k);
      RankingMetrics popularity =
          Popularity.fit(trained.split().train()).evaluate(trained.split().test(), k);
      console.say(
          "%s, %s: %d test cases, all %d items ranked, those of the history left out",
          trained.dataset().name(),
          trained.split().name(),
          metrics.cases(),
          trained.dataset().items());
      console.say(table(k).row(row("model", metrics)).row(row("popularity", popularity)));
      return map(
          "model", model.folder().toString(),
          "dataset", trained.dataset().name(),
          "split", trained.split().name(),
          "metrics", json(metrics),
          "popularity", json(popularity));
    }
  }

  /** A table of metrics. */
  static Table table(int k) {
    return new Table("", "HR@" + k, "NDCG@" + k, "MRR@" + k, "coverage@" + k);
  }

  /** A row of it. */
  static String[] row(String name, RankingMetrics m) {
    return new String[] {
      name, fixed(m.hitRate(), 4), fixed(m.ndcg(), 4), fixed(m.mrr(), 4), fixed(m.coverage(), 4)
    };
  }
}
