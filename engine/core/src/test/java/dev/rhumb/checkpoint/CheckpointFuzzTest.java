package dev.rhumb.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;

/** Any input is read or refused by name; what was written is read back. */
class CheckpointFuzzTest {
  private static Path file;

  @BeforeContainer
  static void makeFile() throws IOException {
    file = Files.createTempDirectory("rhumb").resolve("case.safetensors");
  }

  @AfterContainer
  static void removeFile() throws IOException {
    Files.deleteIfExists(file);
    Files.delete(file.getParent());
  }

  @Property(tries = 300)
  void jsonValuesComeBack(@ForAll("values") Object value) {
    assertEquals(value, Json.parse(Json.write(value), "t"));
    assertEquals(value, Json.parse(Json.compact(value), "t"));
  }

  @Property(tries = 2000)
  void anyTextIsReadOrRefused(@ForAll("nearlyJson") String text) {
    try {
      Object value = Json.parse(text, "t");
      assertEquals(value, Json.parse(Json.write(value), "t"));
    } catch (FormatException refusal) {
      assertTrue(refusal.where().matches("\\d+:\\d+"));
    }
  }

  @Property(tries = 500)
  void anyBytesAreReadOrRefused(@ForAll byte[] bytes) throws IOException {
    readOrRefuse(bytes);
    readOrRefuse(
        ByteBuffer.allocate(8 + bytes.length)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(bytes.length)
            .put(bytes)
            .array());
  }

  @Property(tries = 2000)
  void aDamagedFileIsReadOrRefused(@ForAll long seed) throws IOException {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    readOrRefuse(damage(sound(), random));
  }

  @Property(tries = 60)
  void tensorsComeBack(@ForAll long seed) {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    try (Arena arena = Arena.ofConfined()) {
      List<Safetensors.Tensor> tensors = new ArrayList<>();
      for (int i = random.nextInt(6); i > 0; i--) {
        long[] shape = random.longs(random.nextInt(4), 0, 40).toArray();
        DType dtype = DType.values()[random.nextInt(DType.values().length)];
        byte[] bytes = new byte[(int) product(shape) * dtype.bytes()];
        random.nextBytes(bytes);
        Buffer data = Buffer.wrap(dtype, arena.allocate(bytes.length, 64));
        data.segment().asByteBuffer().put(bytes);
        tensors.add(new Safetensors.Tensor("t\u00e9 " + i, shape, data));
      }
      Map<String, String> metadata = random.nextBoolean() ? Map.of() : Map.of("k", "v\n\u00e9");
      Safetensors.write(file, metadata, tensors);
      try (Safetensors mapped = Safetensors.open(file);
          Safetensors loaded = Safetensors.load(file)) {
        assertEquals(metadata, mapped.metadata());
        assertEquals(tensors.size(), mapped.names().size());
        for (Safetensors.Tensor tensor : tensors) {
          Buffer data = tensor.data();
          Buffer copy = Buffer.wrap(data.dtype(), arena.allocate(data.segment().byteSize(), 64));
          mapped.copyTo(tensor.name(), copy, tensor.shape());
          assertEquals(-1, copy.segment().mismatch(data.segment()));
          for (Safetensors read : List.of(mapped, loaded)) {
            Buffer view = read.tensor(tensor.name(), data.dtype(), tensor.shape());
            assertEquals(-1, view.segment().mismatch(data.segment()));
            long bytes = view.segment().byteSize();
            long alignment = bytes % 64 == 0 ? 64 : data.dtype().bytes();
            assertEquals(0, view.segment().address() % alignment);
          }
        }
      }
    }
  }

  private static long product(long[] shape) {
    return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
  }

  /** Sound means more than "no exception": every tensor that is listed can be used. */
  private static void readOrRefuse(byte[] bytes) throws IOException {
    Files.write(file, bytes);
    try (Safetensors read =
        bytes.length % 2 == 0 ? Safetensors.open(file) : Safetensors.load(file)) {
      for (String name : read.names()) {
        if (Arrays.stream(DType.values()).anyMatch(t -> t.name().equals(read.dtypeName(name)))) {
          long[] shape = read.shape(name);
          Buffer tensor = read.tensor(name, read.dtype(name), shape);
          assertEquals(product(shape), tensor.count());
          tensor.segment().asByteBuffer().get(new byte[(int) tensor.segment().byteSize()]);
        }
      }
    } catch (FormatException refusal) {
      assertTrue(refusal.getMessage().contains("case.safetensors"), refusal.getMessage());
    }
  }

  private static final String HEADER =
      "{\"__metadata__\":{\"k\":\"v\"},"
          + "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
          + "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[16,22]},"
          + "\"c\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[22,23]},"
          + "\"d\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[23,23]},"
          + "\"e\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[23,31]}}";

  private static final Pattern NUMBER = Pattern.compile("(?<=[\\[,])\\d+");
  private static final List<String> NUMBERS =
      List.of(
          "0",
          "1",
          "-1",
          "2",
          "16",
          "22",
          "23",
          "31",
          "32",
          "1.0",
          "1e3",
          "2147483648",
          "4294967296",
          "4611686018427387904",
          "9223372036854775807",
          "9223372036854775808",
          "-9223372036854775808",
          "18446744073709551615",
          "null",
          "\"1\"",
          "[]",
          "");
  private static final long[] LENGTHS = {
    0, 1, 8, -1, Long.MAX_VALUE, Long.MIN_VALUE, 100_000_000, 100_000_001, 1L << 32, 1L << 62
  };

  private static byte[] sound() {
    return file(HEADER);
  }

  private static byte[] file(String header) {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(8 + text.length + 31)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(text.length)
        .put(text)
        .array();
  }

  private static byte[] damage(byte[] bytes, RandomGenerator random) {
    int at = random.nextInt(bytes.length);
    switch (random.nextInt(7)) {
      case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
      case 1 -> bytes[at] = (byte) random.nextInt();
      case 2 -> bytes = Arrays.copyOf(bytes, at);
      case 3 -> bytes = Arrays.copyOf(bytes, bytes.length + 1 + random.nextInt(9));
      case 4 -> {
        long length = LENGTHS[random.nextInt(LENGTHS.length)];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
      }
      default -> {
        String header = HEADER;
        for (int n = 1 + random.nextInt(3); n > 0; n--) {
          Matcher number = NUMBER.matcher(header);
          int skip = random.nextInt((int) number.results().count() + 1);
          number.reset();
          while (skip-- > 0 && number.find()) {}
          if (number.hasMatch()) {
            header =
                header.substring(0, number.start())
                    + NUMBERS.get(random.nextInt(NUMBERS.size()))
                    + header.substring(number.end());
          }
        }
        bytes = file(header);
      }
    }
    return bytes;
  }

  @Provide
  Arbitrary<Object> values() {
    Arbitrary<String> text =
        Arbitraries.strings()
            .ofMaxLength(8)
            .filter(s -> s.codePoints().noneMatch(CheckpointFuzzTest::half));
    Arbitrary<Object> plain =
        Arbitraries.oneOf(
            text.map(s -> s),
            Arbitraries.longs().map(n -> n),
            Arbitraries.doubles().map(n -> n),
            Arbitraries.of(true, false).map(b -> b));
    return Arbitraries.recursive(
        () -> plain,
        inner ->
            Arbitraries.oneOf(
                inner.list().ofMaxSize(4).map(list -> list),
                Combinators.combine(text.list().ofMaxSize(4), inner)
                    .as(
                        (keys, element) -> {
                          Map<String, Object> map = new LinkedHashMap<>();
                          keys.forEach(key -> map.put(key, element));
                          return map;
                        })),
        0,
        4);
  }

  private static boolean half(int codePoint) {
    return codePoint >= 0xd800 && codePoint <= 0xdfff;
  }

  @Provide
  Arbitrary<String> nearlyJson() {
    return Arbitraries.oneOf(
        Arbitraries.strings(),
        Arbitraries.of(
                "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\"", "1", "-", "0", ".", "e5",
                "true", "null", "\\", "\\u", "d800", " ", "\n", "\u0000", "\ud800")
            .list()
            .ofMaxSize(14)
            .map(parts -> String.join("", parts)));
  }
}
