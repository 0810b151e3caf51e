package dev.rhumb.kernels;

import dev.rhumb.bindings.DeviceBuffer;
import dev.rhumb.bindings.NativeLibrary;
import dev.rhumb.bindings.PinnedBuffer;
import dev.rhumb.bindings.rhumb.Rhumb;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/**
 * What the launches of one {@link CudaKernels} share: the device and its stream, workspace that
 * grows to what the largest call needs, and the slots in which kernels leave what they find wrong
 * with data. The slots lie in page-locked memory, which kernels write over the bus: they hardly
 * ever do, and whoever has waited for the device reads them without another copy.
 *
 * <p>Threads: one caller at a time.
 */
final class CudaQueue implements AutoCloseable {
  private static final int FAULTS = Rhumb.RHUMB_FAULTS();
  private static final long FAULT_BYTES = 8L * FAULTS;
  private static final String MEND =
      "Lower the batch (--batch, or the histories of a batch recommender).";

  private final CudaShared device;
  private final PinnedBuffer faults;
  private final MemorySegment faultPointer;
  private final String[] operations = new String[FAULTS];
  private final long[] bounds = new long[FAULTS];
  private DeviceBuffer scratch;
  private DeviceBuffer edits;
  private int[] editInts = new int[0];
  private long editCount;
  private MemorySegment editsSent = MemorySegment.NULL;
  private MemorySegment editOffsets = MemorySegment.NULL;
  private boolean recording;
  private boolean closed;

  /** Holds the device until it is closed. */
  CudaQueue(CudaShared device) {
    this.device = device;
    device.retain();
    try {
      faults = device.allocateOnHost(FAULT_BYTES);
      faults.segment().fill((byte) -1);
      faultPointer = MemorySegment.ofAddress(faults.segment().address());
    } catch (Throwable e) {
      device.release();
      throw e;
    }
  }

  CudaQueue fork() {
    requireOpen();
    return new CudaQueue(device);
  }

  String describe() {
    return device.describe();
  }

  Buffer allocate(DType dtype, long count) {
    requireOpen();
    return Buffer.onDevice(dtype, count, this);
  }

  Buffer allocateOnHost(DType dtype, long count) {
    requireOpen();
    return Buffer.pinned(dtype, count, this);
  }

  /**
   * Captures work into a graph. It runs once before, so that the workspace is as large as it gets.
   */
  Recording record(Runnable work) {
    begin();
    if (recording) {
      throw new IllegalStateException("a recording is being made");
    }
    recording = true;
    // A graph keeps the addresses it was made with, so it has a workspace of its own.
    DeviceBuffer others = scratch;
    scratch = null;
    try {
      work.run();
      return new CudaRecording(this, device.capture(work), scratch);
    } catch (Throwable e) {
      if (scratch != null) {
        scratch.close();
      }
      throw e;
    } finally {
      scratch = others;
      recording = false;
    }
  }

  Buffer packed(int capacity, int width) {
    return allocate(DType.U8, Rhumb.rhumb_encoder_bytes(capacity, width));
  }

  CudaPrecision precision() {
    return device.precision();
  }

  CudaShared device() {
    return device;
  }

  void requireOpen() {
    if (closed) {
      throw new IllegalStateException("these kernels are closed");
    }
  }

  /** Comes before every call of the library: it runs on the calling thread's device. */
  void begin() {
    requireOpen();
    device.makeCurrent();
  }

  /** Throws what a call of the library says. */
  void check(int status) {
    if (status != Rhumb.RHUMB_OK()) {
      NativeLibrary.check(status);
    }
  }

  /** The address at which kernels find a buffer; NULL for none. */
  MemorySegment at(Buffer buffer) {
    if (buffer == null) {
      return MemorySegment.NULL;
    }
    if (!buffer.onDevice()) {
      throw new IllegalArgumentException(
          "buffer " + buffer + " lies on the host: copy it into one that these kernels allocate");
    }
    return buffer.memory();
  }

  MemorySegment stream() {
    return device.stream();
  }

  MemorySegment faults() {
    return faultPointer;
  }

  /** Workspace of the next call. */
  MemorySegment scratch(long bytes) {
    if (scratch == null || scratch.bytes() < bytes) {
      scratch = grown(scratch, bytes);
    }
    return scratch.pointer();
  }

  /**
   * Brings the edits of a table to the device for the next call, which takes {@link #editCount},
   * {@link #edits} and {@link #editOffsets}.
   */
  void send(EditTable table, int rows) {
    if (!recording) {
      sendNow(table);
      return;
    }
    Buffer resident = table.resident();
    if (resident == null || rows != 1) {
      throw new IllegalStateException(
          "recorded work steers one row, by edits that it reads from a buffer:"
              + " EditTable.readFrom");
    }
    MemorySegment from = at(resident);
    editCount = table.residentEdits();
    editOffsets = from;
    editsSent = from.asSlice(4L * EditTable.OFFSETS);
  }

  private void sendNow(EditTable table) {
    int ints = table.count() * EditTable.INTS;
    editCount = table.count();
    editOffsets = MemorySegment.NULL;
    editsSent = MemorySegment.NULL;
    if (ints == 0) {
      return;
    }
    if (editInts.length < ints) {
      editInts = new int[2 * ints];
    }
    for (int e = 0; e < table.count(); e++) {
      table.encode(e, editInts, e * EditTable.INTS);
    }
    long bytes = 4L * ints;
    if (edits == null || edits.bytes() < bytes) {
      edits = grown(edits, bytes);
    }
    device.put(edits, 0, MemorySegment.ofArray(editInts), 0, bytes);
    editsSent = edits.pointer();
  }

  long editCount() {
    return editCount;
  }

  MemorySegment edits() {
    return editsSent;
  }

  /** Where each row's edits begin; NULL where all rows have all. */
  MemorySegment editOffsets() {
    return editOffsets;
  }

  private DeviceBuffer grown(DeviceBuffer before, long bytes) {
    long most = before == null ? bytes : Math.max(bytes, before.bytes() + before.bytes() / 2);
    if (before != null) {
      before.close();
    }
    return device.allocate(Math.max(most, 256), MEND);
  }

  /**
   * Says which operation looks for a fault from now on, for its message.
   *
   * @param bound the first value out of range
   */
  void blame(int slot, String operation, long bound) {
    operations[slot] = operation;
    bounds[slot] = bound;
  }

  /** Waits for all work, then throws what was found wrong. */
  void finish() {
    requireOpen();
    device.synchronize();
    raise();
  }

  /** Throws what work that has been waited for found wrong; harmless once closed. */
  void raise() {
    if (closed) {
      return;
    }
    MemorySegment slots = faults.segment();
    for (int slot = 0; slot < FAULTS; slot++) {
      long found = slots.getAtIndex(ValueLayout.JAVA_LONG, slot);
      if (found != -1) {
        slots.fill((byte) -1);
        throw fault(slot, (int) (found >>> 32), (int) found);
      }
    }
  }

  private RuntimeException fault(int slot, int row, int value) {
    String op = Objects.requireNonNull(operations[slot]);
    if (slot == Rhumb.RHUMB_FAULT_ENCODE_NAN() || slot == Rhumb.RHUMB_FAULT_EDIT_NAN()) {
      return new ArithmeticException(
          op + ": row " + row + ": the score of feature " + value + " is NaN");
    }
    if (slot == Rhumb.RHUMB_FAULT_TOP_ITEMS_NAN()) {
      return new ArithmeticException(
          op + ": row " + row + ": the score of item " + value + " is NaN");
    }
    if (slot == Rhumb.RHUMB_FAULT_WEIGHT()) {
      return new ArithmeticException(
          op + ": feature " + row + " has the weight " + Float.intBitsToFloat(value));
    }
    if (slot == Rhumb.RHUMB_FAULT_NOTHING_TO_DRAW()) {
      return new IllegalArgumentException(
          op + ": group " + row + " excludes all classes, so that there is none to draw");
    }
    if (slot == Rhumb.RHUMB_FAULT_EXCLUDED()) {
      return new IllegalArgumentException(
          op
              + ": excluded of group "
              + row
              + " holds "
              + value
              + ", but they must ascend without repeats from 1 to "
              + (bounds[slot] - 1));
    }
    if (slot == Rhumb.RHUMB_FAULT_SUBSET() || slot == Rhumb.RHUMB_FAULT_SAMPLE()) {
      String name = slot == Rhumb.RHUMB_FAULT_SUBSET() ? "subset" : "sample";
      return new IllegalArgumentException(
          op
              + ": "
              + name
              + "["
              + row
              + "] = "
              + value
              + ", but it must ascend without repeats from 0 to "
              + (bounds[slot] - 1));
    }
    String offsets = offsets(slot);
    if (offsets != null) {
      return new IllegalArgumentException(
          op
              + ": "
              + offsets
              + "["
              + row
              + "] = "
              + value
              + ", but they must ascend from 0 to "
              + bounds[slot]);
    }
    return new IllegalArgumentException(
        op
            + ": "
            + indices(slot)
            + " of row "
            + row
            + " holds "
            + value
            + ", but it must be from 0 to "
            + (bounds[slot] - 1));
  }

  private static String offsets(int slot) {
    if (slot == Rhumb.RHUMB_FAULT_ATTENTION_OFFSET()) {
      return "offsets";
    }
    if (slot == Rhumb.RHUMB_FAULT_GROUP_OFFSET()) {
      return "groupOffsets";
    }
    return slot == Rhumb.RHUMB_FAULT_EXCLUDED_OFFSET()
            || slot == Rhumb.RHUMB_FAULT_TOP_ITEMS_OFFSET()
        ? "excludedOffsets"
        : null;
  }

  private static String indices(int slot) {
    if (slot == Rhumb.RHUMB_FAULT_ROTARY_POSITION()) {
      return "positions";
    }
    if (slot == Rhumb.RHUMB_FAULT_TARGET()) {
      return "targets";
    }
    return slot == Rhumb.RHUMB_FAULT_LIST_INDEX() ? "indices" : "ids";
  }

  /** Waits for what is under way and frees the workspace. Buffers stay. */
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      device.await();
      faults.close();
      if (scratch != null) {
        scratch.close();
      }
      if (edits != null) {
        edits.close();
      }
    } finally {
      device.release();
    }
  }
}
