package dev.rhumb.sae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SparseAutoencoderTest {
  private static final Site SITE = Site.parse("block 0");

  @TempDir Path folder;
  private long live;
  private Kernels kernels;

  @BeforeEach
  void open() {
    live = Buffer.live();
    kernels = Kernels.open(Backend.SCALAR, 1);
  }

  @AfterEach
  void nothingLeaks() {
    kernels.close();
    assertEquals(live, Buffer.live());
  }

  private SparseAutoencoder golden() {
    SparseAutoencoder sae =
        new SparseAutoencoder(
            kernels,
            SITE,
            Golden.FEATURES,
            Golden.WIDTH,
            Golden.KEPT,
            Map.of("dataset", "example", "steps", 7L));
    Golden.fill(kernels, sae);
    return sae;
  }

  @Test
  void theWorkedExample() {
    try (SparseAutoencoder sae = golden();
        Buffer x = Golden.x(kernels);
        Buffer indices = kernels.allocate(DType.I32, 6);
        Buffer values = kernels.allocate(DType.F32, 6);
        Buffer y = kernels.allocate(DType.F32, 12)) {
      sae.encode(kernels, 3, x, indices, values);
      sae.decode(kernels, 3, indices, values, y);
      assertArrayEquals(new int[] {4, 3, 0, 1, 4, 2}, indices.ints());
      assertArrayEquals(
          new float[] {2.1875f, 1.5f, 1.34375f, 1.125f, 2.5f, 1.625f}, values.floats());
      assertArrayEquals(
          new float[] {
            1.34375f, .59375f, -2.09375f, -1.09375f, 1.484375f, -.390625f, 1.734375f, .109375f,
            3.125f, .75f, -.75f, -1.25f
          },
          y.floats());
      SaeMetrics metrics = SaeMetrics.of(kernels, sae, x, 3);
      assertEquals(1 - .65187948, metrics.explainedVariance(), 1e-7);
      assertEquals(2, metrics.l0());
      assertEquals(1 / 6.0, metrics.deadShare());
      assertEquals(Math.sqrt(13.2548828125 / 12), metrics.rootMeanSquaredError(), 1e-7);
    }
  }

  @Test
  void metricsAgreeWithPlainSums() {
    int rows = 3000; // more than a block
    int width = 6;
    try (SparseAutoencoder sae = new SparseAutoencoder(kernels, SITE, 9, width, 2, Map.of());
        Buffer x = kernels.allocate(DType.F32, (long) rows * width);
        Buffer indices = kernels.allocate(DType.I32, 2L * rows);
        Buffer values = kernels.allocate(DType.F32, 2L * rows);
        Buffer y = kernels.allocate(DType.F32, (long) rows * width)) {
      randomise(sae);
      float[] in = new float[rows * width];
      for (int i = 0; i < in.length; i++) {
        // A large mean, which a careless variance would count.
        in[i] = (float) (100 + Philox.normal(2, 0, 0, i));
      }
      x.put(0, in, 0, in.length);
      sae.encode(kernels, rows, x, indices, values);
      sae.decode(kernels, rows, indices, values, y);
      float[] out = y.floats();
      double error = 0;
      double variance = 0;
      double absolute = 0;
      double cosine = 0;
      for (int d = 0; d < width; d++) {
        double mean = 0;
        for (int r = 0; r < rows; r++) {
          mean += in[r * width + d] / (double) rows;
        }
        for (int r = 0; r < rows; r++) {
          variance += Math.pow(in[r * width + d] - mean, 2);
        }
      }
      for (int r = 0; r < rows; r++) {
        double dot = 0;
        double a = 0;
        double b = 0;
        for (int i = r * width; i < (r + 1) * width; i++) {
          dot += (double) in[i] * out[i];
          a += (double) in[i] * in[i];
          b += (double) out[i] * out[i];
          error += Math.pow((double) in[i] - out[i], 2);
          absolute += Math.abs((double) in[i] - out[i]);
        }
        cosine += dot / Math.sqrt(a * b) / rows;
      }
      SaeMetrics metrics = SaeMetrics.of(kernels, sae, x, rows);
      assertEquals(1 - error / variance, metrics.explainedVariance(), 1e-9 * error / variance);
      assertEquals(cosine, metrics.cosine(), 1e-9);
      assertEquals(absolute / in.length, metrics.meanAbsoluteError(), 1e-9 * absolute);
    }
  }

  private void randomise(SparseAutoencoder sae) {
    int stream = 10;
    for (Buffer part :
        new Buffer[] {
          sae.encoderWeights(), sae.decoderWeights(), sae.encoderBias(), sae.decoderBias()
        }) {
      float[] values = new float[(int) part.count()];
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) Philox.normal(4, stream, 0, i);
      }
      part.put(0, values, 0, values.length);
      stream++;
    }
    sae.refresh(kernels);
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 1", "7, 3, 7", "130, 17, 5", "5, 400, 2"})
  void savedAndLoadedItIsTheSameBitForBit(int features, int width, int kept) {
    try (SparseAutoencoder sae =
        new SparseAutoencoder(
            kernels, Site.LAST, features, width, kept, Map.of("dataset", "d", "seed", 3L))) {
      randomise(sae);
      sae.save(folder.resolve("sae/last"));
      try (SparseAutoencoder again =
          SparseAutoencoder.load(kernels, SparseAutoencoder.folder(folder, Site.LAST))) {
        assertEquals(Site.LAST, again.site());
        assertEquals(kept, again.kept());
        assertEquals(sae.metadata(), again.metadata());
        assertArrayEquals(sae.encoderWeights().floats(), again.encoderWeights().floats());
        assertArrayEquals(sae.decoderWeights().floats(), again.decoderWeights().floats());
        assertArrayEquals(sae.encoderBias().floats(), again.encoderBias().floats());
        assertArrayEquals(sae.decoderBias().floats(), again.decoderBias().floats());
      }
    }
  }

  @Test
  void theFileHoldsTheEncoderByDimension() {
    try (SparseAutoencoder sae = golden()) {
      sae.save(folder);
      try (Safetensors file = Safetensors.load(folder.resolve("sae_weights.safetensors"))) {
        float[] encoder = file.tensor("W_enc", DType.F32, 4, 6).floats();
        assertEquals(.625f, encoder[0]); // W_enc (0, 0) of the example
        assertEquals(-.375f, encoder[3 * 6 + 1]); // (1, 3)
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "'\"topk\"', '\"crosscoder\"', architecture",
    "'\"k\": 2', '\"k\": 7', k",
    "'\"d_in\": 4', '\"d_in\": 5', W_enc",
    "'\"block 0\"', '\"blocks.8.hook\"', hook_name",
    "'\"float32\"', '\"int8\"', dtype"
  })
  void refusesOtherConfigurations(String find, String write, String named) throws Exception {
    try (SparseAutoencoder sae = golden()) {
      sae.save(folder);
    }
    Path file = folder.resolve("cfg.json");
    String text = Files.readString(file);
    assertTrue(text.contains(find), text);
    Files.writeString(file, text.replace(find, write));
    FormatException refusal =
        assertThrows(FormatException.class, () -> SparseAutoencoder.load(kernels, folder));
    assertTrue(refusal.getMessage().contains(named), refusal.getMessage());
  }

  @Test
  void refusesWeightsThatAreNotFinite() {
    try (SparseAutoencoder sae = golden()) {
      sae.encoderWeights().put(5, new float[] {Float.NaN}, 0, 1);
      sae.save(folder);
    }
    FormatException refusal =
        assertThrows(FormatException.class, () -> SparseAutoencoder.load(kernels, folder));
    assertTrue(refusal.getMessage().contains("feature 1"), refusal.getMessage());
  }

  @Test
  void refusesAModelThatItDoesNotFit() {
    ModelConfig wide = ModelConfig.of(BlockStyle.SASREC, 10, 8, 1, 1, 5, 0);
    try (SparseAutoencoder sae = golden()) {
      assertThrows(IllegalArgumentException.class, () -> sae.requireFits(wide));
    }
    assertThrows(
        IllegalArgumentException.class,
        () -> new SparseAutoencoder(kernels, SITE, 4, 2, 5, Map.of()));
  }

  @Test
  void theScaleOfTrainingIsFoldedAway() {
    int rows = 50;
    int width = 6;
    int features = 20;
    double mean = 3.7;
    double deviation = 0.21;
    try (SaeWeights weights = new SaeWeights(kernels, features, width, SaeArchitecture.TOP_K);
        SparseAutoencoder raw = new SparseAutoencoder(kernels, SITE, features, width, 4, Map.of());
        SparseAutoencoder standard =
            new SparseAutoencoder(kernels, SITE, features, width, 4, Map.of());
        Buffer x = kernels.allocate(DType.F32, (long) rows * width);
        Buffer indices = kernels.allocate(DType.I32, 4L * rows);
        Buffer values = kernels.allocate(DType.F32, 4L * rows);
        Buffer y = kernels.allocate(DType.F32, (long) rows * width)) {
      randomise(standard);
      weights.encoder.copyFrom(standard.encoderWeights());
      weights.decoder.copyFrom(standard.decoderWeights());
      weights.encoderBias.copyFrom(standard.encoderBias());
      weights.decoderBias.copyFrom(standard.decoderBias());
      SaeTrainer.fold(kernels, weights, Double.NaN, mean, deviation, raw);
      float[] standardised = new float[rows * width];
      float[] original = new float[rows * width];
      for (int i = 0; i < original.length; i++) {
        standardised[i] = (float) Philox.normal(6, 0, 0, i);
        original[i] = (float) (mean + deviation * standardised[i]);
      }
      x.put(0, standardised, 0, standardised.length);
      standard.encode(kernels, rows, x, indices, values);
      standard.decode(kernels, rows, indices, values, y);
      float[] expected = y.floats();
      int[] chosen = indices.ints();
      x.put(0, original, 0, original.length);
      raw.encode(kernels, rows, x, indices, values);
      raw.decode(kernels, rows, indices, values, y);
      assertArrayEquals(chosen, indices.ints());
      float[] actual = y.floats();
      for (int i = 0; i < actual.length; i++) {
        assertEquals(mean + deviation * expected[i], actual[i], 2e-5);
      }
    }
  }
}
