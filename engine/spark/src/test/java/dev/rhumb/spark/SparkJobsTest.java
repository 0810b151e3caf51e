package dev.rhumb.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.ModelFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.SparkException;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Both jobs against the engine in one process. */
class SparkJobsTest {
  private static final int K = 10;

  @TempDir static Path temporary;
  private static World world;
  private static SparkSession spark;

  @BeforeAll
  static void start() {
    world = World.write(temporary.resolve("world"), 3);
    spark = SparkSession.builder().getOrCreate();
  }

  @AfterAll
  static void stop() {
    spark.stop();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 5})
  void evaluationIsThatOfOneProcessToTheLastBit(int partitions) {
    long live = Buffer.live();
    RankingMetrics expected;
    try (Kernels kernels = Kernels.open();
        ModelFolder folder = ModelFolder.open(kernels, world.model());
        Dataset dataset = Dataset.load(world.data());
        Evaluator evaluator = new Evaluator(kernels, folder.model())) {
      expected = evaluator.evaluate(Splits.leaveOneOut(dataset).test(), K);
    }
    assertTrue(expected.cases() > 4 * Evaluator.BATCH && expected.hitRate() > 0);
    assertEquals(expected, evaluate(world.model(), world.data(), World.SPLIT, K, partitions));
    assertEquals(live, Buffer.live(), "tasks free what they open");
  }

  @Test
  void theTableHoldsEveryUsersListAndIsReplacedByTheNext() {
    String output = temporary.resolve("lists").toString();
    recommend(world.model(), output, 3, 2);
    List<Row> expected = lists();
    for (int partitions : new int[] {1, 5}) {
      recommend(world.model(), output, K, partitions);
      assertEquals(expected, read(output));
    }
  }

  /** The rows of the table, by user and rank, as one process computes them. */
  private static List<Row> lists() {
    List<Row> rows = new ArrayList<>();
    try (Kernels kernels = Kernels.open();
        ModelFolder folder = ModelFolder.open(kernels, world.model());
        Dataset dataset = Dataset.load(world.data());
        Evaluator evaluator = new Evaluator(kernels, folder.model())) {
      Sequences all = Sequences.all(dataset);
      float[][] scores = new float[all.count()][];
      int[][] lists = evaluator.recommend(all, K, null, scores);
      for (int user = 0; user < lists.length; user++) {
        for (int i = 0; i < K && lists[user][i] != 0; i++) {
          int item = lists[user][i];
          rows.add(
              RowFactory.create(
                  dataset.userId(user),
                  i + 1,
                  dataset.itemId(item),
                  dataset.title(item),
                  scores[user][i]));
        }
      }
      assertEquals(World.USERS, lists.length);
    }
    rows.sort(
        (a, b) -> {
          int byUser = a.getString(0).compareTo(b.getString(0));
          return byUser != 0 ? byUser : Integer.compare(a.getInt(1), b.getInt(1));
        });
    return rows;
  }

  private static List<Row> read(String table) {
    return spark.read().parquet(table).orderBy("user", "rank").collectAsList();
  }

  @Test
  void aTaskThatFindsNoModelSaysSoToTheDriver() {
    Path nowhere = temporary.resolve("nowhere");
    SparkException failure =
        assertThrows(
            SparkException.class, () -> evaluate(nowhere, world.data(), World.SPLIT, K, 2));
    assertTrue(failure.getCause() instanceof FormatException, failure::toString);
    assertEquals(
        nowhere.resolve("config.json")
            + ": the file: is missing, so this is no model folder; train a model there with `rhumb"
            + " train`",
        failure.getCause().getMessage());
    assertTrue(failure.getMessage().contains("is no model folder"));
  }

  @Test
  void dataThatTheModelMayHaveLearntFromAreRefused() {
    World other = World.write(temporary.resolve("other"), 4);
    String data = cause(() -> evaluate(world.model(), other.data(), World.SPLIT, K, 1));
    assertTrue(data.contains("is not the one that the model"), data);
    String split = cause(() -> evaluate(world.model(), world.data(), "cold-users", K, 1));
    assertTrue(split.contains("was trained on the split leave-one-out"), split);
  }

  @Test
  void wrongArgumentsAreRefusedBeforeAJobStarts() throws IOException {
    Path nowhere = temporary.resolve("nowhere");
    String table = temporary.resolve("none").toString();
    assertEquals(
        "k = 0, but it must be 1 or more",
        refusal(() -> evaluate(nowhere, nowhere, World.SPLIT, 0, 1)));
    assertEquals(
        "k = -1, but it must be 1 or more", refusal(() -> recommend(nowhere, table, -1, 1)));
    assertTrue(refusal(() -> recommend(nowhere, table, K, 0)).startsWith("partitions = 0"));
    String unknown = refusal(() -> evaluate(world.model(), world.data(), "halves", K, 1));
    assertTrue(unknown.contains("leave-one-out, cold-users"), unknown);

    Path precious = Files.createDirectories(temporary.resolve("precious"));
    Path letter = Files.writeString(precious.resolve("letter.txt"), "Dear");
    assertTrue(
        refusal(() -> recommend(world.model(), precious.toString(), K, 1)).contains("letter.txt"));
    assertTrue(Files.exists(letter));
  }

  private static RankingMetrics evaluate(
      Path model, Path data, String split, int k, int partitions) {
    return SparkEvaluation.evaluate(spark, model.toString(), data.toString(), split, k, partitions);
  }

  private static void recommend(Path model, String output, int k, int partitions) {
    SparkRecommend.recommend(
        spark, model.toString(), world.data().toString(), output, k, partitions);
  }

  private static String refusal(Executable call) {
    return assertThrows(IllegalArgumentException.class, call).getMessage();
  }

  private static String cause(Executable call) {
    return assertThrows(SparkException.class, call).getCause().getMessage();
  }
}
