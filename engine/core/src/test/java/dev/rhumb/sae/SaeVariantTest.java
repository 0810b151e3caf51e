package dev.rhumb.sae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.kernels.Sae;
import dev.rhumb.model.Site;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What holds for every variant, from training to files. */
class SaeVariantTest {
  private static final Site SITE = Site.parse("mlp 0");
  private static final int WIDTH = Planted.WIDTH;

  @TempDir Path folder;
  private long live;

  @BeforeEach
  void count() {
    live = Buffer.live();
  }

  @AfterEach
  void nothingLeaks() {
    assertEquals(live, Buffer.live());
  }

  static List<SaeVariant> variants() {
    return List.of(
        new SaeVariant.TopK(2),
        new SaeVariant.BatchTopK(2),
        new SaeVariant.Matryoshka(new SaeVariant.TopK(2), List.of(32, 64)),
        new SaeVariant.Matryoshka(new SaeVariant.BatchTopK(2), List.of(32, 64)),
        new SaeVariant.ReluL1(0.4f, true),
        new SaeVariant.ReluL1(0.3f, false),
        new SaeVariant.Gated(0.8f),
        new SaeVariant.JumpRelu(0.1f, 0.1f));
  }

  private static SaeConfig config(SaeVariant variant, int steps) {
    return SaeConfig.of(SITE, WIDTH, 64, variant).withSteps(steps).withBatch(256);
  }

  private static SparseAutoencoder train(Kernels kernels, Planted source, SaeConfig config) {
    return SaeTrainer.train(kernels, source, WIDTH, Map.of(), config, SaeListener.NONE).sae();
  }

  /** Deviation .03 and mean .5: the scale of training must be folded away. */
  @ParameterizedTest
  @MethodSource("variants")
  void findsPlantedDirectionsAndSurvivesItsFiles(SaeVariant variant) {
    Planted source = new Planted(0.03);
    try (Kernels kernels = Kernels.open(Backend.SIMD, 2);
        SparseAutoencoder sae = train(kernels, source, config(variant, 1200));
        Buffer x = kernels.allocate(DType.F32, 1000L * WIDTH)) {
      assertEquals(variant.architecture(), sae.architecture());
      assertTrue(source.match(sae) > 0.92, variant + ": " + source.match(sae));
      source.draw(x, 1000);
      SaeMetrics metrics = SaeMetrics.of(kernels, sae, x, 1000);
      assertTrue(metrics.explainedVariance() > 0.8, variant + ": " + metrics);
      assertTrue(metrics.l0() > 1 && metrics.l0() < 12, variant + ": " + metrics);
      sae.save(folder);
      try (SparseAutoencoder again = SparseAutoencoder.load(kernels, folder)) {
        assertEquals(sae.architecture(), again.architecture());
        assertEquals(variant.label(), again.metadata().get("variant"));
        assertArrayEquals(encoded(kernels, sae, x), encoded(kernels, again, x));
      }
    }
  }

  /** For each row the activations of all features. */
  private static float[] encoded(Kernels kernels, SparseAutoencoder sae, Buffer x) {
    float[] all = new float[1000 * sae.features()];
    try (FiredFeatures fired = new FiredFeatures(kernels, sae, 300)) {
      fired.of(x, 1000, (row, feature, z) -> all[row * sae.features() + feature] = z);
    }
    return all;
  }

  private static float[] weights(SaeVariant variant, Backend backend, int threads, int steps) {
    try (Kernels kernels = Kernels.open(backend, threads);
        SparseAutoencoder sae =
            train(kernels, new Planted(1), config(variant, steps).withResamples(2))) {
      float[] decoder = sae.decoderWeights().floats();
      float[] rest =
          sae.threshold() != null ? sae.threshold().floats() : sae.encoderBias().floats();
      float[] all = Arrays.copyOf(decoder, decoder.length + rest.length);
      System.arraycopy(rest, 0, all, decoder.length, rest.length);
      return all;
    }
  }

  @ParameterizedTest
  @MethodSource("variants")
  void givesTheSameBitsForAnyNumberOfThreads(SaeVariant variant) {
    float[] one = weights(variant, Backend.SIMD, 1, 40);
    assertArrayEquals(one, weights(variant, Backend.SIMD, 2, 40));
    assertArrayEquals(one, weights(variant, Backend.SIMD, 3, 40));
  }

  @ParameterizedTest
  @MethodSource("variants")
  void backendsAgree(SaeVariant variant) {
    float[] simd = weights(variant, Backend.SIMD, 2, 5);
    float[] scalar = weights(variant, Backend.SCALAR, 1, 5);
    for (int i = 0; i < simd.length; i++) {
      assertEquals(scalar[i], simd[i], 5e-4, variant + " element " + i);
    }
  }

  @Test
  void deadFeaturesAreDrawnAnew() {
    // Four times at even distances over the first half: after these steps none is dead.
    List<Integer> at = List.of(75, 150, 225, 300);
    int[] before = new int[1];
    try (Kernels kernels = Kernels.open(Backend.SIMD, 2)) {
      SaeConfig config = config(new SaeVariant.JumpRelu(1, 0.2f), 600);
      SaeListener listener =
          (step, steps, loss, auxLoss, dead) -> {
            if (at.contains(step)) {
              before[0] = Math.max(before[0], dead);
            } else if (at.contains(step - 1)) {
              assertEquals(0, dead, "after step " + (step - 1));
            }
          };
      SaeTrainer.train(kernels, new Planted(1), WIDTH, Map.of(), config, listener).sae().close();
    }
    assertTrue(before[0] > 0);
  }

  @Test
  void statesCanBeTakenAsTheyAre() {
    try (Kernels kernels = Kernels.open(Backend.SIMD, 2)) {
      Planted source = new Planted(0.2);
      SaeConfig config = config(new SaeVariant.ReluL1(0.3f, false), 1200).withStandardised(false);
      try (SparseAutoencoder sae = train(kernels, source, config)) {
        assertEquals(0.0, sae.metadata().get("mean"));
        assertEquals(1.0, sae.metadata().get("deviation"));
        assertTrue(source.match(sae) > 0.9, "" + source.match(sae));
      }
    }
  }

  /** An autoencoder of an architecture with random weights, training's moved to raw states. */
  @ParameterizedTest
  @EnumSource(value = SaeArchitecture.class, names = "TOP_K", mode = EnumSource.Mode.EXCLUDE)
  void theScaleOfTrainingIsFoldedAway(SaeArchitecture architecture) {
    int rows = 60;
    int features = 20;
    double mean = 3.7;
    double deviation = 0.25;
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        SaeWeights weights = new SaeWeights(kernels, features, WIDTH, architecture);
        SparseAutoencoder raw =
            new SparseAutoencoder(kernels, SITE, features, WIDTH, architecture, Map.of());
        SparseAutoencoder standard =
            new SparseAutoencoder(kernels, SITE, features, WIDTH, architecture, Map.of());
        Buffer x = kernels.allocate(DType.F32, (long) rows * WIDTH);
        Buffer indices = kernels.allocate(DType.I32, (long) rows * features);
        Buffer values = kernels.allocate(DType.F32, (long) rows * features)) {
      fill(weights.encoder, 1, 0.3);
      fill(weights.decoder, 2, 0.3);
      fill(weights.encoderBias, 3, 0.3);
      fill(weights.decoderBias, 4, 0.3);
      if (weights.threshold != null) {
        fill(weights.threshold, 5, 0.3);
      }
      if (weights.magnitudeScale != null) {
        fill(weights.magnitudeScale, 6, 0.3);
        fill(weights.magnitudeBias, 7, 0.3);
      }
      SaeTrainer.fold(kernels, weights, Double.NaN, 0, 1, standard);
      SaeTrainer.fold(kernels, weights, Double.NaN, mean, deviation, raw);
      float[] standardised = new float[rows * WIDTH];
      float[] original = new float[rows * WIDTH];
      for (int i = 0; i < original.length; i++) {
        standardised[i] = (float) Philox.normal(6, 0, 0, i);
        original[i] = (float) (mean + deviation * standardised[i]);
      }
      x.put(0, standardised, 0, standardised.length);
      standard.encode(kernels, rows, x, indices, values);
      int[] chosen = entries(indices, values, rows, features);
      float[] expected = dense(indices, values, rows, features);
      x.put(0, original, 0, original.length);
      raw.encode(kernels, rows, x, indices, values);
      assertArrayEquals(chosen, entries(indices, values, rows, features));
      assertTrue(chosen.length > rows);
      float[] actual = dense(indices, values, rows, features);
      for (int i = 0; i < actual.length; i++) {
        assertEquals(deviation * expected[i], actual[i], 2e-5);
      }
    }
  }

  private static void fill(Buffer buffer, int stream, double spread) {
    float[] values = new float[(int) buffer.count()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (spread * Philox.normal(4, stream, 0, i));
    }
    buffer.put(0, values, 0, values.length);
  }

  /** Places of what fires. */
  private static int[] entries(Buffer indices, Buffer values, int rows, int features) {
    float[] dense = dense(indices, values, rows, features);
    return java.util.stream.IntStream.range(0, dense.length).filter(i -> dense[i] > 0).toArray();
  }

  private static float[] dense(Buffer indices, Buffer values, int rows, int features) {
    int[] index = indices.ints();
    float[] value = values.floats();
    float[] dense = new float[rows * features];
    for (int r = 0; r < rows; r++) {
      for (int i = r * features; i < (r + 1) * features && index[i] != Sae.END; i++) {
        dense[r * features + index[i]] = value[i];
      }
    }
    return dense;
  }

  /** Feature 0 of a gated dictionary of one dimension, by hand. */
  @Test
  void aGatedFeatureByHand() {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        SparseAutoencoder sae =
            new SparseAutoencoder(kernels, SITE, 1, 1, SaeArchitecture.GATED, Map.of());
        Buffer x = kernels.allocate(DType.F32, 3);
        Buffer y = kernels.allocate(DType.F32, 3);
        Buffer indices = kernels.allocate(DType.I32, 3);
        Buffer values = kernels.allocate(DType.F32, 3)) {
      put(sae.encoderWeights(), 2);
      put(sae.decoderWeights(), 1);
      put(sae.encoderBias(), -1); // b_gate
      put(sae.decoderBias(), 0.5f);
      put(sae.magnitudeScale(), (float) Math.log(3));
      put(sae.magnitudeBias(), -4);
      sae.refresh(kernels);
      // Gate 2 (x - .5) - 1 = -1, 1, 3; magnitude 3 * 2 (x - .5) - 4 = -4, 2, 8.
      put(x, 0.5f, 1.5f, 2.5f);
      sae.encode(kernels, 3, x, indices, values);
      assertArrayEquals(new float[] {0, 2, 8}, dense(indices, values, 3, 1), 1e-6f);
      EditTable edits = new EditTable(1);
      edits.put(0, EditTable.Op.SET, 0.25f, 0);
      edits.write(EditTable.Write.REPLACE);
      edits.stage(EditTable.Stage.PRE_SELECT);
      sae.steer(kernels, 3, x, edits, y, indices, values);
      // Every gate's score becomes .25: magnitude 3 (.25 + 1) - 4 = -.25, rectified.
      assertArrayEquals(new float[] {0.5f, 0.5f, 0.5f}, y.floats(), 1e-6f);
      edits.stage(EditTable.Stage.POST_SELECT);
      sae.steer(kernels, 3, x, edits, y, indices, values);
      assertArrayEquals(new float[] {0.75f, 0.75f, 0.75f}, y.floats(), 1e-6f);
    }
  }

  private static void put(Buffer buffer, float... values) {
    buffer.put(0, values, 0, values.length);
  }

  @Test
  void refusesSettingsThatDoNotGoTogether() {
    for (Object[] one :
        new Object[][] {
          {new SaeVariant.BatchTopK(65), "K = 65"},
          {new SaeVariant.Matryoshka(new SaeVariant.TopK(2), List.of(8, 32)), "[8, 32]"},
          {new SaeVariant.JumpRelu(-1, 0.1f), "L0 weight -1.0"},
          {new SaeVariant.JumpRelu(1, 0), "bandwidth 0.0"},
          {new SaeVariant.Gated(Float.NaN), "L1 weight NaN"},
          {new SaeVariant.ReluL1(Float.POSITIVE_INFINITY, true), "L1 weight Infinity"}
        }) {
      IllegalArgumentException refusal =
          assertThrows(IllegalArgumentException.class, () -> config((SaeVariant) one[0], 10));
      assertTrue(refusal.getMessage().contains((String) one[1]), refusal.getMessage());
    }
    assertThrows(
        IllegalArgumentException.class,
        () -> new SaeVariant.Matryoshka(new SaeVariant.TopK(2), List.of(8, 8)));
    assertThrows(
        IllegalArgumentException.class,
        () -> new SaeVariant.Matryoshka(new SaeVariant.Gated(1), List.of(8)));
    assertEquals(
        List.of(4, 8, 16, 32, 64),
        SaeVariant.Matryoshka.halves(new SaeVariant.TopK(2), 64).prefixes());
  }
}
