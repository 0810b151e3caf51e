package dev.rhumb.kernels;

import java.lang.foreign.Arena;

/**
 * Off-heap working memory that grows to the most that was asked for and stays, so that a repeated
 * call allocates nothing. What it holds ends with the call. Threads: one at a time.
 */
final class Scratch implements AutoCloseable {
  private Arena arena;
  private long bytes;
  private long address;
  private boolean closed;

  /**
   * The address of at least this many bytes, aligned to {@link Buffer#ALIGNMENT}; their content is
   * undefined. Valid until the next call or close.
   */
  long reserve(long bytes) {
    if (closed) {
      throw new IllegalStateException("these kernels are closed");
    }
    if (bytes > this.bytes) {
      free();
      Arena fresh = Arena.ofShared();
      try {
        address = fresh.allocate(bytes, Buffer.ALIGNMENT).address();
      } catch (OutOfMemoryError e) {
        fresh.close();
        OutOfMemoryError named =
            new OutOfMemoryError("no room for " + bytes + " bytes of scratch memory");
        named.initCause(e);
        throw named;
      }
      arena = fresh;
      this.bytes = bytes;
    }
    return address;
  }

  private void free() {
    if (arena != null) {
      arena.close();
      arena = null;
      bytes = 0;
    }
  }

  /** Frees the memory. Closing twice is harmless. */
  @Override
  public void close() {
    closed = true;
    free();
  }
}
