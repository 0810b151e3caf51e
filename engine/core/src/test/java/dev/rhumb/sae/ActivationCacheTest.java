package dev.rhumb.sae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Bfloat16;
import dev.rhumb.checkpoint.Child;
import dev.rhumb.checkpoint.FolderInUseException;
import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Hidden states on disk: the model's own, however the filling went, or a refusal by file. */
class ActivationCacheTest {
  private static final Site SITE = Site.parse("block 0");
  private static final int WIDTH = 8;
  private static final int SHARD_ROWS = 50;

  @TempDir Path folder;
  private Kernels kernels;
  private Dataset dataset;
  private Model model;
  private long live;

  @BeforeEach
  void open() {
    live = Buffer.live();
    kernels = Kernels.open(Backend.SIMD, 1);
    dataset = dataset(60);
    model = model(kernels, dataset, 1);
  }

  @AfterEach
  void nothingLeaks() {
    model.close();
    dataset.close();
    kernels.close();
    assertEquals(live, Buffer.live());
  }

  private static Dataset dataset(int users) {
    DatasetBuilder builder = new DatasetBuilder();
    for (int u = 0; u < users; u++) {
      for (int i = 0; i < 3 + u * 5 % 17; i++) {
        builder.add("u" + u, Integer.toString((u * 7 + i * i) % 23), i);
      }
    }
    return builder.build("small");
  }

  private static Model model(Kernels kernels, Dataset dataset, long seed) {
    return Model.initialise(
        kernels, ModelConfig.of(BlockStyle.SASREC, dataset.items(), WIDTH, 2, 2, 12, 0), seed);
  }

  private ActivationCache fill(Path into) {
    return fill(kernels, model, Sequences.all(dataset), DType.F32, into);
  }

  private static ActivationCache fill(
      Kernels kernels, Model model, Sequences data, DType dtype, Path into) {
    return ActivationCache.fill(
        kernels,
        model,
        SITE,
        data,
        "all users",
        new ActivationCache.Storage(dtype, SHARD_ROWS),
        into,
        rows -> System.out.println("rows " + rows));
  }

  /** All rows, in the reader's own order; closes it. */
  private static float[] rows(RowReader reader) {
    try (reader) {
      float[] all = new float[(int) reader.rows() * reader.width()];
      int at = 0;
      reader.restart(null);
      while (reader.next()) {
        Buffer state = reader.state();
        assertEquals((long) reader.count() * reader.width(), state.count());
        state.get(0, all, at, (int) state.count());
        at += (int) state.count();
      }
      assertEquals(all.length, at);
      return all;
    }
  }

  private float[] modelRows() {
    return rows(new ModelRows(kernels, model, SITE, Sequences.all(dataset)));
  }

  private float[] rows(ActivationCache cache) {
    return rows(cache.reader(kernels));
  }

  private static Map<String, byte[]> files(Path folder) throws IOException {
    Map<String, byte[]> files = new TreeMap<>();
    try (Stream<Path> all = Files.list(folder)) {
      for (Path file : all.toList()) {
        if (!file.getFileName().toString().equals(".lock")) {
          files.put(file.getFileName().toString(), Files.readAllBytes(file));
        }
      }
    }
    return files;
  }

  private static void assertSame(Map<String, byte[]> expected, Map<String, byte[]> actual) {
    assertEquals(expected.keySet(), actual.keySet());
    expected.forEach((name, bytes) -> assertArrayEquals(bytes, actual.get(name), name));
  }

  @Test
  void holdsTheModelsOwnStates() {
    float[] expected = modelRows();
    List<Long> told = new ArrayList<>();
    ActivationCache cache =
        ActivationCache.fill(
            kernels,
            model,
            SITE,
            Sequences.all(dataset),
            "all users",
            new ActivationCache.Storage(DType.F32, SHARD_ROWS),
            folder.resolve("cache"),
            told::add);
    assertEquals(expected.length / WIDTH, cache.rows());
    assertEquals(WIDTH, cache.width());
    assertEquals(dataset.fingerprint(), cache.datasetFingerprint());
    assertEquals((cache.rows() + SHARD_ROWS - 1) / SHARD_ROWS, told.size());
    assertEquals(cache.rows(), told.getLast());
    assertTrue(told.size() > 5 && cache.rows() % SHARD_ROWS != 0);
    assertArrayEquals(expected, rows(cache));
    assertArrayEquals(expected, rows(ActivationCache.open(folder.resolve("cache"))));
    told.clear();
    fill(folder.resolve("cache"));
    assertEquals(List.of(), told, "nothing is left to write");
  }

  @Test
  void bfloat16RowsAreTheNearest() throws Exception {
    float[] exact = modelRows();
    ActivationCache cache =
        fill(kernels, model, Sequences.all(dataset), DType.BF16, folder.resolve("half"));
    float[] stored = rows(cache);
    for (int i = 0; i < exact.length; i++) {
      assertEquals(0, Float.floatToRawIntBits(stored[i]) & 0xFFFF);
      assertEquals(exact[i], stored[i], Math.abs(exact[i]) * 0x1p-8);
    }
    long full = files(fill(folder.resolve("full")).folder()).get("rows-000000.safetensors").length;
    assertTrue(files(cache.folder()).get("rows-000000.safetensors").length < 0.7 * full);
    // 1 + 2^-8 lies half-way: to the even one; 1 + 3 2^-8 too, upwards; the rest by distance.
    float[][] cases = {
      {1 + 0x1p-8f, 1},
      {1 + 3 * 0x1p-8f, 1 + 0x1p-6f},
      {1 + 0x1.02p-8f, 1 + 0x1p-7f},
      {-0f, -0f},
      {Float.POSITIVE_INFINITY, Float.POSITIVE_INFINITY},
      {Float.NaN, Float.NaN}
    };
    for (float[] pair : cases) {
      assertEquals(pair[1], Bfloat16.toFloat(Bfloat16.of(pair[0])));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 3})
  void theFilesAreTheSameForAnyNumberOfThreads(int threads) throws Exception {
    fill(folder.resolve("usual"));
    try (Kernels other = Kernels.open(kernels.backend(), threads)) {
      fill(other, model, Sequences.all(dataset), DType.F32, folder.resolve("other"));
    }
    assertSame(files(folder.resolve("usual")), files(folder.resolve("other")));
  }

  @Test
  void trainingOnItGivesTheBitsOfTrainingOnTheModel() {
    ActivationCache cache = fill(folder.resolve("cache"));
    List<SaeConfig> configs =
        List.of(
            SaeConfig.of(SITE, WIDTH, 24, 3).withSteps(40).withBatch(32),
            SaeConfig.of(SITE, WIDTH, 12, 2).withSteps(30).withBatch(32));
    List<SaeResult> cached = SaeTrainer.train(kernels, cache, configs, i -> SaeListener.NONE);
    List<SaeResult> streamed =
        SaeTrainer.train(kernels, model, Sequences.all(dataset), configs, i -> SaeListener.NONE);
    for (int i = 0; i < configs.size(); i++) {
      try (SparseAutoencoder a = cached.get(i).sae();
          SparseAutoencoder b = streamed.get(i).sae()) {
        assertArrayEquals(b.encoderWeights().floats(), a.encoderWeights().floats());
        assertArrayEquals(b.decoderWeights().floats(), a.decoderWeights().floats());
        assertArrayEquals(b.encoderBias().floats(), a.encoderBias().floats());
        assertArrayEquals(b.decoderBias().floats(), a.decoderBias().floats());
        assertEquals(b.metadata(), a.metadata());
      }
    }
    String refusal =
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    SaeTrainer.train(
                        kernels,
                        cache,
                        List.of(SaeConfig.of(Site.LAST, WIDTH, 12, 2)),
                        i -> SaeListener.NONE))
            .getMessage();
    assertTrue(refusal.contains("'block 0', not at 'last'"), refusal);
  }

  @Test
  void aBufferThatHoldsNotAllDrawsEveryRowInAnOrderOfTheSeedAlone() {
    ActivationCache cache = fill(folder.resolve("cache"));
    int rows = (int) cache.rows();
    float[] one = drawn(kernels, cache, 4 * rows, 7);
    try (Kernels other = Kernels.open(kernels.backend(), 3)) {
      assertArrayEquals(one, drawn(other, cache, 4 * rows, 7));
    }
    assertFalse(Arrays.equals(one, drawn(kernels, cache, 4 * rows, 8)));
    float[] all = modelRows();
    float[] firsts = new float[rows];
    for (int r = 0; r < rows; r++) {
      firsts[r] = all[r * WIDTH];
    }
    assertArrayEquals(distinct(firsts), distinct(one));
    assertNotEquals(firsts[0], one[0]);
  }

  /** The first element of each of so many draws from a buffer of 64 rows. */
  private static float[] drawn(Kernels kernels, ActivationCache cache, int rows, long seed) {
    float[] firsts = new float[rows];
    try (RowSampler sampler =
            new RowSampler(kernels, cache.reader(kernels), 64L * WIDTH * 4, 8, seed);
        Buffer x = kernels.allocate(DType.F32, 8L * WIDTH)) {
      for (int done = 0; done < rows; done += 8) {
        int n = Math.min(8, rows - done);
        sampler.draw(x, n);
        float[] block = x.floats();
        for (int r = 0; r < n; r++) {
          firsts[done + r] = block[r * WIDTH];
        }
      }
    }
    return firsts;
  }

  private static float[] distinct(float[] values) {
    TreeMap<Float, Float> seen = new TreeMap<>();
    for (float value : values) {
      seen.put(value, value);
    }
    float[] distinct = new float[seen.size()];
    int n = 0;
    for (float value : seen.keySet()) {
      distinct[n++] = value;
    }
    return distinct;
  }

  @Test
  void anotherCacheIsRefusedByName() {
    Path cache = folder.resolve("cache");
    fill(cache);
    Sequences all = Sequences.all(dataset);
    try (Model other = model(kernels, dataset, 2);
        Dataset more = dataset(61);
        Model same = model(kernels, more, 1)) {
      assertRefused("model_weights", () -> fill(kernels, other, all, DType.F32, cache));
      assertRefused(
          "dataset_fingerprint", () -> fill(kernels, same, Sequences.all(more), DType.F32, cache));
    }
    int[] half = IntStream.range(0, 30).toArray();
    assertRefused("sequences", () -> fill(kernels, model, all.select(half), DType.F32, cache));
    assertRefused("dtype", () -> fill(kernels, model, all, DType.BF16, cache));
    assertRefused(
        "site",
        () ->
            ActivationCache.fill(
                kernels,
                model,
                Site.LAST,
                all,
                "all users",
                new ActivationCache.Storage(DType.F32, SHARD_ROWS),
                cache,
                rows -> {}));
    try (Kernels scalar = Kernels.open(Backend.SCALAR, 1)) {
      assertRefused("backend", () -> fill(scalar, model, all, DType.F32, cache));
    }
    assertArrayEquals(modelRows(), rows(fill(cache)), "and it stays as it was");
    assertThrows(
        IllegalArgumentException.class, () -> new ActivationCache.Storage(DType.I32, SHARD_ROWS));
    assertThrows(IllegalArgumentException.class, () -> new ActivationCache.Storage(DType.F32, 0));
    assertThrows(
        IllegalArgumentException.class,
        () -> fill(kernels, model, all.select(), DType.F32, folder.resolve("none")));
    assertThrows(FormatException.class, () -> ActivationCache.open(folder.resolve("none")));
  }

  private static void assertRefused(String key, Runnable filling) {
    FormatException refusal = assertThrows(FormatException.class, filling::run);
    assertEquals(key, refusal.where());
    assertTrue(refusal.file().endsWith("cache.json"), refusal.getMessage());
    assertTrue(refusal.mend().contains("choose another folder"), refusal.getMessage());
  }

  @Test
  void oneFillingAtATime() {
    try (FolderLock _ = FolderLock.take(folder.resolve("cache"), "a test")) {
      assertThrows(FolderInUseException.class, () -> fill(folder.resolve("cache")));
    }
    fill(folder.resolve("cache"));
  }

  @Test
  void missingFilesAreMadeAgainAndNamedWhereNobodyMayMakeThem() throws Exception {
    Path cache = folder.resolve("cache");
    fill(cache);
    Map<String, byte[]> whole = files(cache);
    for (int shard : new int[] {whole.size() - 2, 3, 0}) {
      Path file = cache.resolve(String.format("rows-%06d.safetensors", shard));
      Files.delete(file);
      FormatException refusal =
          assertThrows(FormatException.class, () -> ActivationCache.open(cache));
      assertEquals(file.toString(), refusal.file());
      assertTrue(refusal.mend().contains("fill the cache again"), refusal.getMessage());
    }
    fill(cache);
    assertSame(whole, files(cache));
    Files.delete(cache.resolve("cache.json"));
    assertThrows(FormatException.class, () -> ActivationCache.open(cache));
    fill(cache);
    assertSame(whole, files(cache));
  }

  @Test
  void noDamageGoesUnseen() throws Exception {
    Path cache = folder.resolve("cache");
    fill(cache);
    float[] expected = modelRows();
    Path shard = cache.resolve("rows-000002.safetensors");
    Path manifest = cache.resolve("cache.json");
    Random random = new Random(5);
    int refused = 0;
    byte[] sound = Files.readAllBytes(shard);
    int header = 8 + (sound[0] & 0xFF) + ((sound[1] & 0xFF) << 8);
    for (int i = 0; i < 600; i++) {
      // A third each: the length, the header, the rows.
      int from = i % 3 == 0 ? 0 : i % 3 == 1 ? 8 : header;
      int to = i % 3 == 0 ? 8 : i % 3 == 1 ? header : sound.length;
      byte[] bytes = sound.clone();
      flip(random, bytes, from, to);
      refused += refusedOrSame(cache, shard, bytes, expected);
    }
    assertEquals(600, refused, "not one bit of a shard is without meaning");
    for (int i = 0; i < 60; i++) {
      byte[] cut = Arrays.copyOf(sound, random.nextInt(sound.length));
      assertEquals(1, refusedOrSame(cache, shard, cut, expected));
      byte[] longer = Arrays.copyOf(sound, sound.length + 1 + random.nextInt(100));
      assertEquals(1, refusedOrSame(cache, shard, longer, expected));
    }
    // Shards that changed places, and one of another cache.
    byte[] next = Files.readAllBytes(cache.resolve("rows-000003.safetensors"));
    assertEquals(1, refusedOrSame(cache, shard, next, expected));
    try (Model other = model(kernels, dataset, 2)) {
      fill(kernels, other, Sequences.all(dataset), DType.F32, folder.resolve("other"));
    }
    byte[] foreign = Files.readAllBytes(folder.resolve("other/rows-000002.safetensors"));
    assertEquals(1, refusedOrSame(cache, shard, foreign, expected));
    byte[] text = Files.readAllBytes(manifest);
    for (int i = 0; i < 600; i++) {
      byte[] bytes = text.clone();
      if (i % 4 > 0) {
        flip(random, bytes, 0, bytes.length);
      } else if (i % 8 == 0) {
        bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length));
      } else {
        int at = random.nextInt(bytes.length - 8);
        System.arraycopy(text, random.nextInt(text.length - 8), bytes, at, 8);
      }
      refusedOrSame(cache, manifest, bytes, expected);
    }
    assertArrayEquals(expected, rows(ActivationCache.open(cache)));
  }

  private static void flip(Random random, byte[] bytes, int from, int to) {
    bytes[from + random.nextInt(to - from)] ^= (byte) (1 << random.nextInt(8));
  }

  /** Puts a damaged file there and looks: 1 when it is refused by name, 0 when the rows are so. */
  private int refusedOrSame(Path cache, Path file, byte[] damaged, float[] expected)
      throws IOException {
    byte[] sound = Files.readAllBytes(file);
    Files.write(file, damaged);
    try {
      assertArrayEquals(expected, rows(ActivationCache.open(cache)));
      return 0;
    } catch (FormatException e) {
      assertEquals(file.toString(), e.file(), e.getMessage());
      assertTrue(e.mend().contains("delete this file"), e.getMessage());
      return 1;
    } finally {
      Files.write(file, sound);
    }
  }

  /** Fills a cache, saying a word after each shard. */
  public static void main(String[] arguments) throws Exception {
    try (Kernels kernels = Kernels.open(Backend.SIMD, 1);
        Dataset dataset = dataset(60);
        Model model = model(kernels, dataset, 1)) {
      fill(kernels, model, Sequences.all(dataset), DType.F32, Path.of(arguments[0]));
      System.out.println("done");
    } catch (UncheckedIOException e) {
      System.out.println(e.getMessage());
    }
  }

  private static List<String> child(Path cache) throws Exception {
    return Child.command(
        ActivationCacheTest.class,
        List.of(
            "-Xmx1g",
            "-XX:-UsePerfData",
            "--add-modules=jdk.incubator.vector",
            "--enable-native-access=ALL-UNNAMED"),
        cache.toString());
  }

  @Test
  void aKilledFillingGoesOn() throws Exception {
    fill(folder.resolve("alone"));
    Path killed = folder.resolve("killed");
    int resumed = 0;
    for (int round = 0, lines = 1; round < 3; round++, lines += 2) {
      Process process = Child.start(folder, child(killed));
      try (BufferedReader output = process.inputReader()) {
        String line;
        for (int n = 0; n < lines && (line = output.readLine()) != null; ) {
          n += line.startsWith("rows ") ? 1 : 0;
        }
      } finally {
        process.destroyForcibly().waitFor(); // kill -9
      }
      resumed += Files.exists(killed.resolve("rows-000000.safetensors")) ? 1 : 0;
    }
    assertEquals(3, resumed);
    fill(killed);
    assertSame(files(folder.resolve("alone")), files(killed));
  }

  @Test
  void aFullDiskLeavesNoHalfShard() throws Exception {
    Path cache = folder.resolve("cache");
    List<String> command = new ArrayList<>(List.of("bash", "-c", "ulimit -f 1; exec \"$@\"", "-"));
    command.addAll(child(cache));
    Process process = Child.start(folder, command);
    String output = new String(process.getInputStream().readAllBytes());
    process.waitFor();
    Path first = cache.resolve("rows-000000.safetensors");
    assertTrue(
        output.contains("cannot write " + first + ", which stays as it was: File too large"),
        output);
    assertEquals(List.of("cache.json"), List.copyOf(files(cache).keySet()));
    assertArrayEquals(modelRows(), rows(fill(cache)));
  }
}
