package dev.rhumb.spark;

import dev.rhumb.data.Catalogue;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Sequences;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.Spliterators;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.apache.hadoop.fs.FileStatus;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SaveMode;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;

/**
 * Top-k lists for all users of a dataset, over a cluster, as a Parquet table with a row for each
 * place: {@code user} and {@code item} (external ids), {@code rank} (from 1), {@code title}, {@code
 * score}. A list follows from the user's whole sequence, whose items are left out of it, and is
 * shorter than k where fewer items are left.
 */
public final class SparkRecommend {
  private static final StructType SCHEMA =
      new StructType()
          .add("user", DataTypes.StringType, false)
          .add("rank", DataTypes.IntegerType, false)
          .add("item", DataTypes.StringType, false)
          .add("title", DataTypes.StringType, false)
          .add("score", DataTypes.FloatType, false);

  private SparkRecommend() {}

  /**
   * Writes the table with as many partitions as Spark has cores for by default.
   *
   * @see #recommend(SparkSession, String, String, String, int, int)
   */
  public static void recommend(
      SparkSession spark, String modelFolder, String datasetFolder, String output, int k) {
    int partitions = spark.sparkContext().defaultParallelism();
    recommend(spark, modelFolder, datasetFolder, output, k, partitions);
  }

  /**
   * Writes the table.
   *
   * @param modelFolder a path that every node can read
   * @param datasetFolder a prepared dataset of the model's items, at a path that every node and the
   *     driver can read; its users may be others than those trained on
   * @param output the folder of the table, at any place that Spark can write; an earlier table
   *     there is replaced, and a folder with anything else in it is refused
   * @param k greatest length of a list, 1 or more
   * @param partitions number of tasks and of files, 1 or more
   * @throws IllegalArgumentException when k, the partitions or the output is wrong; before a job
   *     starts
   * @throws dev.rhumb.checkpoint.FormatException when the driver cannot use the dataset. What a
   *     task refuses, such as a missing model, is the cause of Spark's {@code SparkException}
   */
  public static void recommend(
      SparkSession spark,
      String modelFolder,
      String datasetFolder,
      String output,
      int k,
      int partitions) {
    Arguments.check(k, partitions);
    requireTable(spark, output);
    int users;
    try (Dataset dataset = Dataset.load(Path.of(datasetFolder))) {
      users = dataset.users();
    }
    JavaRDD<Row> rows =
        TaskWorkspace.batches(spark, users, partitions)
            .mapPartitions(batches -> rows(batches, modelFolder, datasetFolder, k));
    spark.createDataFrame(rows, SCHEMA).write().mode(SaveMode.Overwrite).parquet(output);
  }

  /** Spark's overwriting deletes whatever is there, so only what a table consists of may be. */
  private static void requireTable(SparkSession spark, String output) {
    var folder = new org.apache.hadoop.fs.Path(output);
    try {
      var files = folder.getFileSystem(spark.sparkContext().hadoopConfiguration());
      for (FileStatus entry : files.listStatus(folder)) {
        String name = entry.getPath().getName();
        if (!name.matches("\\.?(part-|_SUCCESS|_temporary).*")) {
          throw new IllegalArgumentException(
              "output "
                  + output
                  + " holds "
                  + name
                  + ", which is of no table; name another folder");
        }
      }
    } catch (FileNotFoundException e) {
      // Nothing to lose.
    } catch (IOException e) {
      throw new UncheckedIOException("output " + output + " cannot be looked at", e);
    }
  }

  private static Iterator<Row> rows(
      Iterator<Integer> batches, String modelFolder, String datasetFolder, int k) {
    TaskWorkspace work = TaskWorkspace.open(modelFolder, datasetFolder);
    requireSameItems(work);
    Sequences all = Sequences.all(work.dataset());
    return StreamSupport.stream(Spliterators.spliteratorUnknownSize(batches, 0), false)
        .flatMap(batch -> rows(work, all.select(TaskWorkspace.members(batch, all.count())), k))
        .iterator();
  }

  private static Stream<Row> rows(TaskWorkspace work, Sequences histories, int k) {
    Dataset dataset = work.dataset();
    float[][] scores = new float[histories.count()][];
    int most = Math.min(k, dataset.items());
    int[][] lists = work.evaluator().recommend(histories, most, null, scores);
    return TaskWorkspace.each(lists.length, i -> i)
        .flatMap(
            i ->
                IntStream.range(0, most)
                    .takeWhile(place -> lists[i][place] != 0)
                    .mapToObj(
                        place ->
                            RowFactory.create(
                                dataset.userId(histories.user(i)),
                                place + 1,
                                dataset.itemId(lists[i][place]),
                                dataset.title(lists[i][place]),
                                scores[i][place])));
  }

  /** The model knows items by number: number for number they must be the dataset's. */
  private static void requireSameItems(TaskWorkspace work) {
    Catalogue known = work.folder().catalogue();
    Dataset dataset = work.dataset();
    if (known.items() != dataset.items()
        || !IntStream.rangeClosed(1, known.items())
            .allMatch(item -> known.id(item).equals(dataset.itemId(item)))) {
      throw new IllegalArgumentException(
          "the items of dataset "
              + dataset.name()
              + " are not those of the model in "
              + work.folder().folder()
              + "; name the dataset that it was trained on, or train on this one");
    }
  }
}
