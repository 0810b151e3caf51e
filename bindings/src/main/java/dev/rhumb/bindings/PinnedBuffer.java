package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;

import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Page-locked memory of the host, which a device copies from and to while both go on. Few and
 * long-lived: it is slow to get, and taken from the whole machine.
 *
 * <p>Any thread may call any method. Close it when no stream copies from or to it any more; after
 * that its segment refuses every access.
 */
public final class PinnedBuffer extends CudaObject {
  private final Arena arena = Arena.ofShared();
  private final MemorySegment segment;

  /**
   * Allocates page-locked memory, with any content.
   *
   * @param bytes 1 or more
   * @throws NativeException of kind {@link Kind#OUT_OF_MEMORY} where the system gives no more
   */
  public PinnedBuffer(CudaContext context, long bytes) {
    super(context);
    this.segment = create(() -> allocate(bytes));
  }

  private MemorySegment allocate(long bytes) {
    if (bytes < 1) {
      throw new IllegalArgumentException("bytes: " + bytes);
    }
    try (Arena call = Arena.ofConfined()) {
      MemorySegment address = call.allocate(ADDRESS);
      CudaStatus.check(
          Cuda.cuMemAllocHost_v2(address, bytes),
          "cuMemAllocHost_v2 of " + bytes + " bytes of page-locked memory");
      return address.get(ADDRESS, 0).reinterpret(bytes, arena, null);
    }
  }

  /** The memory, for any thread to read and write; refuses to be used once this is closed. */
  public MemorySegment segment() {
    return segment;
  }

  @Override
  int destroy() {
    while (true) {
      try {
        arena.close();
        return Cuda.cuMemFreeHost(MemorySegment.ofAddress(segment.address()));
      } catch (IllegalStateException e) {
        // Another thread is just handing the segment to the driver: a matter of microseconds.
        Thread.onSpinWait();
      }
    }
  }
}
