package dev.rhumb.kernels;

import dev.rhumb.bindings.DeviceBuffer;
import java.lang.foreign.MemorySegment;

/**
 * The block of a GPU's memory that a {@link Buffer} owns. It holds the device until it is closed.
 */
final class CudaMemory {
  private static final String MEND =
      "Lower the batch (--batch, or the histories of a batch recommender), or train with shorter"
          + " histories (--length).";

  private final CudaQueue cuda;
  private final CudaShared device;
  private final DeviceBuffer block;

  /** A zeroed block. */
  CudaMemory(CudaQueue cuda, long bytes) {
    this.cuda = cuda;
    device = cuda.device();
    device.retain();
    try {
      block = device.allocate(bytes, MEND);
      device.fill(block, 0, bytes, (byte) 0);
    } catch (Throwable e) {
      device.release();
      throw e;
    }
  }

  MemorySegment address() {
    return block.pointer();
  }

  /** Copies from the host, in stream order; the source may change at once. */
  void put(long to, MemorySegment source, long from, long bytes) {
    device.put(block, to, source, from, bytes);
  }

  /** Copies to the host: waits for the stream, and throws what was found wrong with data. */
  void get(long from, MemorySegment target, long to, long bytes) {
    device.get(block, from, target, to, bytes, cuda);
  }

  void putPinned(long to, MemorySegment source, long bytes) {
    device.putPinned(block, to, source, bytes);
  }

  void getPinned(long from, MemorySegment target, long bytes) {
    device.getPinned(block, from, target, bytes);
  }

  /** Copies within the device, in stream order. */
  void copy(long to, CudaMemory source, long from, long bytes) {
    device.copy(block, to, source.block, from, bytes);
  }

  void zero(long from, long bytes) {
    device.fill(block, from, bytes, (byte) 0);
  }

  void close() {
    try {
      block.close();
    } finally {
      device.release();
    }
  }
}
