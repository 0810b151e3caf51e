package dev.rhumb.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsTest {
  @TempDir Path folder;
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void release() {
    arena.close();
  }

  /** Both ways to open must refuse and answer alike. */
  private static final List<Function<Path, Safetensors>> WAYS =
      List.of(Safetensors::open, Safetensors::load);

  // 8 bytes of length (0x6e = 110), a header typed by hand, I32 [1, -2] and F32 [1.0].
  private static final String GOLDEN_HEADER =
      "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]},"
          + "\"a\":{\"dtype\":\"I32\",\"shape\":[2,1],\"data_offsets\":[0,8]}}";

  private static byte[] golden() {
    byte[] data = HexFormat.of().parseHex("01000000feffffff0000803f");
    return file(GOLDEN_HEADER, data);
  }

  @Test
  void readsBytesMadeByHand() throws Exception {
    byte[] bytes = golden();
    assertEquals("6e00000000000000", HexFormat.of().formatHex(bytes, 0, 8));
    Path file = save(bytes);
    for (Function<Path, Safetensors> way : WAYS) {
      try (Safetensors tensors = way.apply(file)) {
        assertEquals(List.of("a", "b"), List.copyOf(tensors.names()));
        assertEquals(Map.of(), tensors.metadata());
        assertArrayEquals(new long[] {2, 1}, tensors.shape("a"));
        assertEquals(DType.I32, tensors.dtype("a"));
        assertArrayEquals(new int[] {1, -2}, tensors.tensor("a", DType.I32, 2, 1).ints());
        assertArrayEquals(new float[] {1f}, tensors.tensor("b", DType.F32, 1).floats());
      }
    }
  }

  @Test
  void writesTheBytesOfTheFormat() throws Exception {
    Path file = folder.resolve("t.safetensors");
    Safetensors.write(
        file, Map.of(), List.of(new Safetensors.Tensor("x", new long[] {2}, floats(1f, -2f))));
    String header = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    String padded = header + " ".repeat(56 - header.length());
    byte[] expected = file(padded, HexFormat.of().parseHex("0000803f000000c0"));
    assertArrayEquals(expected, Files.readAllBytes(file));
  }

  @Test
  void roundTripOfEveryTypeOnBothWays() throws Exception {
    Path file = folder.resolve("t.safetensors");
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    Random random = new Random(7);
    for (DType dtype : DType.values()) {
      for (long[] shape : new long[][] {{}, {0, 7}, {5, 3}, {16, 4}, {1 << 18, 3}}) {
        long count = Arrays.stream(shape).reduce(1, (x, y) -> x * y);
        tensors.add(
            new Safetensors.Tensor(
                dtype + Arrays.toString(shape), shape, noise(dtype, count, random)));
      }
    }
    Safetensors.write(file, Map.of("k", "v"), tensors);
    byte[] bytes = Files.readAllBytes(file);
    Collections.shuffle(tensors, random);
    Safetensors.write(file, Map.of("k", "v"), tensors);
    assertArrayEquals(bytes, Files.readAllBytes(file), "the order of the list must not show");
    for (Function<Path, Safetensors> way : WAYS) {
      try (Safetensors read = way.apply(file)) {
        assertEquals(Map.of("k", "v"), read.metadata());
        assertEquals(tensors.size(), read.names().size());
        for (Safetensors.Tensor tensor : tensors) {
          DType dtype = tensor.data().dtype();
          assertArrayEquals(tensor.shape(), read.shape(tensor.name()));
          assertEquals(dtype, read.dtype(tensor.name()));
          Buffer view = read.tensor(tensor.name(), dtype, tensor.shape());
          assertEquals(-1, tensor.data().segment().mismatch(view.segment()), tensor.name());
          Buffer copy = noise(dtype, tensor.data().count(), random);
          read.copyTo(tensor.name(), copy, tensor.shape());
          assertEquals(-1, tensor.data().segment().mismatch(copy.segment()), tensor.name());
          boolean wide = view.segment().byteSize() % 64 == 0;
          assertEquals(0, view.segment().address() % (wide ? 64 : dtype.bytes()), tensor.name());
        }
      }
    }
  }

  @Test
  void aFileWithoutTensorsIsFine() {
    Path file = folder.resolve("none.safetensors");
    Safetensors.write(file, Map.of(), List.of());
    for (Function<Path, Safetensors> way : WAYS) {
      try (Safetensors read = way.apply(file)) {
        assertEquals(Set.of(), read.names());
      }
    }
  }

  @Test
  void closingEndsTheTensorsAndTwiceIsHarmless() throws Exception {
    Path file = save(golden());
    for (Function<Path, Safetensors> way : WAYS) {
      Safetensors read = way.apply(file);
      Buffer tensor = read.tensor("b", DType.F32, 1);
      assertThrows(UnsupportedOperationException.class, read.names()::clear);
      read.close();
      read.close();
      assertThrows(IllegalStateException.class, tensor::floats);
      assertThrows(IllegalStateException.class, () -> read.tensor("b", DType.F32, 1));
      assertThrows(IllegalStateException.class, () -> read.copyTo("b", floats(0f), 1));
    }
  }

  @Test
  void aMappedTensorCannotBeWritten() throws Exception {
    byte[] bytes = golden();
    Path file = save(bytes);
    try (Safetensors read = Safetensors.open(file)) {
      Buffer tensor = read.tensor("b", DType.F32, 1);
      assertThrows(
          RuntimeException.class, () -> tensor.segment().set(ValueLayout.JAVA_BYTE, 0, (byte) 1));
    }
    assertArrayEquals(bytes, Files.readAllBytes(file));
  }

  @Test
  void refusesTheWrongTensorByName() throws Exception {
    Path file = save(golden());
    for (Function<Path, Safetensors> way : WAYS) {
      try (Safetensors read = way.apply(file)) {
        refused("is missing; the file holds a, b", () -> read.tensor("c", DType.F32, 1));
        refused(
            "tensor \"b\": is F32 [1]; I32 [1] is wanted", () -> read.tensor("b", DType.I32, 1));
        refused("tensor \"a\": is I32 [2, 1]; I32 [1, 2]", () -> read.tensor("a", DType.I32, 1, 2));
        refused("tensor \"a\": is I32 [2, 1]; I32 [2]", () -> read.tensor("a", DType.I32, 2));
        refused("is F32 [1]; F32 [2]", () -> read.copyTo("b", floats(0f, 0f), 2));
        refused("is missing", () -> read.shape("c"));
        assertThrows(IllegalArgumentException.class, () -> read.copyTo("b", floats(0f, 0f), 1));
      }
    }
  }

  @Test
  void floatsOfEveryWidthAreReadAsFloat32() throws Exception {
    float[] expected = {1.5f, -0.25f, 65504, 0x1p-24f};
    // The same four numbers by hand: halves, float64; bfloat16 of 1.5 and -0.25 alone.
    String header =
        "{\"half\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
            + "\"brain\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[8,12]},"
            + "\"double\":{\"dtype\":\"F64\",\"shape\":[4],\"data_offsets\":[12,44]},"
            + "\"int\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[44,48]}}";
    ByteBuffer data = ByteBuffer.allocate(48).order(ByteOrder.LITTLE_ENDIAN);
    data.put(HexFormat.of().parseHex("003e00b4ff7b0100")).put(HexFormat.of().parseHex("c03f80be"));
    for (float value : expected) {
      data.putDouble(value + (value == 1.5f ? 0x1p-40 : 0));
    }
    Path file = save(file(header, data.array()));
    for (Function<Path, Safetensors> way : WAYS) {
      try (Safetensors tensors = way.apply(file)) {
        Buffer four = floats(0, 0, 0, 0);
        tensors.copyAsFloats("half", four, 2, 2);
        assertArrayEquals(expected, four.floats());
        tensors.copyAsFloats("double", four, 4);
        assertArrayEquals(expected, four.floats());
        tensors.copyAsFloats("brain", four.slice(0, 2), 2);
        assertArrayEquals(new float[] {1.5f, -0.25f}, four.slice(0, 2).floats());
        refused("\"int\"", () -> tensors.copyAsFloats("int", four.slice(0, 1), 1));
        refused("F16 [2, 2]", () -> tensors.copyAsFloats("half", four, 4));
        refused("absent", () -> tensors.copyAsFloats("absent", four, 4));
        assertThrows(
            IllegalArgumentException.class,
            () -> tensors.copyAsFloats("double", four.slice(0, 3), 4));
      }
    }
  }

  @Test
  void foreignTypesAreListedAndRefusedOnUse() throws Exception {
    String header =
        "{\"h\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]},"
            + "\"q\":{\"dtype\":\"F4\",\"shape\":[2,3],\"data_offsets\":[4,7]},"
            + "\"n\":{\"dtype\":\"NEW\",\"shape\":[9],\"data_offsets\":[7,8]}}";
    Path file = save(file(header, new byte[8]));
    try (Safetensors read = Safetensors.open(file)) {
      assertEquals(List.of("h", "q", "n"), List.copyOf(read.names()));
      assertEquals("F16", read.dtypeName("h"));
      assertArrayEquals(new long[] {9}, read.shape("n"));
      refused("tensor \"h\": has elements of type \"F16\"; convert", () -> read.dtype("h"));
      refused("type \"NEW\"", () -> read.tensor("n", DType.U8, 9));
    }
  }

  // Headers over 12 bytes of data, ' stands for ".
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{|1:2",
        "[]|does not start with '{'",
        "` {}`|does not start with '{'",
        "{}x|1:3",
        "{}|the tensors take 0 bytes, the file has 12",
        "{'a':1}|a: is 1, not an object",
        "{'a':{}}|a.shape: is missing",
        "{'a':{'shape':[3],'data_offsets':[0,12]}}|a.dtype: is missing",
        "{'a':{'dtype':'F32','data_offsets':[0,12]}}|a.shape: is missing",
        "{'a':{'dtype':'F32','shape':[3]}}|a.data_offsets: is missing",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[0,12],'x':1}}|a.x: is an unknown key",
        "{'a':{'dtype':7,'shape':[3],'data_offsets':[0,12]}}|a.dtype: is 7, not a string",
        "{'a':{'dtype':'F32','shape':3,'data_offsets':[0,12]}}|a.shape: is 3, not a list",
        "{'a':{'dtype':'F32','shape':[3.0],'data_offsets':[0,12]}}|a.shape[0]: is 3.0, no count",
        "{'a':{'dtype':'F32','shape':[-3],'data_offsets':[0,12]}}|a.shape[0]: is -3, no count",
        "{'a':{'dtype':'F32','shape':[-1,-3],'data_offsets':[0,12]}}|a.shape[0]: is -1, no count",
        "{'a':{'dtype':'F32','shape':[null],'data_offsets':[0,12]}}|no count",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[0]}}|no range",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[0,6,12]}}|no range",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[12,0]}}|no range",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[-12,0]}}|no count",
        "{'a':{'dtype':'F32','shape':[4],'data_offsets':[0,16]}}|no range within the 12 data bytes",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[1,13]}}|no range within the 12 data bytes",
        "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,12]}}|F32 [2] takes 64 bits",
        "{'a':{'dtype':'I64','shape':[3],'data_offsets':[0,12]}}|I64 [3] takes 192 bits",
        "{'a':{'dtype':'F4','shape':[3],'data_offsets':[0,1]}}|F4 [3] takes 12 bits",
        "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}|the tensors take 8 bytes, the file has 12",
        "{'a':{'dtype':'F32','shape':[2],'data_offsets':[4,12]}}|a: starts at byte 4 of the data, behind a gap",
        "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape':[2],'data_offsets':[4,12]}}|b: starts at byte 4 of the data, inside another",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[0,12]},'b':{'dtype':'F32','shape':[3],'data_offsets':[0,12]}}|inside another tensor",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[0,12]},'b':{'dtype':'F32','shape':[0],'data_offsets':[4,4]}}|inside another tensor",
        "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4]},'b':{'dtype':'F32','shape':[1],'data_offsets':[8,12]}}|b: starts at byte 8 of the data, behind a gap",
        "{'a':{'dtype':'F32','shape':[3],'data_offsets':[0,12]},'a':{'dtype':'F32','shape':[3],'data_offsets':[0,12]}}|key ^a^ is given twice",
        "{'':{'dtype':'F32','shape':[3],'data_offsets':[0,12]}}|no printable tensor name",
        "{'a\\u0000':{'dtype':'F32','shape':[3],'data_offsets':[0,12]}}|no printable tensor name",
        "{'a\\u202eb':{'dtype':'F32','shape':[3],'data_offsets':[0,12]}}|no printable tensor name",
        "{'__metadata__':{'k':1},'a':{'dtype':'F32','shape':[3],'data_offsets':[0,12]}}|__metadata__.k: is 1, not a string",
        "{'__metadata__':[],'a':{'dtype':'F32','shape':[3],'data_offsets':[0,12]}}|__metadata__: is a list",
        // near 2^63, where sums and products wrap
        "{'a':{'dtype':'U8','shape':[9223372036854775807],'data_offsets':[0,9223372036854775807]}}|no range",
        "{'a':{'dtype':'U8','shape':[12],'data_offsets':[9223372036854775796,9223372036854775807]}}|no range",
        "{'a':{'dtype':'U8','shape':[12],'data_offsets':[0,9223372036854775808]}}|does not fit 64 bits",
        "{'a':{'dtype':'F32','shape':[4611686018427387907],'data_offsets':[0,12]}}|beyond 64 bits",
        "{'a':{'dtype':'F32','shape':[4294967296,4294967296,3],'data_offsets':[0,12]}}|beyond 64 bits",
        "{'a':{'dtype':'F32','shape':[4294967296,4294967296,0],'data_offsets':[0,0]}}|beyond 64 bits",
        "{'a':{'dtype':'U8','shape':[2305843009213693964],'data_offsets':[0,12]}}|beyond 64 bits",
      })
  void refusesAHeaderThatLies(String header, String reason) throws Exception {
    Path file = save(file(header.replace('\'', '"'), new byte[12]));
    for (Function<Path, Safetensors> way : WAYS) {
      refused(reason.replace('^', '"'), () -> way.apply(file));
    }
  }

  @ParameterizedTest
  @ValueSource(
      longs = {
        0,
        109,
        111,
        122,
        123,
        124,
        100_000_000,
        100_000_001,
        1L << 31,
        1L << 32,
        Long.MAX_VALUE - 8,
        Long.MAX_VALUE,
        Long.MIN_VALUE,
        -1,
        -8
      })
  void refusesALyingHeaderLength(long length) throws Exception {
    byte[] bytes = golden();
    ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
    Path file = save(bytes);
    for (Function<Path, Safetensors> way : WAYS) {
      refused("case.safetensors", () -> way.apply(file));
    }
  }

  @Test
  void boundsTheHeaderThoughTheFileIsThatLong() throws Exception {
    Path file = folder.resolve("case.safetensors");
    try (var channel =
        FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.wrap(file(100_000_001, new byte[] {'{'}, new byte[0])));
      channel.write(ByteBuffer.allocate(1), 200_000_000);
    }
    refused("at most 100000000 allowed", () -> Safetensors.open(file));
  }

  @Test
  void refusesDeepNesting() throws Exception {
    for (int depth : new int[] {65, 1_000_000}) {
      Path file = save(file("{\"a\":" + "[".repeat(depth), new byte[0]));
      refused("nesting deeper than", () -> Safetensors.open(file));
    }
  }

  @Test
  void refusesEveryTruncation() throws Exception {
    byte[] bytes = golden();
    for (int length = 0; length < bytes.length; length++) {
      Path file = save(Arrays.copyOf(bytes, length));
      for (Function<Path, Safetensors> way : WAYS) {
        refused("case.safetensors", () -> way.apply(file));
      }
    }
    Path longer = save(Arrays.copyOf(bytes, bytes.length + 1));
    refused("the tensors take 12 bytes, the file has 13", () -> Safetensors.open(longer));
  }

  @Test
  void refusesWhatIsNoFile() {
    refused("is no regular file", () -> Safetensors.open(folder));
    refused("is no regular file", () -> Safetensors.open(Path.of("/dev/null")));
    Path missing = folder.resolve("missing");
    var failure = assertThrows(UncheckedIOException.class, () -> Safetensors.open(missing));
    assertTrue(failure.getMessage().contains("no such file"), failure.getMessage());
  }

  @Test
  void copyToRefusesAFileThatShrank() throws Exception {
    Path file = save(golden());
    try (Safetensors read = Safetensors.open(file);
        Safetensors loaded = Safetensors.load(file)) {
      try (var channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
        channel.truncate(channel.size() - 1);
      }
      read.copyTo("a", noise(DType.I32, 2, new Random(1)), 2, 1);
      refused("byte 129: the file ends here", () -> read.copyTo("b", floats(0f), 1));
      Buffer target = floats(0f);
      loaded.copyTo("b", target, 1);
      assertArrayEquals(new float[] {1f}, target.floats());
    }
  }

  @Test
  void refusesToWriteWhatCouldNotBeRead() {
    Path file = folder.resolve("t.safetensors");
    Buffer one = floats(1f);
    List<List<Safetensors.Tensor>> cases =
        List.of(
            List.of(tensor("", one, 1)),
            List.of(tensor("a\n", one, 1)),
            List.of(tensor("a\ud800", one, 1)),
            List.of(tensor("__metadata__", one, 1)),
            List.of(tensor("a", one, 1), tensor("a", one, 1)),
            List.of(tensor("a", one, 2)),
            List.of(tensor("a", one, -1, -1)),
            List.of(tensor("a", one, 1L << 32, 1L << 32)),
            List.of(tensor("a", floats(), 1L << 32, 1L << 32)));
    for (List<Safetensors.Tensor> tensors : cases) {
      assertThrows(
          IllegalArgumentException.class, () -> Safetensors.write(file, Map.of(), tensors));
    }
    assertThrows(
        IllegalArgumentException.class,
        () -> Safetensors.write(file, Map.of("k", "\ud800"), List.of()));
    assertEquals(0, folder.toFile().list().length);
  }

  private static Safetensors.Tensor tensor(String name, Buffer data, long... shape) {
    return new Safetensors.Tensor(name, shape, data);
  }

  private static void refused(String part, Executable call) {
    FormatException refusal = assertThrows(FormatException.class, call);
    assertTrue(refusal.getMessage().contains(part), refusal.getMessage());
  }

  private Buffer noise(DType dtype, long count, Random random) {
    byte[] bytes = new byte[(int) count * dtype.bytes()];
    random.nextBytes(bytes);
    MemorySegment segment = arena.allocate(bytes.length, 64);
    segment.copyFrom(MemorySegment.ofArray(bytes));
    return Buffer.wrap(dtype, segment);
  }

  private static byte[] file(String header, byte[] data) {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    return file(text.length, text, data);
  }

  private static byte[] file(long length, byte[] header, byte[] data) {
    return ByteBuffer.allocate(8 + header.length + data.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(length)
        .put(header)
        .put(data)
        .array();
  }

  private Path save(byte[] bytes) throws Exception {
    Path file = folder.resolve("case.safetensors");
    Files.write(file, bytes);
    return file;
  }

  private Buffer floats(float... values) {
    return Buffer.wrap(DType.F32, arena.allocateFrom(ValueLayout.JAVA_FLOAT, values));
  }
}
