package dev.rhumb.kernels;

/**
 * Work that runs again and again over the same buffers, made by {@link Kernels#record}: on a GPU a
 * CUDA graph, whose launch costs about as much as that of one kernel.
 *
 * <p>Ownership: the caller closes it before the buffers that its work uses. Threads: those of the
 * kernels that made it.
 */
public interface Recording extends AutoCloseable {
  /** Runs the work once more, in order with the other work of these kernels. */
  void run();

  /** Frees it. Closing twice is harmless. */
  @Override
  void close();
}
