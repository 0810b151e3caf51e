package dev.rhumb.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

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
    return Buffer.wrap(
        DType.F32, arena.allocateFrom(java.lang.foreign.ValueLayout.JAVA_FLOAT, values));
  }
}
