package dev.rhumb.sae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Bfloat16;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Site;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Files of other libraries, made by hand: what is read computes what a plain loop over their
 * tensors computes; what cannot be computed is refused by name.
 */
class SaeLayoutTest {
  private static final int D = 6;
  private static final int F = 14;
  private static final int K = 4;
  private static final int ROWS = 40;

  @TempDir Path folder;
  private Kernels kernels;
  private long live;

  @BeforeEach
  void open() {
    live = Buffer.live();
    kernels = Kernels.open(Backend.SIMD, 1);
  }

  @AfterEach
  void nothingLeaks() {
    kernels.close();
    assertEquals(live, Buffer.live());
  }

  /** A tensor of a hand-made file. */
  private record Made(long[] shape, double[] values) {
    double at(int row, int col) {
      return values[row * (int) shape[1] + col];
    }

    Made plus(double change) {
      return new Made(shape, Arrays.stream(values).map(v -> v + change).toArray());
    }
  }

  private static Made random(Random random, double scale, long... shape) {
    int count = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    return new Made(
        shape, IntStream.range(0, count).mapToDouble(i -> scale * random.nextGaussian()).toArray());
  }

  /** The tensors of an architecture of SAELens, rounded to a type so that files hold them. */
  private static Map<String, Made> tensors(String architecture, String dtype, boolean unit) {
    Random random = new Random(3);
    Map<String, Made> made = new LinkedHashMap<>();
    made.put("W_enc", random(random, .5, D, F));
    made.put("W_dec", random(random, .7, F, D));
    made.put("b_dec", random(random, .6, D));
    if (architecture.equals("gated")) {
      made.put("b_gate", random(random, .3, F));
      made.put("r_mag", random(random, .4, F));
      made.put("b_mag", random(random, .3, F));
    } else {
      made.put("b_enc", random(random, .3, F));
    }
    if (architecture.equals("jumprelu")) {
      made.put("threshold", random(random, .5, F));
    }
    if (architecture.endsWith("batchtopk")) {
      made.put("topk_threshold", new Made(new long[0], new double[] {.375}));
    }
    if (unit) {
      Made rows = made.get("W_dec");
      for (int f = 0; f < F; f++) {
        double norm = 0;
        for (int d = 0; d < D; d++) {
          norm += rows.at(f, d) * rows.at(f, d);
        }
        for (int d = 0; d < D; d++) {
          rows.values[f * D + d] /= Math.sqrt(norm);
        }
      }
    }
    made.values().forEach(m -> Arrays.setAll(m.values, i -> rounded(m.values[i], dtype)));
    return made;
  }

  private static double rounded(double value, String dtype) {
    return switch (dtype) {
      case "F16" -> Float.float16ToFloat(Float.floatToFloat16((float) value));
      case "BF16" -> Bfloat16.toFloat(Bfloat16.of((float) value));
      default -> (float) value;
    };
  }

  private static void writeTensors(Path file, Map<String, Made> tensors, String dtype)
      throws IOException {
    StringBuilder header = new StringBuilder("{");
    int at = 0;
    for (Map.Entry<String, Made> tensor : tensors.entrySet()) {
      int bytes = tensor.getValue().values.length * bytes(dtype);
      header
          .append(at == 0 ? "" : ",")
          .append(
              "\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}"
                  .formatted(
                      tensor.getKey(),
                      dtype,
                      Arrays.toString(tensor.getValue().shape),
                      at,
                      at + bytes));
      at += bytes;
    }
    byte[] head = header.append("}").toString().getBytes(StandardCharsets.UTF_8);
    ByteBuffer file8 = ByteBuffer.allocate(8 + head.length + at).order(ByteOrder.LITTLE_ENDIAN);
    file8.putLong(head.length).put(head);
    for (Made tensor : tensors.values()) {
      for (double value : tensor.values) {
        switch (dtype) {
          case "F16" -> file8.putShort(Float.floatToFloat16((float) value));
          case "BF16" -> file8.putShort(Bfloat16.of((float) value));
          case "F64" -> file8.putDouble(value);
          default -> file8.putFloat((float) value);
        }
      }
    }
    Files.write(file, file8.array());
  }

  private static int bytes(String dtype) {
    return dtype.equals("F64") ? 8 : dtype.endsWith("16") ? 2 : 4;
  }

  /** How SAELens or sparsify would encode: z (rows, F). */
  private static double[][] encode(
      Map<String, Made> t, String architecture, float[] x, boolean biasApplied, boolean rescaled) {
    double[][] z = new double[ROWS][F];
    double[] norms = norms(t);
    Made bias = t.get(architecture.equals("gated") ? "b_gate" : "b_enc");
    for (int r = 0; r < ROWS; r++) {
      double[] raw = new double[F];
      double[] pre = new double[F];
      for (int f = 0; f < F; f++) {
        for (int d = 0; d < D; d++) {
          double in = x[r * D + d] - (biasApplied ? t.get("b_dec").values[d] : 0);
          raw[f] += in * t.get("W_enc").at(d, f);
        }
        pre[f] = (raw[f] + bias.values[f]) * (rescaled ? norms[f] : 1);
      }
      boolean[] keep = new boolean[F];
      if (architecture.equals("topk")) {
        IntStream.range(0, F)
            .boxed()
            .sorted(Comparator.comparingDouble(f -> -pre[f]))
            .limit(K)
            .forEach(f -> keep[f] = true);
      }
      for (int f = 0; f < F; f++) {
        z[r][f] =
            switch (architecture) {
              case "topk" -> keep[f] ? Math.max(0, pre[f]) : 0;
              case "standard" -> Math.max(0, pre[f]);
              case "jumprelu" -> pre[f] > t.get("threshold").values[f] ? Math.max(0, pre[f]) : 0;
              case "gated" ->
                  pre[f] > 0
                      ? Math.max(
                          0, raw[f] * Math.exp(t.get("r_mag").values[f]) + t.get("b_mag").values[f])
                      : 0;
              default -> pre[f] > t.get("topk_threshold").values[0] ? Math.max(0, pre[f]) : 0;
            };
      }
    }
    return z;
  }

  private static double[] norms(Map<String, Made> t) {
    return IntStream.range(0, F)
        .mapToDouble(
            f ->
                Math.sqrt(
                    IntStream.range(0, D)
                        .mapToDouble(d -> t.get("W_dec").at(f, d) * t.get("W_dec").at(f, d))
                        .sum()))
        .toArray();
  }

  private static double[][] decode(Map<String, Made> t, double[][] z, boolean rescaled) {
    double[] norms = norms(t);
    double[][] y = new double[ROWS][D];
    for (int r = 0; r < ROWS; r++) {
      for (int d = 0; d < D; d++) {
        y[r][d] = t.get("b_dec").values[d];
        for (int f = 0; f < F; f++) {
          y[r][d] += z[r][f] / (rescaled ? norms[f] : 1) * t.get("W_dec").at(f, d);
        }
      }
    }
    return y;
  }

  private static float[] states() {
    Random random = new Random(11);
    float[] x = new float[ROWS * D];
    for (int i = 0; i < x.length; i++) {
      x[i] = (float) (1.5 * random.nextGaussian());
    }
    return x;
  }

  /** Holds an autoencoder against z and its reconstruction, then closes it. */
  private void assertComputes(double[][] z, double[][] y, SparseAutoencoder sae) {
    float[][] found = new float[ROWS][F];
    try (sae;
        Buffer x = kernels.allocate(DType.F32, (long) ROWS * D);
        FiredFeatures fired = new FiredFeatures(kernels, sae, ROWS);
        Buffer indices = kernels.allocate(DType.I32, (long) ROWS * sae.kept());
        Buffer values = kernels.allocate(DType.F32, (long) ROWS * sae.kept());
        Buffer decoded = kernels.allocate(DType.F32, (long) ROWS * D)) {
      x.put(0, states(), 0, ROWS * D);
      fired.of(x, ROWS, (row, feature, activation) -> found[row][feature] = activation);
      int firing = 0;
      for (int r = 0; r < ROWS; r++) {
        for (int f = 0; f < F; f++) {
          assertEquals(z[r][f], found[r][f], 1e-5, "row " + r + ", feature " + f);
          firing += z[r][f] > 0 ? 1 : 0;
        }
      }
      assertTrue(firing > ROWS && firing < ROWS * F, firing + " activations: no test");
      sae.encode(kernels, ROWS, x, indices, values);
      sae.decode(kernels, ROWS, indices, values, decoded);
      float[] got = decoded.floats();
      for (int i = 0; i < got.length; i++) {
        assertEquals(y[i / D][i % D], got[i], 2e-5);
      }
    }
  }

  private void writeSaeLens(String config, Map<String, Made> tensors, String dtype)
      throws IOException {
    Files.writeString(folder.resolve("cfg.json"), config);
    writeTensors(folder.resolve("sae_weights.safetensors"), tensors, dtype);
  }

  private static String config(String architecture, String more) {
    return """
        {"architecture": "%s", "d_in": 6, "d_sae": 14, "dtype": "float32", "device": "cuda",
         "normalize_activations": "none", "reshape_activations": "none", %s
         "metadata": {"sae_lens_version": "6.18.0", "hook_name": "blocks.1.hook_resid_post"}}
        """
        .formatted(architecture, more);
  }

  @ParameterizedTest
  @CsvSource({
    "topk, F32, true, false, true",
    "topk, F32, false, false, false",
    "topk, F32, true, true, false",
    "topk, F16, false, true, false",
    "standard, F32, true, false, true",
    "standard, BF16, false, false, false",
    "jumprelu, F32, true, false, true",
    "jumprelu, F64, false, false, false",
    "gated, F32, true, false, true",
    "gated, F16, false, false, false",
    "batchtopk, F32, true, true, false",
    "batchtopk, F32, false, false, true",
    "matryoshka_batchtopk, F32, false, true, false"
  })
  void saeLensFilesComputeWhatTheirTensorsSay(
      String architecture, String dtype, boolean biasApplied, boolean rescaled, boolean unit)
      throws Exception {
    Map<String, Made> tensors = tensors(architecture, dtype, unit);
    String more = "\"apply_b_dec_to_input\": " + biasApplied + ", ";
    if (architecture.endsWith("topk")) {
      more += "\"k\": " + (architecture.equals("topk") ? "4" : "4.5") + ", ";
      more += "\"rescale_acts_by_decoder_norm\": " + rescaled + ", ";
    }
    writeSaeLens(config(architecture, more), tensors, dtype);
    double[][] z = encode(tensors, architecture, states(), biasApplied, rescaled);
    double[][] y = decode(tensors, z, rescaled);
    assertEquals(SaeLayout.SAELENS, SaeLayout.of(folder));
    SparseAutoencoder sae = SaeLayout.SAELENS.read(kernels, folder, null);
    assertEquals(Site.parse("block 1"), sae.site());
    assertEquals("saelens", sae.metadata().get("imported_from"));
    // Written and read again it is the same to the bit, in the words used here.
    sae.save(folder.resolve("ours"));
    try (SparseAutoencoder again = SparseAutoencoder.load(kernels, folder.resolve("ours"))) {
      assertSameWeights(sae, again);
      assertEquals(sae.site(), again.site());
      assertEquals(sae.metadata(), again.metadata());
    }
    assertComputes(z, y, sae);
  }

  private static void assertSameWeights(SparseAutoencoder a, SparseAutoencoder b) {
    assertEquals(a.architecture(), b.architecture());
    assertEquals(a.kept(), b.kept());
    List<Buffer> left =
        Arrays.asList(
            a.encoderWeights(),
            a.decoderWeights(),
            a.encoderBias(),
            a.decoderBias(),
            a.threshold(),
            a.magnitudeScale(),
            a.magnitudeBias());
    List<Buffer> right =
        Arrays.asList(
            b.encoderWeights(),
            b.decoderWeights(),
            b.encoderBias(),
            b.decoderBias(),
            b.threshold(),
            b.magnitudeScale(),
            b.magnitudeBias());
    for (int i = 0; i < left.size(); i++) {
      if (left.get(i) != null) {
        assertArrayEquals(left.get(i).floats(), right.get(i).floats());
      }
    }
  }

  @Test
  void filesBeforeSaeLensSixAreRead() throws Exception {
    Map<String, Made> tensors = tensors("topk", "F32", true);
    tensors.put("scaling_factor", new Made(new long[] {F}, new double[F]).plus(1));
    writeSaeLens(
        """
        {"d_in": 6, "d_sae": 14, "dtype": "torch.float32", "hook_point": "blocks.0.hook_mlp_out",
         "hook_layer": 0, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4},
         "normalize_activations": false, "finetuning_scaling_factor": false}
        """,
        tensors,
        "F32");
    double[][] z = encode(tensors, "topk", states(), true, false);
    SparseAutoencoder sae = SaeLayout.SAELENS.read(kernels, folder, null);
    assertEquals(Site.parse("mlp 0"), sae.site());
    assertEquals(K, sae.kept());
    assertComputes(z, decode(tensors, z, false), sae);
    tensors.put("scaling_factor", new Made(new long[] {F}, new double[F]).plus(2));
    writeTensors(folder.resolve("sae_weights.safetensors"), tensors, "F32");
    refused("tensor scaling_factor", null);
  }

  @ParameterizedTest
  @ValueSource(strings = {"F32", "F16", "BF16"})
  void sparsifyFilesComputeWhatTheirTensorsSay(String dtype) throws Exception {
    Map<String, Made> lens = tensors("topk", dtype, true);
    Path layer = Files.createDirectory(folder.resolve("layers.1.mlp"));
    writeTensors(layer.resolve("sae.safetensors"), sparsify(lens), dtype);
    Files.writeString(
        layer.resolve("cfg.json"),
        """
        {"activation": "topk", "expansion_factor": 32, "normalize_decoder": true,
         "num_latents": 14, "k": 4, "multi_topk": true, "skip_connection": false,
         "transcode": false, "d_in": 6}
        """);
    double[][] z = encode(lens, "topk", states(), true, false);
    assertEquals(SaeLayout.SPARSIFY, SaeLayout.of(layer));
    SparseAutoencoder sae = SaeLayout.SPARSIFY.read(kernels, layer, null);
    assertEquals(Site.parse("mlp 1"), sae.site());
    Path other = folder.resolve("other");
    SaeLayout.SPARSIFY.write(sae, other);
    try (SparseAutoencoder again = SaeLayout.SPARSIFY.read(kernels, other, Site.LAST)) {
      assertSameWeights(sae, again);
      assertEquals(Site.LAST, again.site());
    }
    assertEquals(
        "{\"activation\":\"topk\",\"expansion_factor\":2,\"normalize_decoder\":true,"
            + "\"num_latents\":14,\"k\":4,\"multi_topk\":false,\"skip_connection\":false,"
            + "\"transcode\":false,\"d_in\":6}",
        Files.readString(other.resolve("cfg.json")).replaceAll("\\s", ""));
    FormatException nowhere =
        assertThrows(
            FormatException.class, () -> SaeLayout.SPARSIFY.read(kernels, other, null).close());
    assertTrue(nowhere.getMessage().contains("'other'"), nowhere.getMessage());
    assertComputes(z, decode(lens, z, false), sae);
  }

  /** The same weights by sparsify's names and shapes. */
  private static Map<String, Made> sparsify(Map<String, Made> lens) {
    double[] rows = new double[F * D];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = lens.get("W_enc").at(i % D, i / D);
    }
    Map<String, Made> made = new LinkedHashMap<>();
    made.put("W_dec", lens.get("W_dec"));
    made.put("b_dec", lens.get("b_dec"));
    made.put("encoder.bias", lens.get("b_enc"));
    made.put("encoder.weight", new Made(new long[] {F, D}, rows));
    return made;
  }

  @Test
  void sparsifyHasTopKOnly() throws Exception {
    writeSaeLens(config("standard", ""), tensors("standard", "F32", true), "F32");
    try (SparseAutoencoder sae = SaeLayout.SAELENS.read(kernels, folder, Site.LAST)) {
      assertEquals(Site.LAST, sae.site());
      String message =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> SaeLayout.SPARSIFY.write(sae, folder.resolve("out")))
              .getMessage();
      assertTrue(message.contains("this one is standard"), message);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "\"num_latents\": 14, \"num_latents\": 0, 'tensor \"encoder.weight\"'",
    "\"k\": 4, \"k\": 15, k",
    "\"topk\", \"groupmax\", activation",
    "\"transcode\": false, \"transcode\": true, transcode",
    "\"skip_connection\": false, \"skip_connection\": true, skip_connection",
    "\"multi_topk\": true, \"signed\": true, signed",
    "\"multi_topk\": true, \"monet\": true, monet",
    "\"d_in\": 6, \"d_in\": 7, 'tensor \"encoder.weight\"'"
  })
  void sparsifyConfigurationsThatMeanSomethingElseAreRefused(String from, String to, String where)
      throws Exception {
    writeTensors(folder.resolve("sae.safetensors"), sparsify(tensors("topk", "F32", true)), "F32");
    String good =
        """
        {"activation": "topk", "expansion_factor": 32, "num_latents": 14, "k": 4,
         "multi_topk": true, "skip_connection": false, "transcode": false, "d_in": 6}
        """;
    Files.writeString(folder.resolve("cfg.json"), good.replace(from, to));
    refused(where, Site.LAST);
    Files.writeString(folder.resolve("cfg.json"), good);
    SaeLayout.of(folder).read(kernels, folder, Site.LAST).close();
  }

  @ParameterizedTest
  @CsvSource({
    "\"architecture\": \"topk\", \"architecture\": \"transcoder\", architecture",
    "\"normalize_activations\": \"none\", \"normalize_activations\": \"layer_norm\","
        + " normalize_activations",
    "\"normalize_activations\": \"none\", \"normalize_activations\": \"expected_average_only_in\","
        + " normalize_activations",
    "\"normalize_activations\": \"none\", \"normalize_activations\": true, normalize_activations",
    "\"reshape_activations\": \"none\", \"reshape_activations\": \"hook_z\", reshape_activations",
    "\"dtype\": \"float32\", \"dtype\": \"int8\", dtype",
    "\"k\": 4, \"k\": 4.5, k",
    "\"k\": 4, \"k\": 15, k",
    "\"k\": 4, \"finetuning_scaling_factor\": true, k",
    "'\"k\": 4,', '\"k\": 4, \"finetuning_scaling_factor\": true,', finetuning_scaling_factor",
    "'\"k\": 4,', '\"k\": 4, \"activation_fn\": \"tanh-relu\",', activation_fn",
    "\"architecture\": \"topk\", \"architecture\": \"gated\", tensor b_gate",
    "\"architecture\": \"topk\", \"architecture\": \"jumprelu\", tensor threshold",
    "\"architecture\": \"topk\", \"architecture\": \"batchtopk\", tensor topk_threshold",
    "'\"architecture\": \"topk\"', '\"architecture\": \"standard\","
        + " \"rescale_acts_by_decoder_norm\": true', rescale_acts_by_decoder_norm",
    "\"d_in\": 6, \"d_in\": 5, 'tensor \"W_enc\"'",
    "\"d_sae\": 14, \"d_sae\": 0, d_sae",
    "blocks.1.hook_resid_post, blocks.1.hook_z, metadata.hook_name"
  })
  void saeLensConfigurationsThatMeanSomethingElseAreRefused(String from, String to, String where)
      throws Exception {
    String good = config("topk", "\"k\": 4,");
    assertTrue(good.contains(from), from);
    writeSaeLens(good.replace(from, to), tensors("topk", "F32", true), "F32");
    refused(where, null);
    Files.writeString(folder.resolve("cfg.json"), good);
    SaeLayout.of(folder).read(kernels, folder, null).close();
  }

  private void refused(String where, Site site) {
    FormatException refusal =
        assertThrows(
            FormatException.class, () -> SaeLayout.of(folder).read(kernels, folder, site).close());
    assertEquals(where, refusal.where(), refusal.getMessage());
    assertTrue(refusal.file().startsWith(folder.toString()), refusal.getMessage());
  }

  @ParameterizedTest
  @ValueSource(strings = {"topk", "standard", "jumprelu", "gated", "batchtopk"})
  void missingExtraAndMisshapenTensorsAreRefusedByName(String architecture) throws Exception {
    Map<String, Made> good = tensors(architecture, "F32", true);
    String config = config(architecture, "\"k\": 4,");
    for (String name : good.keySet()) {
      Map<String, Made> missing = new LinkedHashMap<>(good);
      missing.remove(name);
      writeSaeLens(config, missing, "F32");
      refused("tensor " + name, null);
      Map<String, Made> misshapen = new LinkedHashMap<>(good);
      Made one = good.get(name);
      long[] shape = Arrays.copyOf(one.shape, one.shape.length + 1);
      shape[one.shape.length] = 1;
      misshapen.put(name, new Made(shape, one.values));
      writeSaeLens(config, misshapen, "F32");
      refused("tensor \"" + name + "\"", null);
      Map<String, Made> infinite = new LinkedHashMap<>(good);
      infinite.put(name, one.plus(Double.POSITIVE_INFINITY));
      writeSaeLens(config, infinite, "F32");
      refused("weights", null);
    }
    Map<String, Made> extra = new LinkedHashMap<>(good);
    extra.put("W_skip", new Made(new long[] {D, D}, new double[D * D]));
    writeSaeLens(config, extra, "F32");
    refused("tensor W_skip", null);
    Map<String, Made> ints = new LinkedHashMap<>(good);
    writeSaeLens(config, ints, "I32");
    refused("tensor \"W_enc\"", null);
  }

  @Test
  void aRowOfZerosCannotBeRescaled() throws Exception {
    Map<String, Made> tensors = tensors("topk", "F32", true);
    Arrays.fill(tensors.get("W_dec").values, 3 * D, 4 * D, 0);
    writeSaeLens(
        config("topk", "\"k\": 4, \"rescale_acts_by_decoder_norm\": true,"), tensors, "F32");
    FormatException refusal =
        assertThrows(
            FormatException.class, () -> SaeLayout.SAELENS.read(kernels, folder, null).close());
    assertTrue(refusal.getMessage().contains("row 3 is zero"), refusal.getMessage());
  }

  @Test
  void aFolderOfNeitherLayoutIsRefused() throws Exception {
    assertThrows(FormatException.class, () -> SaeLayout.of(folder));
    assertThrows(IllegalArgumentException.class, () -> SaeLayout.of("gguf"));
    assertEquals(SaeLayout.SPARSIFY, SaeLayout.of("sparsify"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"saelens", "sparsify"})
  void anyDamageIsReadOrRefusedByName(String label) throws Exception {
    SaeLayout layout = SaeLayout.of(label);
    writeSaeLens(config("topk", "\"k\": 4,"), tensors("topk", "F32", true), "F32");
    Path made = folder.resolve("made");
    try (SparseAutoencoder sae = SaeLayout.SAELENS.read(kernels, folder, null)) {
      layout.write(sae, made);
    }
    String weights = layout == SaeLayout.SAELENS ? "sae_weights.safetensors" : "sae.safetensors";
    Random random = new Random(1);
    for (String name : new String[] {"cfg.json", weights}) {
      Path file = made.resolve(name);
      byte[] sound = Files.readAllBytes(file);
      for (int i = 0; i < 400; i++) {
        byte[] bytes = sound.clone();
        int changes = 1 + random.nextInt(3);
        for (int change = 0; change < changes; change++) {
          int at = random.nextInt(bytes.length);
          bytes[at] =
              random.nextBoolean()
                  ? (byte) (bytes[at] ^ 1 << random.nextInt(8))
                  : sound[random.nextInt(sound.length)];
        }
        if (i % 5 == 0) {
          bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length));
        }
        Files.write(file, bytes);
        try {
          layout.read(kernels, made, Site.LAST).close();
        } catch (FormatException refusal) {
          assertTrue(refusal.file().startsWith(made.toString()), refusal.getMessage());
        }
      }
      Files.write(file, sound);
    }
    layout.read(kernels, made, Site.LAST).close();
  }
}
