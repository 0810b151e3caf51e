package dev.rhumb.kernels;

import dev.rhumb.bindings.Cublas;
import dev.rhumb.bindings.CudaContext;
import dev.rhumb.bindings.DeviceBuffer;
import dev.rhumb.bindings.Event;
import dev.rhumb.bindings.Graph;
import dev.rhumb.bindings.NativeException;
import dev.rhumb.bindings.NativeLibrary;
import dev.rhumb.bindings.NativeScope;
import dev.rhumb.bindings.PinnedBuffer;
import dev.rhumb.bindings.Stream;
import java.lang.foreign.MemorySegment;

/**
 * One GPU as an opened backend and all its siblings and buffers see it: context, stream, and
 * page-locked memory through which arrays travel. It ends with the last that holds it.
 *
 * <p>Threads: any; copies take turns.
 */
final class CudaShared {
  /** Bytes that one copy moves at most; what is longer goes in several. */
  private static final long CHUNK = 1 << 20;

  private final NativeScope scope = new NativeScope();
  private final String description;
  private final CudaPrecision precision;
  private final CudaContext context;
  private final Stream stream;

  /** Where work is recorded while other threads go on with theirs. */
  private final Stream recordings;

  private volatile Thread recorder;
  private final PinnedBuffer up;
  private final PinnedBuffer down;
  // What goes up waits in one half of `up` while the other is filled; its event says when it is
  // free.
  private final Event[] sent = new Event[2];
  private final Cublas cublas;
  private DeviceBuffer cublasWorkspace;
  private Stream cublasStream;
  private int half;
  private long used;
  private int holders = 1;

  private CudaShared(NativeLibrary library, CudaContext context, CudaPrecision precision) {
    this.precision = precision;
    this.context = scope.add(context);
    try {
      stream = scope.add(new Stream(context));
      recordings = scope.add(new Stream(context));
      up = scope.add(new PinnedBuffer(context, 2 * CHUNK));
      down = scope.add(new PinnedBuffer(context, CHUNK));
      for (int i = 0; i < sent.length; i++) {
        sent[i] = scope.add(new Event(context));
        sent[i].record(stream);
      }
      cublas = startCublas();
      description = describe(library);
    } catch (Throwable e) {
      throw scope.closeAfter(e);
    }
  }

  /** The GPU of a number, held by the caller until it releases it. */
  static CudaShared open(int ordinal, CudaPrecision precision) {
    NativeLibrary library = NativeLibrary.load();
    return new CudaShared(library, CudaContext.open(ordinal), precision);
  }

  private String describe(NativeLibrary library) {
    return (library.build().equals("host")
            ? "cuda: the kernels under emulation on the CPU, for tests"
            : "cuda: " + context.device().name())
        + (cublas == null ? ", without cuBLAS" : ", cuBLAS " + cublas.version())
        + (", products in " + precision.label());
  }

  /** cuBLAS on the stream, or null where there is none or it is switched off. */
  private Cublas startCublas() {
    if ("off".equals(Settings.get(Cublas.SETTING))) {
      return null;
    }
    Cublas found;
    try {
      found = scope.add(new Cublas(context));
    } catch (NativeException e) {
      // One that was named and is not there is an error; none at all is not.
      if (e.kind() != NativeException.Kind.LIBRARY || Settings.get(Cublas.SETTING) != null) {
        throw e;
      }
      return null;
    }
    String mend = "Other work on this GPU may have to end first.";
    cublasWorkspace = scope.add(new DeviceBuffer(context, Cublas.WORKSPACE_BYTES, mend));
    return found;
  }

  CudaPrecision precision() {
    return precision;
  }

  boolean hasCublas() {
    return cublas != null;
  }

  /** C = alpha op(A) op(B) + beta C by cuBLAS, row-major. */
  synchronized void gemm(
      boolean transA,
      boolean transB,
      int m,
      int n,
      int k,
      float alpha,
      MemorySegment a,
      long aStride,
      MemorySegment b,
      long bStride,
      float beta,
      MemorySegment c,
      long cStride) {
    // One workspace does: recordings, too, run in the stream.
    if (cublasStream != current()) {
      cublasStream = current();
      cublas.use(cublasStream, cublasWorkspace);
    }
    Cublas.Type type = precision == CudaPrecision.BF16 ? Cublas.Type.F32_FAST : Cublas.Type.F32;
    cublas.gemm(type, transA, transB, m, n, k, alpha, a, aStride, b, bStride, beta, c, cStride);
  }

  String describe() {
    return description;
  }

  synchronized void retain() {
    if (holders == 0) {
      throw new IllegalStateException("the device is closed");
    }
    holders++;
  }

  synchronized void release() {
    if (--holders == 0) {
      scope.close();
    }
  }

  void makeCurrent() {
    context.makeCurrent();
  }

  /** What the calling thread puts work into. */
  private Stream current() {
    return recorder == Thread.currentThread() ? recordings : stream;
  }

  MemorySegment stream() {
    return current().pointer();
  }

  /**
   * @param mend what to do where the memory is full
   */
  DeviceBuffer allocate(long bytes, String mend) {
    requireNoRecording();
    return new DeviceBuffer(context, bytes, mend);
  }

  PinnedBuffer allocateOnHost(long bytes) {
    requireNoRecording();
    return new PinnedBuffer(context, bytes);
  }

  /** Records what the calling thread does meanwhile; another recording waits for its end. */
  Graph capture(Runnable work) {
    synchronized (recordings) {
      recorder = Thread.currentThread();
      try {
        return Graph.capture(recordings, work);
      } finally {
        recorder = null;
      }
    }
  }

  private void requireNoRecording() {
    if (recorder == Thread.currentThread()) {
      throw new IllegalStateException(
          "recorded work neither allocates nor waits nor copies arrays: copy by buffers of"
              + " allocateOnHost");
    }
  }

  void launch(Graph graph) {
    graph.launch(stream);
  }

  /** Waits for the stream. */
  void synchronize() {
    requireNoRecording();
    stream.synchronize();
  }

  /** The same for who frees memory: a device that is lost does nothing with it any more. */
  void await() {
    try {
      stream.synchronize();
    } catch (NativeException e) {
      // Whoever works with this device is told.
    }
  }

  /** Queues a copy from page-locked memory, which must stay as it is until it is done. */
  void putPinned(DeviceBuffer to, long at, MemorySegment source, long bytes) {
    to.copyFrom(source, 0, at, bytes, current());
  }

  /** Queues a copy to page-locked memory. */
  void getPinned(DeviceBuffer source, long from, MemorySegment to, long bytes) {
    source.copyTo(to, 0, from, bytes, current());
  }

  /** Copies from the host in stream order; the source may change at once. */
  synchronized void put(DeviceBuffer to, long at, MemorySegment source, long from, long bytes) {
    requireNoRecording();
    for (long done = 0; done < bytes; ) {
      long part = Math.min(bytes - done, CHUNK);
      if (used + part > CHUNK) {
        sent[half].record(stream);
        half = 1 - half;
        used = 0;
        sent[half].synchronize();
      }
      long staged = half * CHUNK + used;
      MemorySegment.copy(source, from + done, up.segment(), staged, part);
      to.copyFrom(up.segment(), staged, at + done, part, stream);
      used += part;
      done += part;
    }
  }

  /**
   * Copies to the host; waits for the stream.
   *
   * @param queue throws what was found wrong by then, before the target is touched
   */
  void get(DeviceBuffer source, long from, MemorySegment to, long at, long bytes, CudaQueue queue) {
    requireNoRecording();
    // Not the lock of products and of copies to the device, which need not wait for this one.
    synchronized (down) {
      if (bytes == 0) {
        stream.synchronize();
        queue.raise();
      }
      for (long done = 0; done < bytes; ) {
        long part = Math.min(bytes - done, CHUNK);
        source.copyTo(down.segment(), 0, from + done, part, stream);
        stream.synchronize();
        queue.raise();
        MemorySegment.copy(down.segment(), 0, to, at + done, part);
        done += part;
      }
    }
  }

  /** Copies within the device in stream order. */
  void copy(DeviceBuffer to, long at, DeviceBuffer source, long from, long bytes) {
    to.copyFrom(source, from, at, bytes, current());
  }

  void fill(DeviceBuffer to, long from, long bytes, byte value) {
    to.fill(from, bytes, value, current());
  }
}
