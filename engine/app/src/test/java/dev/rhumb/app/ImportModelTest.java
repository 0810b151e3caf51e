package dev.rhumb.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A state dict becomes a model folder that the other commands take; logits are the core's test. */
class ImportModelTest {
  private static final int D = 8;
  private static final int T = 12;

  @TempDir private static Path home;
  private static Path data;
  private static Path file;
  private static int items;

  @BeforeAll
  static void write() {
    data = home.resolve("data");
    GeneratedWorld.Config config = new GeneratedWorld.Config(60, 40, 5, 2, 10, 20, .8, .9, .3, .01);
    try (GeneratedWorld world = GeneratedWorld.make(config, 1)) {
      world.dataset().save(data);
      items = world.dataset().items();
    }
    file = home.resolve("pmixer.safetensors");
    Random random = new Random(2);
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    List<Buffer> buffers = new ArrayList<>();
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1)) {
      new TreeMap<>(shapes())
          .forEach(
              (name, shape) -> {
                float[] values = new float[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
                boolean padded = name.equals("pos_emb.weight") || name.equals("item_emb.weight");
                for (int i = padded ? D : 0; i < values.length; i++) {
                  values[i] = 0.3f * (float) random.nextGaussian();
                }
                Buffer buffer = kernels.allocate(DType.F32, values.length);
                buffer.put(0, values, 0, values.length);
                buffers.add(buffer);
                tensors.add(new Safetensors.Tensor(name, shape, buffer, DType.BF16));
              });
      Safetensors.write(file, Map.of(), tensors);
      buffers.forEach(Buffer::close);
    }
  }

  private static Map<String, long[]> shapes() {
    return Map.ofEntries(
        Map.entry("item_emb.weight", new long[] {items + 1, D}),
        Map.entry("pos_emb.weight", new long[] {T + 1, D}),
        Map.entry("attention_layernorms.0.weight", new long[] {D}),
        Map.entry("attention_layernorms.0.bias", new long[] {D}),
        Map.entry("attention_layers.0.in_proj_weight", new long[] {3 * D, D}),
        Map.entry("attention_layers.0.in_proj_bias", new long[] {3 * D}),
        Map.entry("attention_layers.0.out_proj.weight", new long[] {D, D}),
        Map.entry("attention_layers.0.out_proj.bias", new long[] {D}),
        Map.entry("forward_layernorms.0.weight", new long[] {D}),
        Map.entry("forward_layernorms.0.bias", new long[] {D}),
        Map.entry("forward_layers.0.conv1.weight", new long[] {D, D, 1}),
        Map.entry("forward_layers.0.conv1.bias", new long[] {D}),
        Map.entry("forward_layers.0.conv2.weight", new long[] {D, D, 1}),
        Map.entry("forward_layers.0.conv2.bias", new long[] {D}),
        Map.entry("last_layernorm.weight", new long[] {D}),
        Map.entry("last_layernorm.bias", new long[] {D}));
  }

  @Test
  void theFolderIsAModelThatOtherCommandsTake() throws IOException {
    Path rows = home.resolve("rows.tsv");
    StringBuilder text = new StringBuilder();
    String first;
    try (Dataset dataset = Dataset.load(data)) {
      first = dataset.itemId(dataset.item(0, 0));
      for (int item = 1; item <= items; item++) {
        text.append(items + 1 - item).append('\t').append(dataset.itemId(item)).append('\n');
      }
    }
    Files.writeString(rows, text);
    Path model = home.resolve("model");
    Cli imported =
        Cli.run(
            "import",
            file,
            "--from",
            "pmixer",
            "--heads",
            2,
            "--item-rows",
            rows,
            "--data",
            data,
            "--out",
            model,
            "--json");
    assertEquals(0, imported.status(), imported.err());
    JsonObject json = imported.json();
    assertEquals("post-ln", json.string("style"));
    assertEquals(T, json.integer("max_length", 0, 100));

    Cli evaluated = Cli.run("evaluate", "--data", data, "-m", model, "--json");
    assertEquals(0, evaluated.status(), evaluated.err());
    Cli recommended = Cli.run("recommend", "-m", model, "--history", first, "--json");
    assertEquals(0, recommended.status(), recommended.err());

    Cli again =
        Cli.run("import", file, "--from", "pmixer", "--data", data, "--out", model, "--json");
    assertEquals(1, again.status());
    assertTrue(again.err().contains("holds a model already"), again.err());
  }

  @Test
  void refusalsAreOneLine() throws IOException {
    Path out = home.resolve("none");
    Path pickle = home.resolve("model.pth");
    Files.write(pickle, new byte[] {'P', 'K', 3, 4, 0, 0, 0, 0, 0, 0});
    for (Cli refused :
        List.of(
            Cli.run("import", pickle, "--from", "pmixer", "--data", data, "--out", out),
            Cli.run("import", file, "--from", "recbole", "--data", data, "--out", out),
            Cli.run(
                "import", file, "--from", "recbole", "--norm-first", "--data", data, "--out", out),
            Cli.run("import", home.resolve("no"), "--from", "pmixer", "--data", data))) {
      assertEquals(1, refused.status(), refused.err());
      assertEquals(1, refused.err().lines().count(), refused.err());
    }
    Cli unknown = Cli.run("import", file, "--from", "tensorflow", "--data", data);
    assertEquals(2, unknown.status());
    assertTrue(unknown.err().contains("there are: pmixer"), unknown.err());
    assertTrue(Files.notExists(out), "nothing is written");
  }
}
