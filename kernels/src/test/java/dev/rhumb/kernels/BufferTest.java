package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

class BufferTest {
  @Test
  void ownedMemoryIsZeroedAlignedAndCounted() {
    long live = Buffer.live();
    for (DType dtype : DType.values()) {
      try (Buffer buffer = Buffer.host(dtype, 7)) {
        assertEquals(live + 1, Buffer.live());
        assertEquals(7, buffer.count());
        assertEquals(7L * dtype.bytes(), buffer.segment().byteSize());
        assertEquals(0, buffer.segment().address() % Buffer.ALIGNMENT);
        assertEquals(0, buffer.segment().asByteBuffer().get(7 * dtype.bytes() - 1));
      }
      assertEquals(live, Buffer.live());
    }
  }

  @Test
  void closesOnceWithItsSlices() {
    long live = Buffer.live();
    Buffer buffer = Buffer.host(DType.F32, 4);
    Buffer slice = buffer.slice(1, 2);
    slice.close();
    slice.put(0, new float[] {3}, 0, 1);
    buffer.close();
    buffer.close();
    assertEquals(live, Buffer.live());
    assertThrows(IllegalStateException.class, buffer::segment);
    assertThrows(IllegalStateException.class, buffer::zero);
    assertThrows(IllegalStateException.class, slice::floats);
    assertThrows(IllegalStateException.class, () -> buffer.slice(0, 1));
  }

  @Test
  void copiesInAndOut() {
    try (Buffer buffer = Buffer.host(DType.F32, 5);
        Buffer other = Buffer.host(DType.F32, 5);
        Buffer ints = Buffer.host(DType.I32, 5)) {
      buffer.put(1, new float[] {9, 1, 2, 9}, 1, 2);
      assertArrayEquals(new float[] {0, 1, 2, 0, 0}, buffer.floats());
      assertArrayEquals(new float[] {2, 0}, buffer.slice(2, 2).floats());
      other.copyFrom(buffer);
      assertArrayEquals(buffer.floats(), other.floats());
      other.zero();
      assertArrayEquals(new float[5], other.floats());
      ints.put(3, new int[] {7, 8}, 0, 2);
      assertArrayEquals(new int[] {0, 0, 0, 7, 8}, ints.ints());
      assertThrows(IllegalArgumentException.class, ints::floats);
      assertThrows(IllegalArgumentException.class, buffer::ints);
      assertThrows(IllegalArgumentException.class, () -> ints.copyFrom(buffer));
      assertThrows(IndexOutOfBoundsException.class, () -> buffer.slice(3, 3));
      assertThrows(IndexOutOfBoundsException.class, () -> buffer.slice(-1, 1));
      assertThrows(IndexOutOfBoundsException.class, () -> buffer.put(4, new float[2], 0, 2));
      assertThrows(IndexOutOfBoundsException.class, () -> buffer.get(0, new float[9], 0, 9));
    }
  }

  @Test
  void holdsSeveralTypesOfOneSize() {
    long live = Buffer.live();
    Buffer floats;
    try (Buffer ints = Buffer.host(DType.I32, 4)) {
      floats = ints.as(DType.F32);
      floats.slice(1, 2).put(0, new float[] {-2.5f, 7}, 0, 2);
      assertEquals(Float.floatToRawIntBits(-2.5f), ints.ints()[1]);
      ints.put(3, new int[] {Float.floatToRawIntBits(3)}, 0, 1);
      assertArrayEquals(new float[] {0, -2.5f, 7, 3}, floats.floats());
      floats.close();
      assertThrows(IllegalArgumentException.class, () -> ints.as(DType.I64));
      assertEquals(live + 1, Buffer.live());
    }
    assertThrows(IllegalStateException.class, floats::floats);
    assertEquals(live, Buffer.live());
  }

  @Test
  void wrapsWhatOthersOwn() {
    long live = Buffer.live();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(12);
      Buffer buffer = Buffer.wrap(DType.F32, memory);
      assertEquals(live, Buffer.live());
      assertEquals(3, buffer.count());
      buffer.close();
      assertEquals(0f, buffer.floats()[2]);
      assertThrows(
          IllegalArgumentException.class, () -> Buffer.wrap(DType.F32, memory.asSlice(0, 7)));
      assertThrows(
          IllegalArgumentException.class,
          () -> Buffer.wrap(DType.F32, MemorySegment.ofArray(new float[3])));
    }
  }

  @Test
  void impossibleSizesAreRefusedWithTheirNumbers() {
    assertThrows(IllegalArgumentException.class, () -> Buffer.host(DType.F32, -1));
    assertThrows(IllegalArgumentException.class, () -> Buffer.host(DType.F32, Long.MAX_VALUE));
    long live = Buffer.live();
    String message =
        assertThrows(OutOfMemoryError.class, () -> Buffer.host(DType.F32, 1L << 50)).getMessage();
    assertTrue(message.contains(String.valueOf(1L << 50)), message);
    assertEquals(live, Buffer.live());
  }
}
