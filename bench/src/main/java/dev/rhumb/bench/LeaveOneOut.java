package dev.rhumb.bench;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingResult;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/**
 * SASRec on MovieLens 1M, leave-one-out, full-catalogue ranking with seen items filtered: the
 * setting of "Turning Dross Into Gold Loss" (Klenitskiy, Vasilev, RecSys 2023).
 */
public final class LeaveOneOut {
  private static final String PAPER = "Turning Dross Into Gold Loss, SASRec full CE";
  private static final long[] SEEDS = {42, 43, 44};

  private LeaveOneOut() {}

  /**
   * Runs it, or what is left of it, and writes the table.
   *
   * @param args the folder of runs, the folder of results
   */
  public static void main(String[] args) throws Exception {
    Path runs = Path.of(args[0], "leave-one-out");
    try (Kernels kernels = Kernels.open();
        Dataset dataset = MovieLens.open()) {
      System.out.println(kernels.describe() + "; " + dataset);
      Split split = Splits.leaveOneOut(dataset);
      ResultTable table =
          new ResultTable(
              "ml-1m-leave-one-out",
              "MovieLens 1M, leave-one-out, all " + split.test().count() + " users",
              "bench/leave-one-out.sh");
      for (long seed : SEEDS) {
        Path folder = runs.resolve("ce-" + seed);
        Measured m =
            Measured.once(
                folder.resolve("figures.json"),
                kernels,
                () -> measure(kernels, split, TrainingConfig.standard(seed), folder));
        Map<String, Double> paper =
            Map.of("HR@10", .3152, "NDCG@10", .1821, "best epoch", 63.0, "HR@100", .6737);
        for (String metric : m.values().keySet()) {
          Result row = Result.of("SASRec full CE", "seed " + seed, m, metric);
          table.add(paper.containsKey(metric) ? row.against(PAPER, paper.get(metric)) : row);
        }
        table.write(Path.of(args[1]));
      }
    }
  }

  private static Map<String, Double> measure(
      Kernels kernels, Split split, TrainingConfig config, Path folder) {
    int items = split.train().dataset().items();
    ModelConfig architecture = ModelConfig.of(BlockStyle.SASREC, items, 64, 2, 1, 200, 0.1f);
    TrainingResult result =
        Trainer.train(
            kernels,
            split,
            architecture,
            config,
            folder,
            true,
            MovieLens.log(folder.getFileName().toString()));
    try (ModelFolder best = ModelFolder.open(kernels, folder);
        Evaluator evaluator = new Evaluator(kernels, best.model())) {
      int[][] lists = evaluator.recommend(split.test(), 100, null);
      int[] targets = Evaluator.targets(split.test());
      RankingMetrics ten = RankingMetrics.of(lists, targets, 10, items);
      RankingMetrics hundred = RankingMetrics.of(lists, targets, 100, items);
      Map<String, Double> figures = new LinkedHashMap<>();
      figures.put("HR@10", ten.hitRate());
      figures.put("NDCG@10", ten.ndcg());
      figures.put("HR@100", hundred.hitRate());
      figures.put("MRR@10", ten.mrr());
      figures.put("coverage@10", ten.coverage());
      figures.put("best epoch", (double) result.bestEpoch());
      figures.put("epochs", (double) result.history().size());
      figures.put("seconds an epoch", median(result, EpochReport::trainSeconds));
      return figures;
    }
  }

  private static double median(TrainingResult result, ToDoubleFunction<EpochReport> of) {
    double[] values = result.history().stream().mapToDouble(of).sorted().toArray();
    return values[values.length / 2];
  }
}
