package dev.rhumb.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.data.Catalogue;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.StateDictImport.Options;
import dev.rhumb.model.StateDictImport.Source;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Imported models against {@link StateDicts}, for histories of every length, run whole and item by
 * item; and what is refused.
 */
class StateDictImportTest {
  private static final int[] HISTORY = {3, 13, 1, 7, 7, 12};

  @TempDir Path folder;
  private Path file;
  private long live;

  @BeforeEach
  void start() {
    file = folder.resolve("model.safetensors");
    live = Buffer.live();
  }

  @AfterEach
  void nothingLeaks() {
    assertEquals(live, Buffer.live());
  }

  @ParameterizedTest
  @CsvSource({
    "PMIXER,false,1,F32",
    "PMIXER,false,2,BF16",
    "PMIXER,true,1,F16",
    "PMIXER,true,4,F32",
    "PMIXER_2024,false,1,F32",
    "PMIXER_2024,false,2,F64",
    "PMIXER_2020,false,1,F32",
    "PMIXER_2020,false,2,F16",
  })
  void logitsArePmixers(Source source, boolean normFirst, int heads, String type)
      throws IOException {
    StateDicts dict = StateDicts.pmixer(source, heads, 5 + heads);
    dict.write(file, type);
    logitsAre(
        dict,
        new Options(source, heads, normFirst, Activation.RELU),
        history -> dict.pmixerLogits(source, normFirst, history));
  }

  /** Row 0 of the item embedding enters the padding, if it is not zero. */
  @Test
  void paddingOfAnItemRowThatIsNotZero() throws IOException {
    StateDicts dict = StateDicts.pmixer(Source.PMIXER, 2, 3);
    double[] table = dict.get("item_emb.weight");
    for (int c = 0; c < dict.d; c++) {
      table[c] = 0.25 * (c - 3);
    }
    dict.write(file, "F32");
    logitsAre(
        dict,
        Options.of(Source.PMIXER, 2),
        history -> dict.pmixerLogits(Source.PMIXER, false, history));
  }

  @ParameterizedTest
  @CsvSource({"1,F32,gelu", "2,BF16,gelu", "4,F16,relu", "2,F32,swish"})
  void logitsAreRecboles(int heads, String type, String activation) throws IOException {
    StateDicts dict = StateDicts.recbole(heads, heads);
    dict.write(file, type);
    Activation ours =
        switch (activation) {
          case "gelu" -> Activation.GELU_ERF;
          case "relu" -> Activation.RELU;
          default -> Activation.SILU;
        };
    logitsAre(
        dict,
        new Options(Source.RECBOLE, heads, false, ours),
        history -> dict.recboleLogits(activation, history));
  }

  private void logitsAre(StateDicts dict, Options options, Function<int[], double[]> reference) {
    for (Backend backend : new Backend[] {Backend.SCALAR, Backend.SIMD}) {
      try (Kernels kernels = Kernels.open(backend, 2);
          Model model = StateDictImport.read(kernels, file, options, dict.items, null);
          Batch batch = new Batch(kernels, dict.t, dict.t * (dict.t + 1));
          Inference whole = new Inference(kernels, model, dict.t, dict.t * (dict.t + 1));
          IncrementalInference steps = new IncrementalInference(kernels, model)) {
        assertEquals(dict.t, model.config().maxLength());
        for (int n = 1; n <= dict.t; n++) {
          batch.add(HISTORY, dict.t - n, n);
        }
        batch.seal();
        whole.run(batch);
        Buffer hidden = whole.lastHidden();
        for (int n = 1; n <= dict.t; n++) {
          int[] history = java.util.Arrays.copyOfRange(HISTORY, dict.t - n, dict.t);
          double[] expected = reference.apply(history);
          close(dict, model, expected, hidden.slice((n - 1L) * dict.d, dict.d), "whole " + n);
          steps.clear();
          for (int item : history) {
            steps.append(item);
          }
          close(dict, model, expected, steps.hidden(), "item by item " + n);
        }
        editsAgree(kernels, dict, whole, steps, model);
      }
    }
  }

  private static void close(
      StateDicts dict, Model model, double[] expected, Buffer hidden, String what) {
    float[] h = hidden.slice(0, dict.d).floats();
    float[] table = model.itemTable().floats();
    for (int item = 1; item <= dict.items; item++) {
      double logit = 0;
      for (int c = 0; c < dict.d; c++) {
        logit += (double) h[c] * table[item * dict.d + c];
      }
      assertEquals(
          expected[item], logit, 2e-5 * (1 + Math.abs(expected[item])), what + ", " + item);
    }
  }

  /** An edit at the last position of a short history, whole and item by item. */
  private static void editsAgree(
      Kernels kernels, StateDicts dict, Inference whole, IncrementalInference steps, Model model) {
    try (Batch batch = new Batch(kernels, 1, dict.t);
        Buffer edited = kernels.allocate(DType.F32, dict.d)) {
      batch.add(HISTORY, 0, 3);
      batch.seal();
      steps.clear();
      for (int i = 0; i < 3; i++) {
        steps.append(HISTORY[i]);
      }
      for (String name : new String[] {"block 0", "mlp 0", "mlp 1", "block 1", "last"}) {
        Site site = Site.parse(name);
        whole.runTo(site, batch);
        float[] state = whole.state().slice(2L * dict.d, dict.d).floats();
        assertArrayEquals(state, steps.state(site).slice(0, dict.d).floats(), 2e-5f, name);
        for (int c = 0; c < dict.d; c++) {
          state[c] += 0.3f * (c % 3 - 1);
        }
        whole.state().put(2L * dict.d, state, 0, dict.d);
        edited.put(0, state, 0, dict.d);
        whole.finish();
        assertArrayEquals(
            whole.lastHidden().slice(0, dict.d).floats(),
            steps.finish(site, edited).slice(0, dict.d).floats(),
            2e-5f,
            name);
      }
      assertEquals(model.config().width(), dict.d);
    }
  }

  @Test
  void rowsMayBeInAnotherOrder() throws IOException {
    StateDicts dict = StateDicts.recbole(1, 4);
    dict.write(file, "F32");
    int[] rows = {0, 3, 1, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12};
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Model plain = StateDictImport.read(kernels, file, Options.of(Source.RECBOLE, 1), 13, null);
        Model ordered =
            StateDictImport.read(kernels, file, Options.of(Source.RECBOLE, 1), 13, rows)) {
      for (int item = 0; item <= 13; item++) {
        assertArrayEquals(
            plain.itemTable().slice((long) rows[item] * 8, 8).floats(),
            ordered.itemTable().slice(item * 8L, 8).floats());
      }
    }
  }

  // Refusals.

  private void refused(Options options, int items, String... said) {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1)) {
      RuntimeException refusal =
          assertThrows(
              RuntimeException.class,
              () -> StateDictImport.read(kernels, file, options, items, null).close());
      for (String part : said) {
        assertTrue(refusal.getMessage().contains(part), refusal.getMessage());
      }
    }
  }

  private void refused(Consumer<StateDicts> change, String... said) throws IOException {
    StateDicts dict = StateDicts.pmixer(Source.PMIXER, 1, 1);
    change.accept(dict);
    dict.write(file, "F32");
    refused(Options.of(Source.PMIXER, 1), 13, said);
  }

  @Test
  void aMissingTensorIsNamed() throws IOException {
    refused(
        dict -> dict.entries.remove("forward_layers.1.conv2.bias"),
        "model.safetensors",
        "forward_layers.1.conv2.bias",
        "missing");
    refused(dict -> dict.entries.remove("item_emb.weight"), "item_emb.weight", "missing");
    refused(
        dict -> dict.entries.keySet().removeIf(name -> name.startsWith("attention_layernorms")),
        "no SASRec of pmixer");
  }

  @Test
  void aTensorOfAnotherShapeIsNamed() throws IOException {
    refused(
        dict -> dict.add("attention_layers.0.out_proj.weight", 1, 0, 8, 9),
        "attention_layers.0.out_proj.weight",
        "[8, 9]",
        "[8, 8] is wanted");
    refused(dict -> dict.add("item_emb.weight", 1, 0, 14), "item_emb.weight", "[14]");
    refused(dict -> dict.add("pos_emb.weight", 0, 0, 1, 8), "pos_emb.weight", "padding alone");
  }

  @Test
  void aTensorTooManyIsNamed() throws IOException {
    refused(dict -> dict.add("pos_sigmoid.weight", 1, 0, 2), "pos_sigmoid.weight", "no part");
    refused(
        dict -> dict.add("attention_layernorms.2.weight", 1, 0, 8), "attention_layernorms.2.bias");
  }

  @Test
  void anotherNumberOfItemsIsRefused() throws IOException {
    StateDicts.pmixer(Source.PMIXER, 1, 1).write(file, "F32");
    refused(Options.of(Source.PMIXER, 1), 12, "item_emb.weight", "13 items", "12 items");
  }

  @Test
  void headsThatDoNotDivideTheWidthAreRefused() throws IOException {
    StateDicts.pmixer(Source.PMIXER, 1, 1).write(file, "F32");
    refused(Options.of(Source.PMIXER, 3), 13, "no multiple of 3 heads");
  }

  @Test
  void anotherSourceIsTold() throws IOException {
    StateDicts.pmixer(Source.PMIXER_2020, 1, 1).write(file, "F32");
    refused(Options.of(Source.PMIXER, 1), 13, "pos_emb.weight", "pmixer-2020");
    StateDicts.pmixer(Source.PMIXER, 1, 1).write(file, "F32");
    refused(Options.of(Source.PMIXER_2020, 1), 13, "pos_emb.weight", "pmixer-2024");
    refused(Options.of(Source.RECBOLE, 1), 13, "item_embedding.weight");
  }

  @Test
  void optionsThatASourceLacksAreRefused() {
    assertThrows(
        IllegalArgumentException.class,
        () -> new Options(Source.RECBOLE, 1, true, Activation.GELU_ERF));
    assertThrows(
        IllegalArgumentException.class,
        () -> new Options(Source.PMIXER, 1, false, Activation.GELU));
  }

  @Test
  void aPickleIsRefusedWithTheWayToConvertIt() throws IOException {
    for (byte[] start : new byte[][] {{'P', 'K', 3, 4, 0, 0}, {(byte) 0x80, 2, 'c', 'o'}}) {
      Files.write(file, start);
      refused(Options.of(Source.PMIXER, 1), 13, "is a pickle", "safetensors.torch", "python -c");
    }
    Files.write(file, new byte[] {1, 2, 3});
    refused(Options.of(Source.PMIXER, 1), 13, "no safetensors file");
    Files.delete(file);
    refused(Options.of(Source.PMIXER, 1), 13, "model.safetensors");
  }

  // Which row is which item.

  private static Dataset dataset() {
    DatasetBuilder builder = new DatasetBuilder();
    for (String item : new String[] {"a", "b", "c"}) {
      builder.add("u", item, item.charAt(0));
    }
    return builder.build("tiny");
  }

  @Test
  void rowsAreRead() throws IOException {
    Path rows = folder.resolve("rows.tsv");
    Files.writeString(rows, "2\ta\n3\tb\n1\tc\n");
    try (Dataset dataset = dataset()) {
      int[] read = StateDictImport.readRows(rows, dataset.catalogue());
      assertEquals(2, read[dataset.itemOf("a")]);
      assertEquals(3, read[dataset.itemOf("b")]);
      assertEquals(1, read[dataset.itemOf("c")]);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "2,a|3,b;line 3;2 of the dataset's 3 items",
        "2,a|3,b|1,d;line 3;no item 'd'",
        "2,a|2,b|1,c;line 2;row 2 is there already",
        "2,a|3,a|1,c;line 2;item 'a' is there already",
        "2,a|4,b|1,c;line 2;'4' is no row from 1 to 3",
        "2,a|0,b|1,c;line 2;'0' is no row",
        "2,a|x,b|1,c;line 2;'x' is no row",
        "2,a|3|1,c;line 2;has 1 fields",
        "2,a|3,b,c|1,c;line 2;has 3 fields",
        "'';line 1;0 of the dataset's 3 items",
      })
  void rowsThatDoNotFitAreRefusedByLine(String text, String line, String said) throws IOException {
    Path rows = folder.resolve("rows.tsv");
    Files.writeString(rows, text.replace(',', '\t').replace('|', '\n'));
    try (Dataset dataset = dataset()) {
      Catalogue catalogue = dataset.catalogue();
      FormatException refusal =
          assertThrows(FormatException.class, () -> StateDictImport.readRows(rows, catalogue));
      assertTrue(refusal.getMessage().contains(line), refusal.getMessage());
      assertTrue(refusal.getMessage().contains(said), refusal.getMessage());
    }
  }

  @Test
  void anyBytesGiveRowsOrARefusal() throws IOException {
    Random random = new Random(8);
    Path rows = folder.resolve("rows.tsv");
    byte[] good = "2\ta\n3\tb\n1\tc\n".getBytes(StandardCharsets.UTF_8);
    int read = 0;
    try (Dataset dataset = dataset()) {
      for (int round = 0; round < 2000; round++) {
        byte[] bytes = good.clone();
        for (int i = random.nextInt(3); i >= 0; i--) {
          bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
        }
        Files.write(rows, bytes);
        try {
          StateDictImport.readRows(rows, dataset.catalogue());
          read++;
        } catch (FormatException e) {
          assertTrue(e.getMessage().contains("rows.tsv"), e.getMessage());
        }
      }
    }
    assertTrue(read > 0 && read < 2000, read + " were read");
  }

  /** Damaged state dicts are refused by name, or read: nothing else happens. */
  @Test
  void damagedFilesAreRefused() throws IOException {
    Random random = new Random(9);
    StateDicts.pmixer(Source.PMIXER, 1, 1).write(file, "F32");
    byte[] good = Files.readAllBytes(file);
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1)) {
      for (int round = 0; round < 500; round++) {
        byte[] bytes =
            round % 4 == 0
                ? java.util.Arrays.copyOf(good, random.nextInt(good.length))
                : good.clone();
        for (int i = 0; i < 3 && bytes.length > 0; i++) {
          bytes[random.nextInt(Math.min(bytes.length, 1500))] = (byte) random.nextInt(256);
        }
        Files.write(file, bytes);
        try {
          StateDictImport.read(kernels, file, Options.of(Source.PMIXER, 1), 13, null).close();
        } catch (FormatException | IllegalArgumentException e) {
          assertTrue(e.getMessage().length() > 20, e.toString());
        }
      }
    }
  }
}
