package dev.rhumb.kernels;

import dev.rhumb.bindings.DeviceBuffer;
import dev.rhumb.bindings.NativeScope;
import dev.rhumb.bindings.PinnedBuffer;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The edits of a table on the device, as a recording reads them: where they begin and end for its
 * one row, then (capacity, 4). A recorded copy brings them from page-locked memory, which is filled
 * before each run, so that a run follows what the table holds by then.
 */
final class CudaEdits implements AutoCloseable {
  private static final int OFFSETS = 2;

  private final NativeScope scope = new NativeScope();
  private final CudaShared device;
  private final EditTable table;
  private final int capacity;
  private final PinnedBuffer host;
  private final DeviceBuffer memory;
  private final MemorySegment edits;
  private final int[] ints;

  CudaEdits(CudaShared device, EditTable table) {
    this.device = device;
    this.table = table;
    capacity = Math.max(1, table.capacity());
    ints = new int[OFFSETS + capacity * EditTable.INTS];
    try {
      host = scope.add(device.allocateOnHost(4L * ints.length));
      memory =
          scope.add(device.allocate(4L * ints.length, "Close models or sessions on this GPU."));
    } catch (Throwable e) {
      throw scope.closeAfter(e);
    }
    edits = MemorySegment.ofAddress(memory.address() + 4L * OFFSETS);
  }

  /** Puts what the table holds now where the copy reads it. */
  void fill() {
    if (table.count() > capacity) {
      throw new IllegalStateException(
          "the table holds "
              + table.count()
              + " edits, but was recorded with room for "
              + capacity
              + ": record the work again");
    }
    ints[1] = table.count();
    for (int e = 0; e < table.count(); e++) {
      table.encode(e, ints, OFFSETS + e * EditTable.INTS);
    }
    MemorySegment.copy(ints, 0, host.segment(), ValueLayout.JAVA_INT, 0, ints.length);
  }

  /** Queues the copy. */
  void send() {
    device.putPinned(memory, 0, host.segment(), 4L * ints.length);
  }

  EditTable table() {
    return table;
  }

  int capacity() {
    return capacity;
  }

  MemorySegment offsets() {
    return memory.pointer();
  }

  MemorySegment edits() {
    return edits;
  }

  @Override
  public void close() {
    scope.close();
  }
}
