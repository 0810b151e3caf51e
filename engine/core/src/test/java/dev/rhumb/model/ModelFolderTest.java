package dev.rhumb.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Bfloat16;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A model folder comes back as it was, and a damaged one is refused by file and mend. */
class ModelFolderTest {
  private static final int ITEMS = 6;
  private static final ModelConfig CONFIG =
      ModelConfig.of(BlockStyle.SASREC, ITEMS, 4, 1, 2, 5, 0.1f);

  @TempDir Path folder;
  private Kernels kernels;
  private Model model;
  private long live;

  @BeforeEach
  void write() {
    live = Buffer.live();
    kernels = Kernels.open();
    model = Model.initialise(kernels, CONFIG, 9);
    DatasetBuilder builder = new DatasetBuilder();
    for (int item = 1; item <= ITEMS; item++) {
      builder.add("u", Integer.toString(item), item);
    }
    try (Dataset dataset = builder.build("tiny")) {
      ModelFolder.writeDescription(
          folder,
          CONFIG,
          dataset.catalogue(),
          new ModelFolder.Description("tiny", dataset.fingerprint(), "none", Map.of("seed", 9L)));
    }
    ModelFolder.writeWeights(folder, model.parameters());
  }

  @AfterEach
  void nothingLeaks() {
    model.close();
    kernels.close();
    assertEquals(live, Buffer.live());
  }

  @Test
  void comesBackAsItWas() {
    for (boolean map : new boolean[] {false, true}) {
      try (ModelFolder opened =
          map ? ModelFolder.map(kernels, folder) : ModelFolder.open(kernels, folder)) {
        assertEquals(CONFIG, opened.model().config());
        assertEquals(Map.of("seed", 9L), opened.description().training());
        assertEquals(ITEMS, opened.catalogue().items());
        for (Tensor tensor : model.parameters().tensors()) {
          assertArrayEquals(
              tensor.data().floats(), opened.model().parameters().get(tensor.name()).floats());
        }
      }
    }
  }

  private void storeAsBf16() {
    ModelFolder.Description description;
    try (ModelFolder opened = ModelFolder.open(kernels, folder)) {
      description = opened.description();
      ModelFolder.writeDescription(
          folder,
          CONFIG,
          opened.catalogue(),
          new ModelFolder.Description(
              description.datasetName(),
              description.fingerprint(),
              description.split(),
              description.training(),
              DType.BF16));
    }
    ModelFolder.writeWeights(folder, model.parameters(), DType.BF16);
  }

  @Test
  void bf16HalvesTheFileAndRoundsToNearestEven() throws IOException {
    long whole = tensorBytes();
    storeAsBf16();
    assertEquals(whole, 2 * tensorBytes());
    for (boolean map : new boolean[] {false, true}) {
      try (ModelFolder opened =
          map ? ModelFolder.map(kernels, folder) : ModelFolder.open(kernels, folder)) {
        assertEquals(DType.BF16, opened.description().weights());
        for (Tensor tensor : model.parameters().tensors()) {
          float[] before = tensor.data().floats();
          float[] after = opened.model().parameters().get(tensor.name()).floats();
          for (int i = 0; i < before.length; i++) {
            // 8 bits of precision: a unit is 2^-7 of the value's power of two, an error half of it.
            float unit = Math.ulp(before[i]) * 0x1p16f;
            assertEquals(0, Math.abs(after[i] % unit), tensor.name());
            assertEquals(before[i], after[i], unit / 2, tensor.name());
          }
        }
      }
    }
  }

  /** The bytes of all tensors, without the header. */
  private long tensorBytes() throws IOException {
    try (Safetensors file = Safetensors.load(ModelFolder.weights(folder))) {
      long bytes = 0;
      for (String name : file.names()) {
        long count = 1;
        for (long length : file.shape(name)) {
          count *= length;
        }
        bytes += count * file.dtype(name).bytes();
      }
      assertTrue(Files.size(ModelFolder.weights(folder)) > bytes);
      return bytes;
    }
  }

  @Test
  void bf16KeepsWhatItCanRepresent() {
    for (Tensor tensor : model.parameters().tensors()) {
      float[] values = tensor.data().floats();
      for (int i = 0; i < values.length; i++) {
        values[i] = Bfloat16.toFloat(Bfloat16.of(values[i]));
      }
      tensor.data().put(0, values, 0, values.length);
    }
    storeAsBf16();
    try (ModelFolder opened = ModelFolder.open(kernels, folder)) {
      for (Tensor tensor : model.parameters().tensors()) {
        assertArrayEquals(
            tensor.data().floats(), opened.model().parameters().get(tensor.name()).floats());
      }
    }
  }

  @Test
  void weightsOfAnotherTypeThanTheConfigurationSaysAreRefused() throws IOException {
    storeAsBf16();
    ModelFolder.writeWeights(folder, model.parameters());
    refused("BF16");
    ModelFolder.writeWeights(folder, model.parameters(), DType.BF16);
    Path file = folder.resolve("config.json");
    String text = Files.readString(file);
    Files.writeString(file, text.replace("\"bf16\"", "\"f32\""));
    refused("is BF16");
    Files.writeString(file, text.replace("\"bf16\"", "\"fp8\""));
    refused("weights");
  }

  /** A folder of an imported model: a wiring that is not its style's comes back. */
  @Test
  void aWiringOfItsOwnComesBack() throws IOException {
    Wiring wiring = new Wiring(Activation.RELU, true, false, true, Padding.LEFT_ZEROED);
    ModelConfig config =
        new ModelConfig(BlockStyle.GPT2, ITEMS, 4, 1, 2, 5, 8, 0.1f, 1e-8f, wiring);
    try (Model other = Model.initialise(kernels, config, 2);
        ModelFolder opened = ModelFolder.open(kernels, folder)) {
      ModelFolder.writeDescription(folder, config, opened.catalogue(), opened.description());
      ModelFolder.writeWeights(folder, other.parameters());
    }
    try (ModelFolder opened = ModelFolder.open(kernels, folder)) {
      assertEquals(config, opened.model().config());
    }
    Path file = folder.resolve("config.json");
    Files.writeString(file, Files.readString(file).replace("left-zeroed", "right"));
    refused("padding");
  }

  @ParameterizedTest
  @CsvSource({
    "'\"format\": 1','\"format\": 2',version 2",
    "'\"heads\": 2','\"heads\": 3',no multiple of 3 heads",
    "'\"style\": \"sasrec\"','\"style\": \"lstm\"',lstm",
    "'\"width\": 4','\"width\": 8','[7, 8] is wanted'",
    "'\"layers\": 1','\"layers\": 2',blocks.1",
    "'\"items\": 6','\"items\": 7',items.tsv",
    "'\"items\": 6,','',items",
    "'\"dropout\": ','\"dropout\": 1',dropout",
  })
  void aChangedConfigurationIsRefused(String what, String with, String said) throws IOException {
    Path file = folder.resolve("config.json");
    String text = Files.readString(file);
    assertTrue(text.contains(what), text);
    Files.writeString(file, text.replace(what, with));
    refused(said);
  }

  @ParameterizedTest
  @CsvSource({
    "config.json,config.json",
    "model.safetensors,model.safetensors",
    "items.tsv,items.tsv"
  })
  void aMissingFileIsNamed(String file, String said) throws IOException {
    Files.delete(folder.resolve(file));
    refused(said);
  }

  @Test
  void weightsThatAreCutShortAreRefused() throws IOException {
    Path file = ModelFolder.weights(folder);
    byte[] bytes = Files.readAllBytes(file);
    Files.write(file, java.util.Arrays.copyOf(bytes, bytes.length - 5));
    refused("model.safetensors");
  }

  @Test
  void aTensorOfAnotherTypeIsRefused() {
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    try (Buffer wrong = kernels.allocate(DType.I32, ITEMS * 4 + 4)) {
      for (Tensor tensor : model.parameters().tensors()) {
        boolean items = tensor.name().equals(Parameters.ITEMS);
        tensors.add(
            new Safetensors.Tensor(tensor.name(), tensor.shape(), items ? wrong : tensor.data()));
      }
      Safetensors.write(ModelFolder.weights(folder), Map.of(), tensors);
    }
    refused(Parameters.ITEMS);
  }

  @Test
  void aTableOfItemsThatIsTooLargeForTheHeapIsRefusedUnread() throws IOException {
    try (RandomAccessFile file = new RandomAccessFile(folder.resolve("items.tsv").toFile(), "rw")) {
      file.setLength(Runtime.getRuntime().maxMemory() + 1); // Sparse: it takes no room.
    }
    String message =
        assertThrows(OutOfMemoryError.class, () -> ModelFolder.open(kernels, folder)).getMessage();
    assertTrue(message.contains("items.tsv takes some"), message);
  }

  private void refused(String said) {
    RuntimeException refusal =
        assertThrows(RuntimeException.class, () -> ModelFolder.open(kernels, folder));
    assertTrue(
        refusal instanceof FormatException || refusal instanceof java.io.UncheckedIOException,
        refusal.toString());
    assertTrue(refusal.getMessage().contains(said), refusal.getMessage());
    assertTrue(refusal.getMessage().contains(folder.toString()), refusal.getMessage());
  }
}
