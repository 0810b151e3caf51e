package dev.rhumb.bench;

import dev.rhumb.app.load.Import;
import dev.rhumb.app.load.Layout;
import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Settings;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingListener;
import dev.rhumb.train.TrainingResult;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/**
 * SASRec with full cross-entropy on MovieLens 1M, leave-one-out, full-catalogue ranking with seen
 * items filtered: the setting of "Turning Dross Into Gold Loss" (Klenitskiy, Vasilev, RecSys 2023).
 * Resumes where it stopped; at the end it writes the table.
 */
public final class MovieLens1M {
  private static final String PAPER = "Turning Dross Into Gold Loss, SASRec full CE";
  private static final String COMMAND = "bench/ml-1m.sh";

  private MovieLens1M() {}

  /**
   * Runs it.
   *
   * @param args the folder of runs, the folder of results
   */
  public static void main(String[] args) throws Exception {
    String data = Settings.get("rhumb.data");
    if (data == null) {
      System.err.println("set RHUMB_DATA to the folder that holds ml-1m/ml-1m.txt");
      System.exit(1);
    }
    Path source = Path.of(data, "ml-1m");
    Path folder = Path.of(args[0], "ml-1m-sasrec-ce");
    Layout layout =
        Layout.of(source)
            .orElseThrow(
                () ->
                    new IllegalArgumentException(
                        source + " holds no known layout of MovieLens 1M"));
    try (Kernels kernels = Kernels.open();
        Dataset dataset = Import.of(source, layout, 1).dataset()) {
      System.out.println(kernels.describe() + "; " + dataset);
      Split split = Splits.leaveOneOut(dataset);
      ModelConfig architecture =
          ModelConfig.of(BlockStyle.SASREC, dataset.items(), 64, 2, 1, 200, 0.1f);
      String commit = commit(folder);
      TrainingResult result =
          Trainer.train(
              kernels, split, architecture, TrainingConfig.standard(42), folder, true, new Log());
      try (ModelFolder best = ModelFolder.open(kernels, folder);
          Evaluator evaluator = new Evaluator(kernels, best.model())) {
        int[][] lists = evaluator.recommend(split.test(), 100, null);
        int[] targets = Evaluator.targets(split.test());
        table(kernels, commit, result, lists, targets, dataset.items()).write(Path.of(args[1]));
      }
    }
  }

  private static ResultTable table(
      Kernels kernels,
      String commit,
      TrainingResult result,
      int[][] lists,
      int[] targets,
      int items) {
    RankingMetrics ten = RankingMetrics.of(lists, targets, 10, items);
    RankingMetrics hundred = RankingMetrics.of(lists, targets, 100, items);
    ResultTable table =
        new ResultTable(
            "ml-1m-sasrec-ce",
            "SASRec, full cross-entropy, MovieLens 1M, leave-one-out, all "
                + ten.cases()
                + " users",
            COMMAND,
            commit);
    Row row = new Row(table, kernels);
    row.add("HR@10", ten.hitRate(), "", PAPER, .3152);
    row.add("NDCG@10", ten.ndcg(), "", PAPER, .1821);
    row.add("HR@100", hundred.hitRate(), "", PAPER + ", logged run", .6737);
    row.add("MRR@10", ten.mrr(), "", null, null);
    row.add("coverage@10", ten.coverage(), "", null, null);
    row.add("best epoch", result.bestEpoch(), "", PAPER, 63.0);
    row.add("epochs", result.history().size(), "", null, null);
    row.add(
        "training time of an epoch, median",
        median(result, EpochReport::trainSeconds),
        "s",
        null,
        null);
    row.add(
        "validation time of an epoch, median",
        median(result, EpochReport::validationSeconds),
        "s",
        null,
        null);
    table.note(
        "Times are what the run took beside whatever else this machine did; they are no benchmark. Every position of every user's newest"
            + " 200 training items counts once an epoch; histories are packed, so no time goes into padding.");
    return table;
  }

  /** The commit at which the run began: the one that its figures belong to. */
  private static String commit(Path folder) throws IOException {
    Path file = folder.resolve("commit");
    if (!Files.exists(file)) {
      Files.createDirectories(folder);
      AtomicFiles.writeString(file, ResultTable.commit());
    }
    return Files.readString(file).strip();
  }

  private record Row(ResultTable table, Kernels kernels) {
    void add(String metric, double value, String unit, String reference, Double referenceValue) {
      table.add(
          new Result(
              "SASRec full CE, ML-1M",
              "D 64, 2 layers, 1 head, T 200, batch 128",
              kernels.describe(),
              kernels.threads(),
              metric,
              value,
              unit,
              reference,
              referenceValue));
    }
  }

  private static double median(
      TrainingResult result, java.util.function.ToDoubleFunction<EpochReport> of) {
    double[] values = result.history().stream().mapToDouble(of).sorted().toArray();
    return values[values.length / 2];
  }

  private static final class Log implements TrainingListener {
    @Override
    public void onEpoch(EpochReport r) {
      System.out.printf(
          Locale.ROOT,
          "epoch %d: loss %.4f, validation NDCG@10 %.4f, HR@10 %.4f, %.1f s + %.1f s%s%n",
          r.epoch(),
          r.loss(),
          r.validationNdcg(),
          r.validationHitRate(),
          r.trainSeconds(),
          r.validationSeconds(),
          r.best() ? ", best" : "");
    }
  }
}
