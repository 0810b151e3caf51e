package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The use of one GPU: its primary context, which the kernels' library shares. Every buffer, stream,
 * event and graph is made on one and belongs to whoever made it.
 *
 * <p>Any thread may call any method. After {@link #close()} every use of the context and of what
 * was made on it throws {@link IllegalStateException}; what is still open may be closed in any
 * order, and the device is let go with the last of it. Contexts of the same device are independent
 * of each other, but share its memory.
 *
 * <p>The driver knows a thread's current context. The classes of this package see to that by
 * themselves; who calls a kernel makes the context current first. A virtual thread keeps its
 * carrier between the two as long as it does not block.
 */
public final class CudaContext implements AutoCloseable {
  /** The kernels are built for this compute capability and later ones (native/CMakeLists.txt). */
  private static final int LEAST_CAPABILITY = 80;

  private static final AtomicLong LIVE = new AtomicLong();

  private final CudaDevice device;
  private final int handle;
  private final MemorySegment context;

  /** One for the context itself while it is open, and one for each thing made on it. */
  private final AtomicInteger uses = new AtomicInteger(1);

  private volatile boolean closed;

  private CudaContext(CudaDevice device, int handle, MemorySegment context) {
    this.device = device;
    this.handle = handle;
    this.context = context;
  }

  /**
   * Opens a device.
   *
   * @param ordinal its number among those that {@code CUDA_VISIBLE_DEVICES} leaves visible, from 0
   * @throws NativeException of the kinds of {@link CudaDriver#load()}, and {@link Kind#NO_DEVICE}
   *     where there is no such device or the kernels do not run on it
   */
  public static CudaContext open(int ordinal) {
    List<CudaDevice> devices = CudaDriver.load().devices();
    if (ordinal < 0 || ordinal >= devices.size()) {
      throw new NativeException(
          Kind.NO_DEVICE,
          "CUDA device " + ordinal + " was asked for; this process sees " + list(devices));
    }
    CudaDevice device = devices.get(ordinal);
    if (device.capability() < LEAST_CAPABILITY) {
      throw new NativeException(
          Kind.NO_DEVICE,
          "CUDA device "
              + ordinal
              + ", "
              + device.name()
              + ", has compute capability "
              + device.capabilityText()
              + "; the kernels need 8.0 (Ampere) or later");
    }
    try (Arena arena = Arena.ofConfined()) {
      int handle = CudaDriver.handle(ordinal, arena);
      MemorySegment context = arena.allocate(ADDRESS);
      CudaStatus.check(Cuda.cuDevicePrimaryCtxRetain(context, handle), "cuDevicePrimaryCtxRetain");
      LIVE.incrementAndGet();
      return new CudaContext(device, handle, context.get(ADDRESS, 0));
    }
  }

  private static String list(List<CudaDevice> devices) {
    StringBuilder list = new StringBuilder();
    for (CudaDevice device : devices) {
      list.append(list.isEmpty() ? "" : ", ").append(device.ordinal()).append(": ");
      list.append(device.name());
    }
    return list.toString();
  }

  /** The device. */
  public CudaDevice device() {
    return device;
  }

  /**
   * Makes this the calling thread's context: for the kernels that the thread calls next.
   *
   * @throws IllegalStateException where the context is closed
   */
  public void makeCurrent() {
    requireOpen();
    CudaStatus.check(bind(), "cuCtxSetCurrent");
  }

  /** Like {@link #makeCurrent()}, but also for what outlives the context, and with a status. */
  int bind() {
    return Cuda.cuCtxSetCurrent(context);
  }

  /** How many bytes of the device's memory are free at the moment, for all its users. */
  public long freeBytes() {
    makeCurrent();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment free = arena.allocate(JAVA_LONG);
      MemorySegment total = arena.allocate(JAVA_LONG);
      CudaStatus.check(Cuda.cuMemGetInfo_v2(free, total), "cuMemGetInfo_v2");
      return free.get(JAVA_LONG, 0);
    }
  }

  /** Whether it was closed. */
  public boolean isClosed() {
    return closed;
  }

  void requireOpen() {
    if (closed) {
      throw new IllegalStateException("the context of " + this + " is closed");
    }
  }

  /** Lets the device go once all that was made on it is closed too. A second call does nothing. */
  @Override
  public void close() {
    synchronized (uses) {
      if (closed) {
        return;
      }
      closed = true;
    }
    release();
  }

  /** Takes note of something that is made on the context. */
  void retain() {
    synchronized (uses) {
      requireOpen();
      uses.incrementAndGet();
    }
    LIVE.incrementAndGet();
  }

  /** Gives back what {@link #retain()} took. */
  void release() {
    LIVE.decrementAndGet();
    if (uses.decrementAndGet() == 0) {
      int status = Cuda.cuDevicePrimaryCtxRelease_v2(handle);
      if (status != Cuda.CUDA_SUCCESS() && !CudaStatus.isGone(status)) {
        throw CudaStatus.failure(status, "cuDevicePrimaryCtxRelease_v2");
      }
    }
  }

  /**
   * How many contexts, buffers, streams, events, graphs and cuBLAS handles are open in this
   * process. Tests for leaks compare it.
   */
  public static long live() {
    return LIVE.get();
  }

  @Override
  public String toString() {
    return "CUDA device " + device.ordinal() + " (" + device.name() + ")";
  }
}
