package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Objects;

/**
 * Memory of a device, 256-byte aligned. Its maker owns it, and closes it when no work on any stream
 * uses it any more.
 *
 * <p>Any thread may call any method. Copies and fills are in the order of the stream they name and
 * return before they are done.
 */
public final class DeviceBuffer extends CudaObject {
  private final long bytes;
  private final MemorySegment pointer;

  /**
   * Allocates memory, with any content.
   *
   * @param bytes 0 or more
   * @param mend where the memory is full, what to do about it: the setting that lowers what is
   *     asked
   * @throws NativeException of kind {@link Kind#OUT_OF_MEMORY} with what was asked and what is
   *     there
   */
  public DeviceBuffer(CudaContext context, long bytes, String mend) {
    super(context);
    this.bytes = bytes;
    this.pointer = create(() -> allocate(context, bytes, mend));
  }

  private static MemorySegment allocate(CudaContext context, long bytes, String mend) {
    if (bytes < 0) {
      throw new IllegalArgumentException("bytes: " + bytes);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment address = arena.allocate(JAVA_LONG);
      // The driver refuses 0; an address of its own lets empty buffers be like others.
      int status = Cuda.cuMemAlloc_v2(address, Math.max(1, bytes));
      if (status == Cuda.CUDA_ERROR_OUT_OF_MEMORY()) {
        throw new NativeException(
            Kind.OUT_OF_MEMORY,
            String.format(
                "cuMemAlloc_v2: %,d bytes asked, %,d free of %,d on %s: %s. %s",
                bytes,
                context.freeBytes(),
                context.device().memoryBytes(),
                context,
                CudaStatus.text(status),
                mend));
      }
      CudaStatus.check(status, "cuMemAlloc_v2 of " + bytes + " bytes on " + context);
      // Of no extent: what is not the host's cannot be touched from Java.
      return MemorySegment.ofAddress(address.get(JAVA_LONG, 0));
    }
  }

  /** How many bytes it holds. */
  public long bytes() {
    return bytes;
  }

  /** The first byte's address on the device. */
  public long address() {
    requireOpen();
    return pointer.address();
  }

  /** The first byte's address as calls of kernels take it; no memory that Java could touch. */
  public MemorySegment pointer() {
    requireOpen();
    return pointer;
  }

  /** Sets all bytes to 0. */
  public void zero(Stream stream) {
    fill(0, bytes, (byte) 0, stream);
  }

  /** Sets {@code count} bytes from {@code offset} on to a value. */
  public void fill(long offset, long count, byte value, Stream stream) {
    Objects.checkFromIndexSize(offset, count, bytes);
    if (isNothing(count, stream)) {
      return;
    }
    CudaStatus.check(
        Cuda.cuMemsetD8Async(pointer.address() + offset, value, count, stream.handle()),
        "cuMemsetD8Async");
  }

  /** Sets {@code count} 4-byte values from byte {@code offset} (a multiple of 4) on. */
  public void fillInts(long offset, long count, int value, Stream stream) {
    if (count > bytes / Integer.BYTES || offset % Integer.BYTES != 0) {
      throw new IndexOutOfBoundsException(
          count + " ints from byte " + offset + " of a buffer of " + bytes + " bytes");
    }
    Objects.checkFromIndexSize(offset, count * Integer.BYTES, bytes);
    if (isNothing(count, stream)) {
      return;
    }
    CudaStatus.check(
        Cuda.cuMemsetD32Async(pointer.address() + offset, value, count, stream.handle()),
        "cuMemsetD32Async");
  }

  /**
   * Copies from the host. The copy goes on after the call: the source stays open, and as it is,
   * until the stream is past it. Where it lies in no {@link PinnedBuffer} the driver may read it
   * within the call, and wait for the stream to do so.
   *
   * @param source native memory, read from byte {@code sourceOffset} on; an offset other than 0 may
   *     cost garbage of 40 bytes, so that a caller who repeats it passes a slice that it keeps
   */
  public void copyFrom(
      MemorySegment source, long sourceOffset, long offset, long count, Stream stream) {
    Objects.checkFromIndexSize(sourceOffset, count, source.byteSize());
    Objects.checkFromIndexSize(offset, count, bytes);
    if (isNothing(count, stream)) {
      return;
    }
    long to = pointer.address() + offset;
    // Two calls, so that the compiler sees that neither needs a new segment on the heap.
    CudaStatus.check(
        sourceOffset == 0
            ? Cuda.cuMemcpyHtoDAsync_v2(to, source, count, stream.handle())
            : Cuda.cuMemcpyHtoDAsync_v2(to, source.asSlice(sourceOffset), count, stream.handle()),
        "cuMemcpyHtoDAsync_v2");
  }

  /**
   * Copies to the host. The copy goes on after the call: the bytes are there once the stream is
   * past it. Where the target lies in no {@link PinnedBuffer} the driver may wait for them within
   * the call.
   *
   * @param target native memory, written from byte {@code targetOffset} on; the offset costs what
   *     that of {@link #copyFrom(MemorySegment, long, long, long, Stream)} does
   */
  public void copyTo(
      MemorySegment target, long targetOffset, long offset, long count, Stream stream) {
    if (target.isReadOnly()) {
      throw new IllegalArgumentException("the target of a copy is read-only");
    }
    Objects.checkFromIndexSize(targetOffset, count, target.byteSize());
    Objects.checkFromIndexSize(offset, count, bytes);
    if (isNothing(count, stream)) {
      return;
    }
    long from = pointer.address() + offset;
    CudaStatus.check(
        targetOffset == 0
            ? Cuda.cuMemcpyDtoHAsync_v2(target, from, count, stream.handle())
            : Cuda.cuMemcpyDtoHAsync_v2(target.asSlice(targetOffset), from, count, stream.handle()),
        "cuMemcpyDtoHAsync_v2");
  }

  /** Copies from another buffer of the same device; the two ranges do not overlap. */
  public void copyFrom(
      DeviceBuffer source, long sourceOffset, long offset, long count, Stream stream) {
    Objects.checkFromIndexSize(sourceOffset, count, source.bytes);
    Objects.checkFromIndexSize(offset, count, bytes);
    source.requireOpen();
    if (isNothing(count, stream)) {
      return;
    }
    CudaStatus.check(
        Cuda.cuMemcpyDtoDAsync_v2(
            pointer.address() + offset,
            source.pointer.address() + sourceOffset,
            count,
            stream.handle()),
        "cuMemcpyDtoDAsync_v2");
  }

  /** Enters; whether there is nothing to do, which not every driver records in a graph. */
  private boolean isNothing(long count, Stream stream) {
    stream.requireOpen();
    enter();
    return count == 0;
  }

  @Override
  int destroy() {
    return Cuda.cuMemFree_v2(pointer.address());
  }
}
