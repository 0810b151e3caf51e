package dev.rhumb.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Bfloat16;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Objective;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Schedules, decay, the moving average and the cadence of validation. */
class TrainingSettingsTest {
  private static final TrainingListener QUIET = new TrainingListener() {};

  /** 50 users in batches of 16. */
  private static final int STEPS = 4;

  @TempDir Path folder;
  private GeneratedWorld world;
  private Split split;
  private long live;

  @BeforeEach
  void make() {
    live = Buffer.live();
    world =
        GeneratedWorld.make(new GeneratedWorld.Config(50, 60, 4, 2, 8, 20, .8, .85, .6, .01), 3);
    split = Splits.leaveOneOut(world.dataset());
  }

  @AfterEach
  void nothingLeaks() {
    world.close();
    assertEquals(live, Buffer.live());
  }

  private static TrainingConfig config(float weightDecay, int epochs, int patience) {
    return new TrainingConfig(7, 16, 3e-3f, weightDecay, 0, epochs, patience);
  }

  private TrainingResult train(TrainingConfig config, Path into, boolean resume) {
    return train(config, into, resume, 2, QUIET);
  }

  private TrainingResult train(
      TrainingConfig config, Path into, boolean resume, int threads, TrainingListener told) {
    Dataset dataset = world.dataset();
    try (Kernels kernels = Kernels.open(Backend.SIMD, threads)) {
      ModelConfig model = ModelConfig.of(BlockStyle.SASREC, dataset.items(), 16, 1, 2, 12, 0.2f);
      return Trainer.train(kernels, split, model, config, into, resume, told);
    }
  }

  private static Map<String, float[]> weights(Path folder) {
    Map<String, float[]> all = new LinkedHashMap<>();
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        ModelFolder opened = ModelFolder.open(kernels, folder)) {
      opened.model().parameters().tensors().forEach(t -> all.put(t.name(), t.data().floats()));
    }
    return all;
  }

  /** Training is the same; what is stored is its best weights, rounded. */
  @Test
  void weightsMayBeStoredAsBf16() {
    TrainingConfig config = config(0, 2, 50);
    Path plain = folder.resolve("plain");
    Path small = folder.resolve("small");
    assertEquals(
        losses(train(config, plain, false)),
        losses(train(config.withWeights(DType.BF16), small, false)));
    Map<String, float[]> exact = weights(plain);
    weights(small)
        .forEach(
            (name, values) -> {
              float[] expected = exact.get(name).clone();
              for (int i = 0; i < expected.length; i++) {
                expected[i] = Bfloat16.toFloat(Bfloat16.of(expected[i]));
              }
              assertArrayEquals(expected, values, name);
            });
    assertThrows(IllegalArgumentException.class, () -> config.withWeights(DType.I32));
  }

  private static List<Double> losses(TrainingResult result) {
    return result.history().stream().map(EpochReport::loss).toList();
  }

  @Test
  void theLearningRateRisesThenFallsAlongACosine() {
    Schedule schedule = new Schedule(4, Schedule.Decay.COSINE);
    assertEquals(.25, schedule.at(1, 20));
    assertEquals(1, schedule.at(4, 20));
    assertEquals((1 + Math.cos(Math.PI * 8 / 17)) / 2, schedule.at(12, 20), 1e-12);
    assertTrue(schedule.at(20, 20) > 0 && schedule.at(20, 20) < .01);
    assertEquals(1, Schedule.CONSTANT.at(1, 20));
    assertEquals(1, new Schedule(0, Schedule.Decay.COSINE).at(0, 20));
    List<EpochReport> history =
        train(
                config(0, 5, 50).withSchedule(new Schedule(STEPS, Schedule.Decay.COSINE)),
                folder,
                false)
            .history();
    assertEquals(3e-3, history.getFirst().learningRate(), 1e-9);
    for (int i = 1; i < 5; i++) {
      assertTrue(history.get(i).learningRate() < history.get(i - 1).learningRate());
      assertEquals((i + 1L) * STEPS, history.get(i).step());
    }
  }

  @Test
  void decayShrinksMatricesAlone() {
    // A learning rate at which Adam itself moves nothing: what is left is the decay.
    TrainingConfig still = new TrainingConfig(7, 16, 1e-30f, 1e29f, 0, 1, 50);
    train(still, folder.resolve("decayed"), false);
    train(new TrainingConfig(7, 16, 1e-30f, 0, 0, 1, 50), folder.resolve("plain"), false);
    Map<String, float[]> decayed = weights(folder.resolve("decayed"));
    weights(folder.resolve("plain"))
        .forEach(
            (name, values) -> {
              boolean vector = name.contains("norm") || name.endsWith("bias");
              double factor = vector ? 1 : Math.pow(.9, STEPS);
              for (int i = 0; i < values.length; i++) {
                assertEquals(factor * values[i], decayed.get(name)[i], 1e-6, name);
              }
            });
  }

  /** Another beta2 gives other weights, and a run does not go on under it. */
  @Test
  void beta2IsTheMemoryOfSquaredGradients() {
    TrainingConfig config = config(0, 1, 50);
    Path usual = folder.resolve("usual");
    Path same = folder.resolve("same");
    Path brief = folder.resolve("brief");
    train(config, usual, false);
    train(config.withBeta2(TrainingConfig.BETA2), same, false);
    train(config.withBeta2(.5f), brief, false);
    String name = "item_embedding.weight";
    assertArrayEquals(weights(usual).get(name), weights(same).get(name));
    assertFalse(Arrays.equals(weights(usual).get(name), weights(brief).get(name)));
    assertThrows(RuntimeException.class, () -> train(config, brief, true));
    assertThrows(IllegalArgumentException.class, () -> config.withBeta2(1));
  }

  @Test
  void theMovingAverageIsWhatIsSavedAndValidated() {
    Path averaged = folder.resolve("averaged");
    Path plain = folder.resolve("plain");
    TrainingConfig config = config(0, 1, 50);
    double with = train(config.withAverage(.5f), averaged, false).best().validationNdcg();
    double without = train(config, plain, false).best().validationNdcg();
    Map<String, float[]> saved = weights(averaged);
    // The weights themselves go the same way; after each of the steps s the average moves by
    // 1 - min(.5, (1 + s) / (10 + s)) towards them, so it lies behind.
    float[] last = weights(plain).get("item_embedding.weight");
    float[] average = saved.get("item_embedding.weight");
    double apart = 0;
    double size = 0;
    for (int i = 0; i < last.length; i++) {
      apart += Math.pow(last[i] - average[i], 2);
      size += Math.pow(last[i], 2);
    }
    assertTrue(apart > 0 && apart < .1 * size, apart + " of " + size);
    assertNotEquals(without, with);
  }

  @Test
  void validationsAreAsRareAsWanted() {
    TrainingConfig config =
        config(0, 5, 50)
            .withValidation(new Validation(2, Validation.Unit.EPOCHS, Validation.Metric.HIT_RATE));
    List<EpochReport> history = train(config, folder, false).history();
    assertEquals(
        List.of(false, true, false, true, true),
        history.stream().map(EpochReport::validated).toList());
    assertTrue(history.get(1).best());
    assertEquals(history, Trainer.history(folder), "the folder keeps what was not validated too");
  }

  @Test
  void patienceCountsValidations() {
    // At such a learning rate nothing changes, so that the first validation stays the best.
    for (Validation.Unit unit : Validation.Unit.values()) {
      int every = unit == Validation.Unit.EPOCHS ? 2 : 3;
      TrainingConfig config =
          new TrainingConfig(7, 16, 1e-30f, 0, 0, 40, 3)
              .withValidation(new Validation(every, unit, Validation.Metric.NDCG));
      List<EpochReport> history = train(config, folder.resolve(unit.name()), false).history();
      assertEquals(4, history.stream().filter(EpochReport::validated).count());
      assertEquals(
          every * 4L * (unit == Validation.Unit.EPOCHS ? STEPS : 1), history.getLast().step());
    }
  }

  @Test
  void aWarmUpLongerThanTheRunIsRefused() {
    IllegalArgumentException refusal =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                train(
                    config(0, 2, 5).withSchedule(new Schedule(9, Schedule.Decay.CONSTANT)),
                    folder,
                    false));
    assertTrue(refusal.getMessage().contains("at most 8"), refusal.getMessage());
  }

  static Stream<TrainingConfig> everything() {
    TrainingConfig all =
        config(.1f, 4, 50)
            .withObjective(new Objective.SampledSoftmax(20, new Objective.Proposal.InBatch()))
            .withSchedule(new Schedule(3, Schedule.Decay.COSINE))
            .withAverage(.9f);
    return Stream.of(
        all,
        all.withValidation(new Validation(3, Validation.Unit.STEPS, Validation.Metric.NDCG)),
        all.withValidation(new Validation(3, Validation.Unit.EPOCHS, Validation.Metric.HIT_RATE)));
  }

  @ParameterizedTest
  @MethodSource("everything")
  void killedAtAnyStepItResumesBitForBit(TrainingConfig config) throws IOException {
    Path whole = folder.resolve("whole");
    TrainingResult alone = train(config, whole, false, 1, QUIET);
    for (int kill = 1; kill <= 4 * STEPS; kill += 3) {
      Path parts = folder.resolve("killed" + kill);
      RuntimeException stop = new RuntimeException("killed");
      int last = kill;
      TrainingListener killer =
          new TrainingListener() {
            @Override
            public void onStep(int epoch, int step, int steps, float loss) {
              if ((epoch - 1) * STEPS + step == last) {
                throw stop;
              }
            }
          };
      assertEquals(
          stop, assertThrows(RuntimeException.class, () -> train(config, parts, false, 2, killer)));
      TrainingResult resumed = train(config, parts, true, 3, QUIET);
      assertArrayEquals(
          Files.readAllBytes(ModelFolder.weights(whole)),
          Files.readAllBytes(ModelFolder.weights(parts)),
          "killed at step " + kill);
      assertEquals(
          alone.history().stream().map(TrainingSettingsTest::untimed).toList(),
          resumed.history().stream().map(TrainingSettingsTest::untimed).toList());
    }
  }

  private static EpochReport untimed(EpochReport r) {
    return new EpochReport(
        r.epoch(),
        r.step(),
        r.loss(),
        r.learningRate(),
        r.validationNdcg(),
        r.validationHitRate(),
        0,
        0,
        r.best());
  }

  /** Runs of before reports had a step and a learning rate go on. */
  @Test
  void anOlderStateResumes() throws IOException {
    Path whole = folder.resolve("whole");
    Path older = folder.resolve("older");
    train(config(0, 4, 50), whole, false);
    train(config(0, 2, 50), older, false);
    Path state = older.resolve("training").resolve("state.safetensors");
    Map<String, String> metadata = new LinkedHashMap<>();
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    List<Buffer> copies = new ArrayList<>();
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Safetensors in = Safetensors.open(state)) {
      metadata.putAll(in.metadata());
      for (String name : in.names()) {
        long[] shape = in.shape(name);
        Buffer copy =
            kernels.allocate(
                dev.rhumb.kernels.DType.F32,
                java.util.Arrays.stream(shape).reduce(1, (a, b) -> a * b));
        in.copyTo(name, copy, shape);
        copies.add(copy);
        tensors.add(new Safetensors.Tensor(name, shape, copy));
      }
      metadata.compute(
          "history",
          (key, json) -> json.replaceAll("\"(step|learning_rate)\"\\s*:\\s*[0-9.Ee-]+\\s*,?", ""));
      assertFalse(metadata.get("history").contains("learning_rate"));
      Safetensors.write(state, metadata, tensors);
    }
    copies.forEach(Buffer::close);
    List<EpochReport> history = Trainer.history(older);
    assertEquals(List.of(4L, 8L), history.stream().map(EpochReport::step).toList());
    assertTrue(Double.isNaN(history.getFirst().learningRate()));
    assertEquals(4, train(config(0, 4, 50), older, true).history().size());
    assertArrayEquals(
        Files.readAllBytes(ModelFolder.weights(whole)),
        Files.readAllBytes(ModelFolder.weights(older)));
  }
}
