package dev.rhumb.spark;

import dev.rhumb.data.Dataset;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.ModelFolder;
import java.nio.file.Path;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.util.TaskCompletionListener;

/**
 * What one task works with, opened on the machine where it runs. Spark closes it when the task
 * ends, however it ends. For the thread of the task alone.
 *
 * <p>Work is dealt in the evaluator's own batches, never parts of one: each batch is one that a
 * single process would run too, so the results have the same bits wherever the backend is the same.
 */
record TaskWorkspace(ModelFolder folder, Dataset dataset, Evaluator evaluator) {

  /**
   * Opens both folders with as many threads as the task has cores.
   *
   * @throws dev.rhumb.checkpoint.FormatException when a file is missing or damaged: it names the
   *     file and the mend
   */
  static TaskWorkspace open(String modelFolder, String datasetFolder) {
    Kernels kernels;
    try (Kernels machine = Kernels.open()) {
      kernels = machine.fork(TaskContext.get().cpus());
    }
    whenTaskEnds(kernels::close);
    ModelFolder folder = ModelFolder.open(kernels, Path.of(modelFolder));
    whenTaskEnds(folder::close);
    Dataset dataset = Dataset.load(Path.of(datasetFolder));
    whenTaskEnds(dataset::close);
    Evaluator evaluator = new Evaluator(kernels, folder.model());
    whenTaskEnds(evaluator::close);
    return new TaskWorkspace(folder, dataset, evaluator);
  }

  /** Spark runs the last registered first. */
  private static void whenTaskEnds(Runnable close) {
    TaskContext.get().addTaskCompletionListener((TaskCompletionListener) task -> close.run());
  }

  /** The numbers of the batches that {@code count} sequences make, in order, over partitions. */
  static JavaRDD<Integer> batches(SparkSession spark, int count, int partitions) {
    int batches = Math.ceilDiv(count, Evaluator.BATCH);
    return JavaSparkContext.fromSparkContext(spark.sparkContext())
        .parallelize(IntStream.range(0, batches).boxed().toList(), partitions);
  }

  /** Which of {@code count} sequences are in a batch. */
  static int[] members(int batch, int count) {
    int from = batch * Evaluator.BATCH;
    return IntStream.range(from, Math.min(count, from + Evaluator.BATCH)).toArray();
  }

  /** One value for each place of a batch. */
  static <T> Stream<T> each(int count, IntFunction<T> value) {
    return IntStream.range(0, count).mapToObj(value);
  }
}
