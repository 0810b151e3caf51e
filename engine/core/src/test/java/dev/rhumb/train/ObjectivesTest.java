package dev.rhumb.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.eval.Popularity;
import dev.rhumb.eval.RankingMetrics;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Objective;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every loss trains: it learns, resumes, and does not see how many threads there are. */
class ObjectivesTest {
  private static GeneratedWorld world;
  private static Dataset dataset;
  private static Split split;

  @TempDir Path folder;
  private long live;

  @BeforeAll
  static void make() {
    world =
        GeneratedWorld.make(new GeneratedWorld.Config(300, 120, 6, 3, 10, 24, .8, .85, .6, .01), 3);
    dataset = world.dataset();
    split = Splits.leaveOneOut(dataset);
  }

  @AfterAll
  static void close() {
    world.close();
  }

  @BeforeEach
  void count() {
    live = Buffer.live();
  }

  @AfterEach
  void nothingLeaks() {
    assertEquals(live, Buffer.live());
  }

  static Stream<Objective> objectives() {
    return Stream.of(
        new Objective.CrossEntropy(),
        new Objective.SampledSoftmax(60, new Objective.Proposal.Uniform()),
        new Objective.SampledSoftmax(60, new Objective.Proposal.Popularity(.75)),
        new Objective.SampledSoftmax(60, new Objective.Proposal.InBatch()),
        Objective.BinaryCrossEntropy.bce(1),
        Objective.BinaryCrossEntropy.gbce(2, .75));
  }

  private static TrainingConfig config(Objective objective, int epochs) {
    return new TrainingConfig(4, 32, 5e-3f, 0, 0, epochs, 50).withObjective(objective);
  }

  private TrainingResult train(Kernels kernels, TrainingConfig config, Path into, boolean resume) {
    return train(kernels, config, into, resume, new TrainingListener() {});
  }

  private TrainingResult train(
      Kernels kernels, TrainingConfig config, Path into, boolean resume, TrainingListener told) {
    ModelConfig model = ModelConfig.of(BlockStyle.SASREC, dataset.items(), 16, 1, 2, 12, 0.1f);
    return Trainer.train(kernels, split, model, config, into, resume, told);
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void learnsMoreThanPopularity(Objective objective) {
    try (Kernels kernels = Kernels.open()) {
      TrainingResult result = train(kernels, config(objective, 30), folder, false);
      double popularity = popularity();
      assertTrue(
          result.best().validationNdcg() > 1.5 * popularity,
          () -> result.best() + ", popularity " + popularity);
      assertTrue(result.history().getLast().loss() < result.history().getFirst().loss());
    }
  }

  private static double popularity() {
    Popularity popularity = Popularity.fit(split.train());
    int[][] lists = popularity.recommend(split.validation().histories(), 10, null);
    int[] targets = dev.rhumb.eval.Evaluator.targets(split.validation());
    return RankingMetrics.of(lists, targets, 10, dataset.items()).ndcg();
  }

  @ParameterizedTest
  @MethodSource("objectives")
  void aRunKilledInAnyEpochEndsWithTheSameBitsForAnyNumberOfThreads(Objective objective)
      throws IOException {
    Path whole = folder.resolve("whole");
    TrainingConfig config = config(objective, 4);
    try (Kernels one = Kernels.open(Backend.SIMD, 1);
        Kernels two = Kernels.open(Backend.SIMD, 2);
        Kernels three = Kernels.open(Backend.SIMD, 3)) {
      train(one, config, whole, false);
      for (int killed = 1; killed <= 4; killed++) {
        int epochKilled = killed;
        Path parts = folder.resolve("parts" + killed);
        RuntimeException stop = new RuntimeException("killed");
        TrainingListener killer =
            new TrainingListener() {
              @Override
              public void onStep(int epoch, int step, int steps, float loss) {
                if (epoch == epochKilled && step == 3) {
                  throw stop;
                }
              }
            };
        assertEquals(
            stop,
            assertThrows(RuntimeException.class, () -> train(two, config, parts, false, killer)));
        train(three, config, parts, true);
        assertArrayEquals(
            Files.readAllBytes(ModelFolder.weights(whole)),
            Files.readAllBytes(ModelFolder.weights(parts)),
            "killed in epoch " + killed);
      }
    }
  }

  @Test
  void anotherLossIsNotResumed() {
    try (Kernels kernels = Kernels.open(Backend.SIMD, 1)) {
      train(kernels, config(Objective.BinaryCrossEntropy.bce(1), 1), folder, false);
      IllegalArgumentException refusal =
          assertThrows(
              IllegalArgumentException.class,
              () -> train(kernels, config(Objective.BinaryCrossEntropy.bce(2), 2), folder, true));
      assertTrue(refusal.getMessage().contains("other settings"), refusal.getMessage());
    }
  }
}
