package dev.rhumb.kernels;

/**
 * One opened backend: where its memory comes from, and its operations by family.
 *
 * <p>Threads: one caller at a time. An instance owns its scratch memory and its worker threads,
 * which sleep between calls; {@link #fork} makes a sibling for another caller over the same device.
 * Buffers may be shared among siblings.
 *
 * <p>Results: the same inputs give the same bits on the same backend, whatever the number of
 * threads.
 *
 * <p>Every operation checks its arguments before it touches memory, and refuses with an {@link
 * IllegalArgumentException} that names the operation, the argument and its bounds; a closed buffer
 * or instance is an {@link IllegalStateException}. Matrices are row-major; a stride is the distance
 * between rows in elements and is at least the number of columns. Unless an operation says
 * otherwise, an output must not overlap an input. What is wrong with data on a GPU, not with
 * arguments, is told later: {@link #finish}.
 */
public abstract class Kernels implements AutoCloseable {
  Kernels() {}

  /**
   * Opens the backend that the setting {@code rhumb.backend} names ({@code auto}, {@code scalar},
   * {@code simd}, {@code cuda}; default {@code auto}: the fastest that runs here) with the number
   * of threads that {@code rhumb.threads} gives (default: the processors of this machine).
   *
   * @throws BackendUnavailableException when a backend was asked for by name and cannot run; it
   *     carries every reason
   */
  public static Kernels open() {
    return Backends.open(Settings.get("rhumb.backend"), 0);
  }

  /**
   * Opens a backend.
   *
   * @param threads how many threads share the work of one call, the caller's among them; 0 for the
   *     setting's
   * @throws BackendUnavailableException when it cannot run here; it carries every reason
   */
  public static Kernels open(Backend backend, int threads) {
    return Backends.open(backend.label(), threads);
  }

  /** Opens the fastest backend that runs on the CPU, with the setting's number of threads. */
  public static Kernels openOnHost() {
    return Backends.openOnHost(0);
  }

  /** What each backend says of this machine: whether it runs, and if not, why and what mends it. */
  public static java.util.List<BackendReport> report() {
    return Backends.report();
  }

  /** Which backend this is. */
  public abstract Backend backend();

  /** Threads that share the work of one call. */
  public abstract int threads();

  /** One line for logs: backend, width, threads. */
  public abstract String describe();

  /** Whether this backend works on host memory, so that a mapped file can be used in place. */
  public final boolean usesHostMemory() {
    return backend() != Backend.CUDA;
  }

  /** A zeroed buffer on this backend's device; the caller closes it. */
  public abstract Buffer allocate(DType dtype, long count);

  /**
   * A zeroed buffer in the host's memory from which, and to which, the device copies without a
   * stop: {@link Buffer#copyFrom} between it and a buffer of these kernels is queued like any other
   * work, and its content may be read or changed after {@link #finish}. Operations take it too, and
   * then read or write it over the bus: for results of a few hundred bytes that spares the copy. On
   * the host it is a buffer like others. The caller closes it.
   */
  public Buffer allocateOnHost(DType dtype, long count) {
    return allocate(dtype, count);
  }

  /**
   * Records work for running it again: operations of these kernels and copies to and from buffers
   * of {@link #allocateOnHost}, over buffers that stay where they are. Their arguments are those of
   * now; what is to change from run to run stands in buffers, edits of features too ({@link
   * EditTable#readFrom}). The work runs once or twice while it is recorded. On the host a run calls
   * it.
   *
   * @param work the same operations whenever it is called; it neither waits nor allocates
   */
  public Recording record(Runnable work) {
    work.run();
    return new Recording() {
      @Override
      public void run() {
        work.run();
      }

      @Override
      public void close() {}
    };
  }

  /**
   * A sibling over the same device with its own scratch memory and threads; the caller closes it.
   */
  public abstract Kernels fork(int threads);

  /** Matrix products and reductions. */
  public abstract Dense dense();

  /** Element-wise and row-wise layers of a transformer. */
  public abstract Layers layers();

  /** Causal attention over packed sequences. */
  public abstract Attention attention();

  /** Losses over the whole catalogue. */
  public abstract Loss loss();

  /** Parameter updates. */
  public abstract Optimizer optimizer();

  /** Sparse autoencoders. */
  public abstract Sae sae();

  /** Scores and exact top-k over a catalogue. */
  public abstract Ranking ranking();

  /**
   * Waits until all work of this instance is done. Backends on the host are done when a call
   * returns; on a GPU a call returns when its work is queued, and what the device finds wrong with
   * data (an index out of range, a score that is NaN) is thrown here or by the next {@link
   * Buffer#get}, whichever comes first.
   */
  public void finish() {}

  /** Ends the worker threads and frees scratch memory. Buffers stay. Closing twice is harmless. */
  @Override
  public abstract void close();
}
