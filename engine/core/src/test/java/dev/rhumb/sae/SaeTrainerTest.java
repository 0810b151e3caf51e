package dev.rhumb.sae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import dev.rhumb.train.TrainingDivergedException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SaeTrainerTest {
  private static final Site SITE = Site.parse("block 0");
  private static final int WIDTH = 16;

  private long live;

  @BeforeEach
  void count() {
    live = Buffer.live();
  }

  @AfterEach
  void nothingLeaks() {
    assertEquals(live, Buffer.live());
  }

  private static SaeConfig config(int features, int kept, int steps) {
    return SaeConfig.of(SITE, WIDTH, features, kept)
        .withSteps(steps)
        .withBatch(256)
        .withLearningRate(3e-3f);
  }

  @Test
  void findsPlantedDirections() {
    try (Kernels kernels = Kernels.open()) {
      Planted source = new Planted(0.03);
      SaeResult result =
          SaeTrainer.train(kernels, source, WIDTH, Map.of(), config(64, 2, 1500), SaeListener.NONE);
      try (SparseAutoencoder sae = result.sae();
          Buffer x = kernels.allocate(DType.F32, 1000L * WIDTH)) {
        float[] decoder = sae.decoderWeights().floats();
        int found = 0;
        for (double[] direction : source.directions) {
          double best = 0;
          for (int f = 0; f < sae.features(); f++) {
            double dot = 0;
            for (int d = 0; d < WIDTH; d++) {
              dot += direction[d] * decoder[f * WIDTH + d];
            }
            best = Math.max(best, dot);
          }
          found += best > 0.9 ? 1 : 0;
        }
        source.draw(x, 1000);
        SaeMetrics metrics = SaeMetrics.of(kernels, sae, x, 1000);
        assertTrue(
            found >= 0.75 * source.directions.length,
            found + " found, " + metrics + ", loss " + result.loss());
        assertEquals(1 - metrics.explainedVariance(), result.loss(), 0.03);
        assertUnitRows(decoder);
      }
    }
  }

  private static void assertUnitRows(float[] decoder) {
    for (int f = 0; f < decoder.length / WIDTH; f++) {
      double norm = 0;
      for (int d = 0; d < WIDTH; d++) {
        norm += decoder[f * WIDTH + d] * (double) decoder[f * WIDTH + d];
      }
      assertEquals(1, norm, 1e-6, "row " + f);
    }
  }

  @Test
  void theSameSeedGivesTheSameBitsForAnyNumberOfThreads() {
    float[] one = weights(1, 5);
    assertArrayEquals(one, weights(1, 5));
    assertArrayEquals(one, weights(3, 5));
    assertFalse(Arrays.equals(one, weights(1, 6)));
  }

  @Test
  void severalOnOneStreamGetTheBitsThatEachGetsAlone() {
    List<SaeConfig> configs =
        List.of(
            config(48, 4, 40).withBatch(32),
            config(20, 2, 25).withBatch(32).withLearningRate(1e-3f),
            config(48, 8, 40).withBatch(32),
            config(24, new SaeVariant.BatchTopK(3)),
            config(24, new SaeVariant.JumpRelu(2e-3f, 0.02f)),
            config(24, new SaeVariant.Gated(0.01f)).withResamples(2));
    try (Kernels kernels = Kernels.open();
        Dataset dataset = dataset();
        Model model = model(kernels, dataset)) {
      Sequences all = Sequences.all(dataset);
      int[] steps = new int[configs.size()];
      List<SaeResult> together =
          SaeTrainer.train(
              kernels, model, all, configs, i -> (step, of, loss, aux, dead) -> steps[i] = step);
      for (int i = 0; i < configs.size(); i++) {
        SaeConfig config = configs.get(i);
        assertEquals(config.steps(), steps[i]);
        SaeResult alone = SaeTrainer.train(kernels, model, all, config, SaeListener.NONE);
        try (SparseAutoencoder one = alone.sae();
            SparseAutoencoder other = together.get(i).sae()) {
          assertArrayEquals(all(one), all(other));
          assertEquals(one.metadata(), other.metadata());
          assertEquals(alone.loss(), together.get(i).loss());
          assertEquals(alone.dead(), together.get(i).dead());
        }
      }
      List<SaeConfig> apart = List.of(configs.getFirst(), configs.getFirst().withSeed(2));
      String refusal =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> SaeTrainer.train(kernels, model, all, apart, i -> SaeListener.NONE))
              .getMessage();
      assertTrue(refusal.contains("the same site, batch, seed"), refusal);
      assertThrows(
          IllegalArgumentException.class,
          () -> SaeTrainer.train(kernels, model, all, List.of(), i -> SaeListener.NONE));
    }
  }

  private static SaeConfig config(int features, SaeVariant variant) {
    return SaeConfig.of(SITE, WIDTH, features, variant).withSteps(30).withBatch(32);
  }

  /** All weights, one after another. */
  private static float[] all(SparseAutoencoder sae) {
    Buffer[] parts = {
      sae.encoderWeights(), sae.decoderWeights(), sae.encoderBias(), sae.decoderBias()
    };
    int count = (int) Arrays.stream(parts).mapToLong(Buffer::count).sum();
    float[] all = new float[count];
    int at = 0;
    for (Buffer part : parts) {
      part.get(0, all, at, (int) part.count());
      at += (int) part.count();
    }
    return all;
  }

  private static float[] weights(int threads, long seed) {
    // Few rows to an epoch and many features: some die, so that the auxiliary loss takes part.
    SaeConfig config =
        new SaeConfig(
            SITE,
            150,
            new SaeVariant.TopK(2),
            true,
            8,
            0,
            3e-3f,
            5,
            256,
            60,
            seed,
            1f / 32,
            1,
            0.2f,
            1,
            1,
            1 << 20);
    int[] most = new int[1];
    try (Kernels kernels = Kernels.open(Backend.SIMD, threads)) {
      SaeResult result =
          SaeTrainer.train(
              kernels,
              new Planted(1),
              WIDTH,
              Map.of(),
              config,
              (step, steps, loss, aux, dead) -> {
                most[0] = Math.max(most[0], dead);
                assertEquals(dead > 0, aux > 0);
              });
      assertTrue(most[0] > 0, "no feature was dead");
      try (SparseAutoencoder sae = result.sae()) {
        return all(sae);
      }
    }
  }

  @Test
  void aRunThatDivergesNamesStepAndTensor() {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1)) {
      TrainingDivergedException met =
          assertThrows(
              TrainingDivergedException.class,
              () ->
                  SaeTrainer.train(
                      kernels,
                      new Planted(1),
                      WIDTH,
                      Map.of(),
                      config(20, 2, 50).withLearningRate(1e38f),
                      SaeListener.NONE));
      assertTrue(met.getMessage().matches(".*step [0-9]+: [^ ].*not finite.*"), met.getMessage());
    }
  }

  @Test
  void refusesImpossibleSettings() {
    SaeConfig good = SaeConfig.of(SITE, WIDTH, 32, 4);
    assertThrows(IllegalArgumentException.class, () -> SaeConfig.of(SITE, WIDTH, 4, 0));
    assertThrows(IllegalArgumentException.class, () -> SaeConfig.of(null, WIDTH, 4, 1));
    assertThrows(IllegalArgumentException.class, () -> good.withLearningRate(0));
    assertThrows(IllegalArgumentException.class, () -> good.withLearningRate(Float.NaN));
    assertThrows(IllegalArgumentException.class, () -> good.withBatch(0));
    assertThrows(IllegalArgumentException.class, () -> good.withSteps(0));
    assertThrows(IllegalArgumentException.class, () -> good.withWarmUp(-1));
    assertThrows(IllegalArgumentException.class, () -> good.withSteps(9).withWarmUp(10));
    String message =
        assertThrows(IllegalArgumentException.class, () -> SaeConfig.of(SITE, WIDTH, 4, 5))
            .getMessage();
    assertTrue(message.contains("K = 5") && message.contains("1 to 4"), message);
  }

  @Test
  void theLearningRateRisesStaysAndFalls() {
    SaeConfig config = SaeConfig.of(SITE, WIDTH, 32, 4).withSteps(100).withLearningRate(1);
    assertEquals(0.1f, config.learningRate(1));
    assertEquals(1, config.learningRate(10));
    assertEquals(1, config.learningRate(81));
    assertEquals(0.5f, config.learningRate(91), 1e-6);
    assertEquals(0.05f, config.learningRate(100), 1e-6);
    assertEquals(1, config.withWarmUp(0).learningRate(1));
    assertEquals(0.25f, config.withWarmUp(4).learningRate(1));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void geometricMedianIsTheLeastSumOfDistances(int seed) {
    int rows = 101;
    float[] x = new float[rows * 3];
    for (int i = 0; i < x.length; i++) {
      x[i] = (float) (Philox.normal(seed, 1, 0, i) * (i < 30 ? 50 : 1));
    }
    double[] median = GeometricMedian.of(x, rows, 3);
    double least = distances(x, median);
    for (int i = 0; i < 60; i++) {
      double[] moved = median.clone();
      for (int d = 0; d < 3; d++) {
        moved[d] += 0.02 * Philox.normal(seed, 2, i, d);
      }
      assertTrue(distances(x, moved) >= least);
    }
    assertArrayEquals(new double[] {2, 2}, GeometricMedian.of(new float[] {2, 2, 2, 2}, 2, 2));
  }

  private static double distances(float[] x, double[] point) {
    double sum = 0;
    for (int r = 0; r < x.length / 3; r++) {
      double squares = 0;
      for (int d = 0; d < 3; d++) {
        squares += Math.pow(x[r * 3 + d] - point[d], 2);
      }
      sum += Math.sqrt(squares);
    }
    return sum;
  }

  private static Dataset dataset() {
    DatasetBuilder builder = new DatasetBuilder();
    for (int u = 0; u < 40; u++) {
      for (int i = 0; i < 3 + u % 9; i++) {
        builder.add("u" + u, Integer.toString((u * 7 + i * i) % 23), i);
      }
    }
    return builder.build("small");
  }

  @Test
  void drawsEveryHiddenStateOnceAnEpoch() {
    try (Kernels kernels = Kernels.open();
        Dataset dataset = dataset();
        Model model = model(kernels, dataset);
        RowSampler sampler = sampler(kernels, model, dataset, 1 << 20)) {
      int rows = (int) sampler.rows();
      // Of sequences longer than the model's 8 positions the newest 8 count.
      long expected = 0;
      for (int u = 0; u < dataset.users(); u++) {
        expected += Math.min(8, dataset.length(u));
      }
      assertEquals(expected, rows);
      float[] first = draw(kernels, sampler, rows);
      float[] second = draw(kernels, sampler, rows);
      assertFalse(Arrays.equals(first, second));
      Arrays.sort(first);
      Arrays.sort(second);
      assertArrayEquals(first, second);
    }
  }

  @Test
  void aBufferThatHoldsNotAllStillDrawsAll() {
    try (Kernels kernels = Kernels.open();
        Dataset dataset = dataset();
        Model model = model(kernels, dataset);
        RowSampler whole = sampler(kernels, model, dataset, 1 << 20);
        RowSampler part = sampler(kernels, model, dataset, 4L * WIDTH * 64)) {
      float[] all = draw(kernels, whole, (int) whole.rows());
      float[] many = draw(kernels, part, (int) (4 * part.rows()));
      assertArrayEquals(distinct(all), distinct(many));
      assertThrows(IllegalArgumentException.class, () -> sampler(kernels, model, dataset, 64));
    }
  }

  private static RowSampler sampler(Kernels kernels, Model model, Dataset dataset, long bytes) {
    return new RowSampler(
        kernels, new ModelRows(kernels, model, SITE, Sequences.all(dataset)), bytes, 10, 3);
  }

  private static float[] distinct(float[] values) {
    Arrays.sort(values);
    float[] distinct = new float[values.length];
    int n = 0;
    for (int i = 0; i < values.length; i++) {
      if (i == 0 || values[i] != values[i - 1]) {
        distinct[n++] = values[i];
      }
    }
    return Arrays.copyOf(distinct, n);
  }

  private static Model model(Kernels kernels, Dataset dataset) {
    return Model.initialise(
        kernels, ModelConfig.of(BlockStyle.SASREC, dataset.items(), WIDTH, 2, 2, 8, 0), 1);
  }

  /** The first element of each of so many rows. */
  private static float[] draw(Kernels kernels, RowSampler sampler, int rows) {
    float[] firsts = new float[rows];
    float[] block = new float[10 * WIDTH];
    try (Buffer x = kernels.allocate(DType.F32, block.length)) {
      for (int done = 0; done < rows; done += 10) {
        int n = Math.min(10, rows - done);
        sampler.draw(x, n);
        x.get(0, block, 0, n * WIDTH);
        for (int r = 0; r < n; r++) {
          firsts[done + r] = block[r * WIDTH];
        }
      }
    }
    return firsts;
  }

  @Test
  void trainsOnAModel() {
    try (Kernels kernels = Kernels.open();
        Dataset dataset = dataset();
        Model model = model(kernels, dataset)) {
      SaeConfig config = config(48, 4, 150).withBatch(64);
      SaeResult result =
          SaeTrainer.train(kernels, model, Sequences.all(dataset), config, SaeListener.NONE);
      try (SparseAutoencoder sae = result.sae()) {
        SaeMetrics metrics = SaeMetrics.of(kernels, model, sae, Sequences.all(dataset));
        assertEquals(result.positions(), metrics.rows());
        assertTrue(metrics.explainedVariance() > 0.5, metrics.toString());
        assertTrue(metrics.l0() > 1 && metrics.l0() <= 4, metrics.toString());
        assertEquals(dataset.fingerprint(), sae.metadata().get("dataset_fingerprint"));
      }
      assertThrows(
          IllegalArgumentException.class,
          () ->
              SaeTrainer.train(
                  kernels,
                  model,
                  Sequences.all(dataset),
                  SaeConfig.of(Site.parse("block 2"), WIDTH, 8, 2),
                  SaeListener.NONE));
    }
  }
}
