package dev.rhumb.bench;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Bootstrap;
import dev.rhumb.eval.CaseScores;
import dev.rhumb.eval.Estimate;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.ItemKnn;
import dev.rhumb.eval.MarkovChain;
import dev.rhumb.eval.Metric;
import dev.rhumb.eval.Popularity;
import dev.rhumb.eval.Ranker;
import dev.rhumb.eval.RankingReport;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;

/**
 * Rankers on MovieLens 1M, leave-one-out, full-catalogue ranking with seen items filtered: the
 * setting of "Turning Dross Into Gold Loss" (Klenitskiy, Vasilev, RecSys 2023). Each seed of each
 * loss is a part of its own; the table holds what is there.
 */
public final class LeaveOneOut {
  private static final String PAPER = "Turning Dross Into Gold Loss";
  private static final long[] SEEDS = {42, 43, 44};
  private static final List<String> OF_CASES = List.of("HR@10", "NDCG@10", "HR@100");

  private final Kernels kernels;
  private final Split split;
  private final Path runs;
  private final ResultTable table;

  private LeaveOneOut(Kernels kernels, Split split, Path runs, ResultTable table) {
    this.kernels = kernels;
    this.split = split;
    this.runs = runs;
    this.table = table;
  }

  /**
   * Runs what is left of it, and writes the table after each part.
   *
   * @param args the folder of runs, the folder of results
   */
  public static void main(String[] args) throws Exception {
    try (Kernels kernels = Kernels.open();
        Dataset dataset = MovieLens.open()) {
      System.out.println(kernels.describe() + "; " + dataset);
      Split split = Splits.leaveOneOut(dataset);
      Path runs = Path.of(args[0], "leave-one-out");
      List<Row> rows =
          List.of(
              new Row("popularity", "", Map.of(), new long[] {0}, null),
              new Row("first-order Markov chain", "", Map.of(), new long[] {0}, null),
              new Row("item nearest neighbours", "", Map.of(), new long[] {0}, null),
              new Row(
                  "SASRec, full cross-entropy",
                  "ce",
                  Map.of("HR@10", .3152, "NDCG@10", .1821, "HR@100", .6737, "best epoch", 63.),
                  SEEDS,
                  TrainingConfig::standard));
      // A seed of each row before the next seed, so that a study cut short has every row.
      for (int i = 0; i < SEEDS.length; i++) {
        for (Row row : rows) {
          if (i < row.seeds().length) {
            new LeaveOneOut(kernels, split, runs, null).part(row, row.seeds()[i]);
            write(kernels, split, runs, rows, Path.of(args[1]));
          }
        }
      }
    }
  }

  /**
   * A row of the table.
   *
   * @param name what ranks
   * @param folder the start of its runs' names, where it is trained
   * @param paper published figures
   * @param seeds of its runs
   * @param training by seed; null for a baseline
   */
  private record Row(
      String name,
      String folder,
      Map<String, Double> paper,
      long[] seeds,
      LongFunction<TrainingConfig> training) {

    Path run(Path runs, long seed) {
      return runs.resolve(training == null ? name.replace(' ', '-') : folder + "-" + seed);
    }
  }

  private static void write(Kernels kernels, Split split, Path runs, List<Row> rows, Path results)
      throws Exception {
    ResultTable table =
        new ResultTable(
            "ml-1m-leave-one-out",
            "MovieLens 1M, leave-one-out, all " + split.test().count() + " users",
            "bench/leave-one-out.sh");
    LeaveOneOut study = new LeaveOneOut(kernels, split, runs, table);
    for (Row row : rows) {
      study.line(row);
    }
    table.note(
        "SASRec: D 64, 2 blocks, 1 head, T 200, batch 128, dropout .1, Adam 1e-3, at most 100 epochs, patience 10 on validation"
            + " NDCG@10. Figures are means over the seeds that are named; intervals are of the mean over users (bootstrap, 2,000"
            + " resamples of users, each with its mean over seeds).");
    table.note(
        "Seconds are what an epoch of the training took beside whatever else this machine did: no benchmark. Histories are"
            + " packed, so no time goes into padding.");
    table.write(results);
  }

  /** The mean over the seeds that have been run. */
  private void line(Row row) throws Exception {
    List<Measured> measured = new ArrayList<>();
    List<CaseScores> cases = new ArrayList<>();
    List<String> seeds = new ArrayList<>();
    for (long seed : row.seeds()) {
      Path run = row.run(runs, seed);
      if (Files.exists(run.resolve("figures.json"))) {
        measured.add(part(row, seed));
        cases.add(CaseScores.load(run.resolve("cases.tsv")));
        seeds.add("" + seed);
      }
    }
    if (measured.isEmpty()) {
      return;
    }
    String shape = row.training() == null ? "" : "seed " + String.join(", ", seeds);
    for (String metric : measured.getFirst().values().keySet()) {
      double mean = measured.stream().mapToDouble(m -> m.get(metric)).average().orElseThrow();
      Result result = Result.of(row.name(), shape, measured.getFirst(), metric).valued(mean);
      if (OF_CASES.contains(metric)) {
        Estimate estimate = Bootstrap.standard().mean(mean(cases, metric));
        result = result.within(estimate.low(), estimate.high());
      }
      Double paper = row.paper().get(metric);
      table.add(paper == null ? result : result.against(PAPER, paper));
    }
  }

  /** Each user's mean over seeds. */
  private static double[] mean(List<CaseScores> runs, String metric) {
    double[] mean = new double[runs.getFirst().count()];
    for (CaseScores run : runs) {
      double[] values = run.values(metric.toLowerCase(java.util.Locale.ROOT));
      for (int i = 0; i < mean.length; i++) {
        mean[i] += values[i] / runs.size();
      }
    }
    return mean;
  }

  private Measured part(Row row, long seed) throws Exception {
    Path run = row.run(runs, seed);
    return Measured.once(
        run.resolve("figures.json"),
        kernels,
        () -> row.training() == null ? baseline(row, run) : trained(row, seed, run));
  }

  private Map<String, Double> baseline(Row row, Path run) throws Exception {
    try (Ranker ranker =
        switch (row.name()) {
          case "popularity" -> Popularity.fit(split.train());
          case "first-order Markov chain" -> MarkovChain.fit(split.train());
          default -> ItemKnn.fit(split.train(), ItemKnn.Config.standard());
        }) {
      return judged(row, ranker, run);
    }
  }

  private Map<String, Double> trained(Row row, long seed, Path run) throws Exception {
    int items = split.train().dataset().items();
    TrainingResult result =
        Trainer.train(
            kernels,
            split,
            ModelConfig.of(BlockStyle.SASREC, items, 64, 2, 1, 200, 0.1f),
            row.training().apply(seed),
            run,
            true,
            MovieLens.log(run.getFileName().toString()));
    try (ModelFolder best = ModelFolder.open(kernels, run);
        Ranker ranker = new Evaluator(kernels, best.model())) {
      Map<String, Double> figures = judged(row, ranker, run);
      figures.put("best epoch", (double) result.bestEpoch());
      double[] seconds =
          result.history().stream().mapToDouble(EpochReport::trainSeconds).sorted().toArray();
      figures.put("seconds an epoch", seconds[seconds.length / 2]);
      return figures;
    }
  }

  private Map<String, Double> judged(Row row, Ranker ranker, Path run) throws Exception {
    RankingReport report = RankingReport.of(ranker, split, 100);
    Files.createDirectories(run);
    CaseScores.of(report, split.name(), row.name(), List.of(Metric.HIT_RATE, Metric.NDCG), 10, 100)
        .save(run.resolve("cases.tsv"));
    Map<String, Double> figures = new LinkedHashMap<>();
    figures.put("HR@10", report.value(Metric.HIT_RATE, 10));
    figures.put("NDCG@10", report.value(Metric.NDCG, 10));
    figures.put("HR@100", report.value(Metric.HIT_RATE, 100));
    figures.put("coverage@10", report.value(Metric.COVERAGE, 10));
    return figures;
  }
}
