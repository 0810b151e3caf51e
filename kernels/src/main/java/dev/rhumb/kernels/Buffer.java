package dev.rhumb.kernels;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Off-heap memory of one element type on one device.
 *
 * <p>Ownership: a buffer made by {@link Kernels#allocate} owns its memory and closes once; closing
 * again does nothing. A {@link #slice} and a {@link #wrap wrapped} segment own nothing: they end
 * with what they look into. Using a closed buffer is an {@link IllegalStateException}. Each owned
 * buffer is a shared arena, whose closing makes every thread pause for a moment: make few large
 * buffers and slice them.
 *
 * <p>Threads: reads and writes are not synchronised. Closing a buffer while a kernel works on it is
 * not caught and can end the process: wait for the call first.
 */
public final class Buffer implements AutoCloseable {
  /** Alignment of owned host memory, in bytes: one cache line, one 512-bit vector. */
  public static final long ALIGNMENT = 64;

  private static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.nativeOrder());
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.nativeOrder());

  private static final AtomicLong LIVE = new AtomicLong();

  private final DType dtype;
  private final long count;
  private final MemorySegment segment;
  private final Arena arena;
  private final AtomicBoolean closed = new AtomicBoolean();

  private Buffer(DType dtype, long count, MemorySegment segment, Arena arena) {
    this.dtype = dtype;
    this.count = count;
    this.segment = segment;
    this.arena = arena;
  }

  /** A zeroed host buffer that owns its memory. */
  static Buffer host(DType dtype, long count) {
    Objects.requireNonNull(dtype, "dtype");
    if (count < 0 || count > Long.MAX_VALUE / 16) {
      throw new IllegalArgumentException("a buffer of " + count + " elements cannot be made");
    }
    Arena arena = Arena.ofShared();
    try {
      MemorySegment memory = arena.allocate(Math.max(count * dtype.bytes(), 1), ALIGNMENT);
      Buffer buffer = new Buffer(dtype, count, memory.asSlice(0, count * dtype.bytes()), arena);
      LIVE.incrementAndGet();
      return buffer;
    } catch (OutOfMemoryError e) {
      arena.close();
      OutOfMemoryError named =
          new OutOfMemoryError(
              "no room for a buffer of "
                  + count
                  + " x "
                  + dtype
                  + " ("
                  + count * dtype.bytes()
                  + " bytes)");
      named.initCause(e);
      throw named;
    }
  }

  /**
   * A host buffer over memory that somebody else owns, such as a mapped file. The memory must
   * outlive every use.
   *
   * @throws IllegalArgumentException when the segment is on the heap or no whole number of elements
   */
  public static Buffer wrap(DType dtype, MemorySegment segment) {
    if (!segment.isNative()) {
      throw new IllegalArgumentException(
          "a buffer needs off-heap memory; this segment is on the heap");
    }
    if (segment.byteSize() % dtype.bytes() != 0) {
      throw new IllegalArgumentException(
          segment.byteSize() + " bytes are no whole number of " + dtype);
    }
    return new Buffer(dtype, segment.byteSize() / dtype.bytes(), segment, null);
  }

  /** Owned buffers that are not closed yet, in the whole process: for leak tests. */
  public static long live() {
    return LIVE.get();
  }

  /** The element type. */
  public DType dtype() {
    return dtype;
  }

  /** Number of elements. */
  public long count() {
    return count;
  }

  /**
   * The host memory, in native byte order.
   *
   * @throws IllegalStateException when the buffer is closed
   */
  public MemorySegment segment() {
    requireOpen();
    return segment;
  }

  /**
   * A view of {@code count} elements from element {@code offset} on; it owns nothing.
   *
   * @throws IndexOutOfBoundsException when the range leaves this buffer
   */
  public Buffer slice(long offset, long count) {
    Objects.checkFromIndexSize(offset, count, this.count);
    return new Buffer(
        dtype, count, segment().asSlice(offset * dtype.bytes(), count * dtype.bytes()), null);
  }

  /** Copies {@code n} floats from {@code source[from..]} to the elements from {@code offset} on. */
  public void put(long offset, float[] source, int from, int n) {
    check(DType.F32, offset, n);
    MemorySegment.copy(source, from, segment, FLOAT, offset * 4, n);
  }

  /** Copies {@code n} ints from {@code source[from..]} to the elements from {@code offset} on. */
  public void put(long offset, int[] source, int from, int n) {
    check(DType.I32, offset, n);
    MemorySegment.copy(source, from, segment, INT, offset * 4, n);
  }

  /**
   * Copies {@code n} elements from {@code offset} on to {@code target[to..]}; waits for work on the
   * device.
   */
  public void get(long offset, float[] target, int to, int n) {
    check(DType.F32, offset, n);
    MemorySegment.copy(segment, FLOAT, offset * 4, target, to, n);
  }

  /**
   * Copies {@code n} elements from {@code offset} on to {@code target[to..]}; waits for work on the
   * device.
   */
  public void get(long offset, int[] target, int to, int n) {
    check(DType.I32, offset, n);
    MemorySegment.copy(segment, INT, offset * 4, target, to, n);
  }

  /** All elements as an array: for tests and small results. */
  public float[] floats() {
    float[] all = new float[Math.toIntExact(count)];
    get(0, all, 0, all.length);
    return all;
  }

  /** All elements as an array: for tests and small results. */
  public int[] ints() {
    int[] all = new int[Math.toIntExact(count)];
    get(0, all, 0, all.length);
    return all;
  }

  /** Copies all elements of {@code source}, which has the same type and count. */
  public void copyFrom(Buffer source) {
    if (source.dtype != dtype || source.count != count) {
      throw new IllegalArgumentException(
          "copy of " + source + " into " + this + ": type and count must be the same");
    }
    MemorySegment.copy(source.segment(), 0, segment(), 0, count * dtype.bytes());
  }

  /** Sets every byte to zero. */
  public void zero() {
    segment().fill((byte) 0);
  }

  /** Frees the memory if this buffer owns it and has not been closed. */
  @Override
  public void close() {
    if (arena != null && closed.compareAndSet(false, true)) {
      LIVE.decrementAndGet();
      arena.close();
    }
  }

  @Override
  public String toString() {
    return dtype + "[" + count + "]";
  }

  void requireOpen() {
    if (!segment.scope().isAlive()) {
      throw new IllegalStateException("buffer " + this + " is closed");
    }
  }

  private void check(DType wanted, long offset, long n) {
    requireOpen();
    if (dtype != wanted) {
      throw new IllegalArgumentException("buffer " + this + " holds no " + wanted);
    }
    Objects.checkFromIndexSize(offset, n, count);
  }
}
