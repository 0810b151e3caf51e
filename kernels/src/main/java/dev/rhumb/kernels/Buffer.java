package dev.rhumb.kernels;

import dev.rhumb.bindings.PinnedBuffer;
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
  // Of a buffer on a GPU: the block it lies in and where. `segment` is then an address on the
  // device, never read here.
  private final CudaMemory device;
  private final long from;
  // Of a buffer of page-locked host memory: copies between it and a device do not wait.
  private final boolean pinned;
  private final AtomicBoolean closed = new AtomicBoolean();

  private Buffer(DType dtype, long count, MemorySegment segment, Arena arena) {
    this(dtype, count, segment, arena, null, 0, false);
  }

  private Buffer(
      DType dtype,
      long count,
      MemorySegment segment,
      Arena arena,
      CudaMemory device,
      long from,
      boolean pinned) {
    this.dtype = dtype;
    this.count = count;
    this.segment = segment;
    this.arena = arena;
    this.device = device;
    this.from = from;
    this.pinned = pinned;
  }

  /** A zeroed buffer on the device of {@code cuda} that owns its memory. */
  static Buffer onDevice(DType dtype, long count, CudaQueue cuda) {
    checkCount(dtype, count);
    long bytes = count * dtype.bytes();
    CudaMemory memory = new CudaMemory(cuda, bytes);
    // The arena is there for its liveness: the address dies with it.
    Arena arena = Arena.ofShared();
    MemorySegment address = memory.address().reinterpret(bytes, arena, null);
    LIVE.incrementAndGet();
    return new Buffer(dtype, count, address, arena, memory, 0, false);
  }

  /**
   * A zeroed buffer of page-locked host memory for copies to and from the device of {@code cuda}.
   */
  static Buffer pinned(DType dtype, long count, CudaQueue cuda) {
    checkCount(dtype, count);
    PinnedBuffer memory = cuda.device().allocateOnHost(count * dtype.bytes());
    Arena arena = Arena.ofShared();
    MemorySegment segment =
        MemorySegment.ofAddress(memory.segment().address())
            .reinterpret(count * dtype.bytes(), arena, gone -> memory.close());
    segment.fill((byte) 0);
    LIVE.incrementAndGet();
    return new Buffer(dtype, count, segment, arena, null, 0, true);
  }

  /** A zeroed host buffer that owns its memory. */
  static Buffer host(DType dtype, long count) {
    checkCount(dtype, count);
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

  private static void checkCount(DType dtype, long count) {
    Objects.requireNonNull(dtype, "dtype");
    if (count < 0 || count > Long.MAX_VALUE / 16) {
      throw new IllegalArgumentException("a buffer of " + count + " elements cannot be made");
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
   * @throws UnsupportedOperationException when it lies on a GPU: {@link #get} and {@link #put} copy
   */
  public MemorySegment segment() {
    requireOpen();
    if (device != null) {
      throw new UnsupportedOperationException(
          "buffer " + this + " lies on a GPU, where this program cannot look: copy it");
    }
    return segment;
  }

  /** The address for a native call; of the device's memory where the buffer lies there. */
  MemorySegment memory() {
    return segment;
  }

  /** Whether a GPU's kernels reach it: it lies there, or is page-locked. */
  boolean onDevice() {
    return device != null || pinned;
  }

  /** Whether the memory is the host's, so that {@link #segment} gives it. */
  public boolean onHost() {
    return device == null;
  }

  /**
   * A view of {@code count} elements from element {@code offset} on; it owns nothing.
   *
   * @throws IndexOutOfBoundsException when the range leaves this buffer
   */
  public Buffer slice(long offset, long count) {
    Objects.checkFromIndexSize(offset, count, this.count);
    requireOpen();
    long first = offset * dtype.bytes();
    MemorySegment part = segment.asSlice(first, count * dtype.bytes());
    return new Buffer(dtype, count, part, null, device, from + first, pinned);
  }

  /**
   * The same elements as those of another type of the same size, bit for bit; it owns nothing. So
   * results of several types can share a buffer, and one copy brings them to the host.
   *
   * @throws IllegalArgumentException when the sizes differ
   */
  public Buffer as(DType other) {
    if (other.bytes() != dtype.bytes()) {
      throw new IllegalArgumentException("buffer " + this + " as " + other + ": the sizes differ");
    }
    requireOpen();
    return new Buffer(other, count, segment, null, device, from, pinned);
  }

  /** Copies {@code n} floats from {@code source[from..]} to the elements from {@code offset} on. */
  public void put(long offset, float[] source, int from, int n) {
    check(DType.F32, offset, n);
    if (device == null) {
      MemorySegment.copy(source, from, segment, FLOAT, offset * 4, n);
    } else {
      device.put(this.from + offset * 4, MemorySegment.ofArray(source), from * 4L, n * 4L);
    }
  }

  /** Copies {@code n} ints from {@code source[from..]} to the elements from {@code offset} on. */
  public void put(long offset, int[] source, int from, int n) {
    check(DType.I32, offset, n);
    if (device == null) {
      MemorySegment.copy(source, from, segment, INT, offset * 4, n);
    } else {
      device.put(this.from + offset * 4, MemorySegment.ofArray(source), from * 4L, n * 4L);
    }
  }

  /**
   * Copies {@code n} elements from {@code offset} on to {@code target[to..]}; waits for work on the
   * device.
   */
  public void get(long offset, float[] target, int to, int n) {
    check(DType.F32, offset, n);
    if (device == null) {
      MemorySegment.copy(segment, FLOAT, offset * 4, target, to, n);
    } else {
      device.get(from + offset * 4, MemorySegment.ofArray(target), to * 4L, n * 4L);
    }
  }

  /**
   * Copies {@code n} elements from {@code offset} on to {@code target[to..]}; waits for work on the
   * device.
   */
  public void get(long offset, int[] target, int to, int n) {
    check(DType.I32, offset, n);
    if (device == null) {
      MemorySegment.copy(segment, INT, offset * 4, target, to, n);
    } else {
      device.get(from + offset * 4, MemorySegment.ofArray(target), to * 4L, n * 4L);
    }
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
    requireOpen();
    source.requireOpen();
    long bytes = count * dtype.bytes();
    if (device != null && source.device != null) {
      device.copy(from, source.device, source.from, bytes);
    } else if (device != null && source.pinned) {
      device.putPinned(from, source.segment, bytes);
    } else if (device != null) {
      device.put(from, source.segment, 0, bytes);
    } else if (source.device != null && pinned) {
      source.device.getPinned(source.from, segment, bytes);
    } else if (source.device != null) {
      source.device.get(source.from, segment, 0, bytes);
    } else {
      MemorySegment.copy(source.segment, 0, segment, 0, bytes);
    }
  }

  /** Sets every byte to zero. */
  public void zero() {
    requireOpen();
    if (device == null) {
      segment.fill((byte) 0);
    } else {
      device.zero(from, count * dtype.bytes());
    }
  }

  /** Frees the memory if this buffer owns it and has not been closed. */
  @Override
  public void close() {
    if (arena != null && closed.compareAndSet(false, true)) {
      LIVE.decrementAndGet();
      arena.close();
      if (device != null) {
        device.close();
      }
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
