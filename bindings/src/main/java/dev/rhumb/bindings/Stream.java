package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;

import dev.rhumb.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A queue of work of a device: what is put in is done in that order, beside other streams. It does
 * not wait for the default stream.
 *
 * <p>Any thread may call any method; who needs an order between threads makes it.
 */
public final class Stream extends CudaObject {
  private final MemorySegment handle;

  /** Makes an empty stream. */
  public Stream(CudaContext context) {
    super(context);
    this.handle =
        create(
            () -> {
              try (Arena arena = Arena.ofConfined()) {
                MemorySegment stream = arena.allocate(ADDRESS);
                CudaStatus.check(
                    Cuda.cuStreamCreate(stream, Cuda.CU_STREAM_NON_BLOCKING()), "cuStreamCreate");
                return stream.get(ADDRESS, 0);
              }
            });
  }

  /** The stream as calls of kernels take it. */
  public MemorySegment pointer() {
    requireOpen();
    return handle;
  }

  MemorySegment handle() {
    return handle;
  }

  /**
   * Waits until all work put in so far is done.
   *
   * @throws NativeException where some of it failed
   */
  public void synchronize() {
    enter();
    CudaStatus.check(Cuda.cuStreamSynchronize(handle), "cuStreamSynchronize");
  }

  /**
   * Whether all work put in so far is done.
   *
   * @throws NativeException where some of it failed
   */
  public boolean isDone() {
    enter();
    int status = Cuda.cuStreamQuery(handle);
    if (status == Cuda.CUDA_ERROR_NOT_READY()) {
      return false;
    }
    CudaStatus.check(status, "cuStreamQuery");
    return true;
  }

  /** Work put in from here on waits for what the event has recorded; the caller does not. */
  public void await(Event event) {
    event.requireOpen();
    enter();
    CudaStatus.check(Cuda.cuStreamWaitEvent(handle, event.handle(), 0), "cuStreamWaitEvent");
  }

  @Override
  int destroy() {
    return Cuda.cuStreamDestroy_v2(handle);
  }
}
