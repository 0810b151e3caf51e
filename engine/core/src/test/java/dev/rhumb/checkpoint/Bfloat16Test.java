package dev.rhumb.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Numbers of 16 bits, alone and in safetensors files. */
class Bfloat16Test {
  @TempDir Path folder;

  @Test
  void everyNumberComesBack() {
    for (int bits = 0; bits < 1 << 16; bits++) {
      float value = Bfloat16.toFloat((short) bits);
      if (Float.isNaN(value)) {
        assertTrue(Float.isNaN(Bfloat16.toFloat(Bfloat16.of(value))));
      } else {
        assertEquals((short) bits, Bfloat16.of(value));
      }
    }
  }

  @Test
  void roundsToNearestAndTiesToEven() {
    assertEquals(1f, rounded(1 + 0x1p-8f), "a tie goes to the even 1");
    assertEquals(1 + 0x1p-6f, rounded(1 + 3 * 0x1p-8f), "a tie goes to the even 1 + 2^-6");
    assertEquals(1 + 0x1p-7f, rounded(1 + 0x1p-8f + 0x1p-20f));
    assertEquals(1f, rounded(1 + 0x1p-8f - 0x1p-20f));
    assertEquals(-1f, rounded(-1 - 0x1p-8f));
    assertEquals(Float.POSITIVE_INFINITY, rounded(Float.MAX_VALUE));
    assertEquals(-0f, rounded(-0f));
    assertTrue(Float.isNaN(rounded(Float.intBitsToFloat(0x7F800001))));
  }

  private static float rounded(float value) {
    return Bfloat16.toFloat(Bfloat16.of(value));
  }

  @Test
  void filesAreRoundedWhenWrittenAndWidenedWhenRead() {
    int count = 300_000; // more than is converted at a time
    float[] values = new float[count];
    float[] expected = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) Math.sin(i) * (1 + i % 7);
      expected[i] = rounded(values[i]);
    }
    Path file = folder.resolve("t.safetensors");
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Buffer data = kernels.allocate(DType.F32, count);
        Buffer read = kernels.allocate(DType.F32, count)) {
      data.put(0, values, 0, count);
      Safetensors.write(
          file,
          Map.of(),
          List.of(new Safetensors.Tensor("w", new long[] {3, count / 3}, data, DType.BF16)));
      for (boolean map : new boolean[] {false, true}) {
        try (Safetensors opened = map ? Safetensors.open(file) : Safetensors.load(file)) {
          assertEquals(DType.BF16, opened.dtype("w"));
          read.zero();
          opened.copyAsFloats("w", read, 3, count / 3);
          assertArrayEquals(expected, read.floats());
          assertThrows(FormatException.class, () -> opened.copyAsFloats("w", read, count));
          assertThrows(FormatException.class, () -> opened.copyAsFloats("v", read, count));
          assertThrows(
              IllegalArgumentException.class,
              () -> opened.copyAsFloats("w", read.slice(0, 3), 3, count / 3));
        }
      }
      assertThrows(
          IllegalArgumentException.class,
          () -> new Safetensors.Tensor("w", new long[] {count}, data, DType.I32));
    }
  }

  @Test
  void halfPrecisionIsWidenedAndOtherTypesAreRefused() throws IOException {
    float[] values = {1, -2.5f, 0.333251953125f, 65504, 0x1p-24f, Float.NEGATIVE_INFINITY};
    for (String type : new String[] {"F16", "I16"}) {
      String header =
          "{\"w\":{\"dtype\":\"%s\",\"shape\":[6],\"data_offsets\":[0,12]}}".formatted(type);
      ByteBuffer bytes =
          ByteBuffer.allocate(8 + header.length() + 12).order(ByteOrder.LITTLE_ENDIAN);
      bytes.putLong(header.length()).put(header.getBytes(StandardCharsets.UTF_8));
      for (float value : values) {
        bytes.putShort(Float.floatToFloat16(value));
      }
      Path file = folder.resolve(type + ".safetensors");
      Files.write(file, bytes.array());
      try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
          Buffer read = kernels.allocate(DType.F32, 6);
          Safetensors opened = Safetensors.load(file)) {
        if (type.equals("F16")) {
          opened.copyAsFloats("w", read, 6);
          assertArrayEquals(values, read.floats());
        } else {
          FormatException refusal =
              assertThrows(FormatException.class, () -> opened.copyAsFloats("w", read, 6));
          assertTrue(refusal.getMessage().contains("I16"), refusal.getMessage());
        }
      }
    }
  }
}
