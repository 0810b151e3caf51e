package dev.rhumb.bench;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Bootstrap;
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
import dev.rhumb.model.Objective;
import dev.rhumb.model.Objective.BinaryCrossEntropy;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingResult;
import java.nio.file.Path;
import java.util.Map;

/**
 * Rankers on MovieLens 1M, leave-one-out, full-catalogue ranking with seen items filtered: the
 * setting of "Turning Dross Into Gold Loss" (Klenitskiy, Vasilev, RecSys 2023). Each seed of each
 * loss is a part of its own.
 */
public final class LeaveOneOut {
  private static final long[] SEEDS = {42, 43, 44};
  private static final int SAMPLED = 3000;
  private static final String PAPER = "Turning Dross Into Gold Loss, ";

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
   * Runs what is left of it.
   *
   * @param args the folder of runs, the folder of results
   */
  public static void main(String[] args) throws Exception {
    try (Kernels kernels = Kernels.open();
        Dataset dataset = MovieLens.open()) {
      System.out.println(kernels.describe() + "; " + dataset);
      Split split = Splits.leaveOneOut(dataset);
      ResultTable table =
          new ResultTable(
              Path.of(args[1]),
              "ml-1m-leave-one-out",
              "MovieLens 1M, leave-one-out, all " + split.test().count() + " users",
              "bench/leave-one-out.sh");
      table.note(
          "SASRec: D 64, 2 blocks, 1 head, T 200, batch 128, dropout .1, Adam 1e-3, at most 100 epochs, patience 10 on"
              + " validation NDCG@10 (gBCE: 200 and 20, beta2 .98). The interval of a seed is that of the mean over users (95 %, bootstrap, 2,000"
              + " resamples of users); beside a mean over seeds stand the lowest and the highest.");
      table.note(
          "Seconds are what an epoch of training took at the median, beside whatever else this machine did: no"
              + " benchmark. Histories are packed, so no time goes into padding.");
      table.note(
          "The commit is that of the code that judged a run; a run that"
              + " was resumed may have begun under an earlier one.");
      new LeaveOneOut(kernels, split, Path.of(args[0], "leave-one-out"), table).study();
      table.write();
    }
  }

  private void study() throws Exception {
    baseline("popularity", () -> Popularity.fit(split.train()));
    baseline("first-order Markov chain", () -> MarkovChain.fit(split.train()));
    baseline(
        "item nearest neighbours", () -> ItemKnn.fit(split.train(), ItemKnn.Config.standard()));
    // A seed of every loss before the next seed: a study cut short has every row.
    for (long seed : SEEDS) {
      TrainingConfig standard = TrainingConfig.standard(seed);
      trained(
          "SASRec, full cross-entropy",
          "ce",
          standard,
          new Figures.Reference(
              PAPER + "SASRec, full cross-entropy",
              Map.of("HR@10", .3152, "NDCG@10", .1821, "HR@100", .6737, "best epoch", 63.)));
      trained(
          "SASRec, BCE, 1 negative",
          "bce",
          standard.withObjective(BinaryCrossEntropy.bce(1)),
          new Figures.Reference(
              PAPER + "SASRec, BCE", Map.of("HR@10", .2500, "NDCG@10", .1341, "best epoch", 53.)));
      trained(
          "SASRec, sampled softmax, " + SAMPLED + " negatives, uniform",
          "sampled",
          standard.withObjective(
              new Objective.SampledSoftmax(SAMPLED, new Objective.Proposal.Uniform())),
          new Figures.Reference(
              PAPER + "SASRec, 3000 negatives",
              Map.of("HR@10", .3159, "NDCG@10", .1857, "best epoch", 85.)));
    }
    // It stands still at first and takes the longest.
    for (long seed : SEEDS) {
      trained(
          "SASRec, gBCE, 256 negatives, t .75",
          "gbce",
          new TrainingConfig(seed, 128, 1e-3f, 0, 0, 200, 20)
              .withObjective(BinaryCrossEntropy.gbce(256, .75))
              .withBeta2(.98f),
          new Figures.Reference(
              PAPER + "gSASRec, D 128", Map.of("HR@10", .3003, "NDCG@10", .1726)));
    }
  }

  private interface Fit {
    Ranker fit();
  }

  private void baseline(String name, Fit fit) throws Exception {
    table.part(
        name,
        "",
        kernels,
        Figures.Reference.NONE,
        figures -> {
          try (Ranker ranker = fit.fit()) {
            judge(ranker, figures);
          }
        });
  }

  private void trained(
      String name, String folder, TrainingConfig config, Figures.Reference reference)
      throws Exception {
    int items = split.train().dataset().items();
    Path run = runs.resolve(folder + "-" + config.seed());
    table.part(
        name,
        "seed " + config.seed(),
        kernels,
        reference,
        figures -> {
          TrainingResult result =
              Trainer.train(
                  kernels,
                  split,
                  ModelConfig.of(BlockStyle.SASREC, items, 64, 2, 1, 200, 0.1f),
                  config,
                  run,
                  true,
                  MovieLens.log(run.getFileName().toString()));
          try (ModelFolder best = ModelFolder.open(kernels, run);
              Ranker ranker = new Evaluator(kernels, best.model())) {
            judge(ranker, figures);
          }
          figures.add("best epoch", result.bestEpoch());
          double[] seconds =
              result.history().stream().mapToDouble(EpochReport::trainSeconds).sorted().toArray();
          figures.add("epoch", seconds[seconds.length / 2], "s");
        });
    table.means(name);
    table.write();
  }

  private void judge(Ranker ranker, Figures figures) {
    RankingReport report = RankingReport.of(ranker, split, 100);
    Bootstrap bootstrap = Bootstrap.standard();
    figures.add("HR@10", bootstrap.mean(report.values(Metric.HIT_RATE, 10)));
    figures.add("NDCG@10", bootstrap.mean(report.values(Metric.NDCG, 10)));
    figures.add("HR@100", bootstrap.mean(report.values(Metric.HIT_RATE, 100)));
    figures.add("coverage@10", report.value(Metric.COVERAGE, 10));
  }
}
