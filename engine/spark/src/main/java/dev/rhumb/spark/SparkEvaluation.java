package dev.rhumb.spark;

import dev.rhumb.data.Cases;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import java.io.Serializable;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Spliterators;
import java.util.stream.StreamSupport;
import org.apache.spark.sql.SparkSession;

/**
 * Ranking metrics of a model on its test cases, over a cluster. Tasks compute the lists with the
 * engine's {@link Evaluator}; the driver gathers them, (k + 1) x 4 bytes a case, and sums up. The
 * result is that of a single process to the last bit, whatever the number of partitions, where all
 * nodes run the same backend.
 */
public final class SparkEvaluation {
  /** The list of one case. */
  private record Ranked(int target, int[] list) implements Serializable {}

  private SparkEvaluation() {}

  /**
   * Evaluates with as many partitions as Spark has cores for by default.
   *
   * @see #evaluate(SparkSession, String, String, String, int, int)
   */
  public static RankingMetrics evaluate(
      SparkSession spark, String modelFolder, String datasetFolder, String split, int k) {
    int partitions = spark.sparkContext().defaultParallelism();
    return evaluate(spark, modelFolder, datasetFolder, split, k, partitions);
  }

  /**
   * Evaluates.
   *
   * @param modelFolder a path that every node can read
   * @param datasetFolder a prepared dataset, at a path that every node and the driver can read: the
   *     one that the model was trained on
   * @param split the split that the model was trained on, as {@link Splits#usage} lists them
   * @param k length of a list, 1 or more
   * @param partitions number of tasks, 1 or more; each opens both folders once
   * @throws IllegalArgumentException when k, the partitions or the name of the split is wrong;
   *     before a job starts
   * @throws dev.rhumb.checkpoint.FormatException when the driver cannot use the dataset. What a
   *     task refuses, such as a missing model, is the cause of Spark's {@code SparkException}
   */
  public static RankingMetrics evaluate(
      SparkSession spark,
      String modelFolder,
      String datasetFolder,
      String split,
      int k,
      int partitions) {
    Arguments.check(k, partitions);
    int cases;
    int items;
    try (Dataset dataset = Dataset.load(Path.of(datasetFolder))) {
      cases = Splits.named(split, dataset).test().count();
      items = dataset.items();
    }
    List<Ranked> ranked =
        TaskWorkspace.batches(spark, cases, partitions)
            .mapPartitions(batches -> rank(batches, modelFolder, datasetFolder, split, k))
            .collect();
    return RankingMetrics.of(
        ranked.stream().map(Ranked::list).toArray(int[][]::new),
        ranked.stream().mapToInt(Ranked::target).toArray(),
        k,
        items);
  }

  private static Iterator<Ranked> rank(
      Iterator<Integer> batches, String modelFolder, String datasetFolder, String split, int k) {
    TaskWorkspace work = TaskWorkspace.open(modelFolder, datasetFolder);
    Split divided = Splits.named(split, work.dataset());
    requireTrainedOn(work, divided.name());
    Cases test = divided.test();
    return StreamSupport.stream(Spliterators.spliteratorUnknownSize(batches, 0), false)
        .flatMap(
            batch -> {
              Cases cases = test.select(TaskWorkspace.members(batch, test.count()));
              int[][] lists = work.evaluator().recommend(cases, k, null);
              return TaskWorkspace.each(lists.length, i -> new Ranked(cases.target(i), lists[i]));
            })
        .iterator();
  }

  /** On other data, or divided otherwise, the model may have been trained on the answers. */
  private static void requireTrainedOn(TaskWorkspace work, String split) {
    var trained = work.folder().description();
    if (!trained.fingerprint().equals(work.dataset().fingerprint())) {
      throw new IllegalArgumentException(
          "dataset "
              + work.dataset().name()
              + " is not the one that the model in "
              + work.folder().folder()
              + " was trained on; name that one, "
              + trained.datasetName());
    }
    if (!trained.split().equals(split)) {
      throw new IllegalArgumentException(
          "the model in "
              + work.folder().folder()
              + " was trained on the split "
              + trained.split()
              + "; evaluate it on that, not on "
              + split);
    }
  }
}
