package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;

import dev.rhumb.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Work recorded once and launched many times as a whole: the same kernels and copies, on the same
 * addresses. What it uses must stay open as long as it is launched.
 *
 * <p>Any thread may launch it, one at a time.
 */
public final class Graph extends CudaObject {
  private final MemorySegment handle;

  private Graph(CudaContext context, MemorySegment recorded) {
    super(context);
    this.handle =
        create(
            () -> {
              try (Arena arena = Arena.ofConfined()) {
                MemorySegment exec = arena.allocate(ADDRESS);
                CudaStatus.check(
                    Cuda.cuGraphInstantiateWithFlags(exec, recorded, 0),
                    "cuGraphInstantiateWithFlags");
                return exec.get(ADDRESS, 0);
              }
            });
  }

  /**
   * Records the work that {@code work} puts in the stream; none of it is done. It must only put
   * work in: allocating, freeing and waiting are refused by the driver (to a virtual thread, only
   * waiting for the stream is). The calling thread does all of it, and other threads leave the
   * stream alone.
   *
   * @throws NativeException where the recording was refused; whatever happens, the stream is as
   *     before and nothing is left behind
   */
  public static Graph capture(Stream stream, Runnable work) {
    stream.enter();
    // A virtual thread may end on another carrier than it began on, which the driver takes for
    // another thread, and meanwhile its first carrier may serve one that waits or allocates.
    int mode =
        Thread.currentThread().isVirtual()
            ? Cuda.CU_STREAM_CAPTURE_MODE_RELAXED()
            : Cuda.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL();
    CudaStatus.check(
        Cuda.cuStreamBeginCapture_v2(stream.handle(), mode), "cuStreamBeginCapture_v2");
    MemorySegment recorded = MemorySegment.NULL;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment graph = arena.allocate(ADDRESS);
      int status;
      try {
        work.run();
      } finally {
        // Also after a failure: a stream that goes on recording could not be used again.
        stream.context.bind();
        status = Cuda.cuStreamEndCapture(stream.handle(), graph);
        recorded = graph.get(ADDRESS, 0);
      }
      CudaStatus.check(status, "cuStreamEndCapture");
      return new Graph(stream.context, recorded);
    } finally {
      if (!recorded.equals(MemorySegment.NULL)) {
        Cuda.cuGraphDestroy(recorded);
      }
    }
  }

  /** Puts the recorded work in a stream. */
  public void launch(Stream stream) {
    stream.requireOpen();
    enter();
    CudaStatus.check(Cuda.cuGraphLaunch(handle, stream.handle()), "cuGraphLaunch");
  }

  @Override
  int destroy() {
    return Cuda.cuGraphExecDestroy(handle);
  }
}
