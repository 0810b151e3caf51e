package dev.rhumb.sae;

import dev.rhumb.checkpoint.Bfloat16;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Host memory for rows as a file stores them, float32 or bfloat16. One thread at a time. */
final class HostRows implements AutoCloseable {
  private static final int CHUNK = 1 << 14;

  private final Arena arena = Arena.ofShared();
  private final Buffer stored;
  private final float[] chunk = new float[CHUNK];

  /**
   * @param most elements
   */
  HostRows(DType dtype, long most) {
    stored = Buffer.wrap(dtype, arena.allocate(most * dtype.bytes(), Buffer.ALIGNMENT));
  }

  /** The first elements, as they are stored. */
  Buffer stored(long count) {
    return stored.slice(0, count);
  }

  /** Copies the first elements to all of a float32 buffer on any device. */
  void copyTo(Buffer target) {
    if (stored.dtype() == DType.F32) {
      target.copyFrom(stored(target.count()));
      return;
    }
    MemorySegment bits = stored.segment();
    for (long done = 0; done < target.count(); done += CHUNK) {
      int n = (int) Math.min(CHUNK, target.count() - done);
      for (int i = 0; i < n; i++) {
        chunk[i] = Bfloat16.toFloat(bits.getAtIndex(ValueLayout.JAVA_SHORT, done + i));
      }
      target.put(done, chunk, 0, n);
    }
  }

  /** Copies all of a float32 buffer on any device to the elements from {@code at} on. */
  void put(long at, Buffer source) {
    if (stored.dtype() == DType.F32) {
      stored.slice(at, source.count()).copyFrom(source);
      return;
    }
    MemorySegment bits = stored.segment();
    for (long done = 0; done < source.count(); done += CHUNK) {
      int n = (int) Math.min(CHUNK, source.count() - done);
      source.get(done, chunk, 0, n);
      for (int i = 0; i < n; i++) {
        bits.setAtIndex(ValueLayout.JAVA_SHORT, at + done + i, Bfloat16.of(chunk[i]));
      }
    }
  }

  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
