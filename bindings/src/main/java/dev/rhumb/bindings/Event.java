package dev.rhumb.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import dev.rhumb.bindings.cuda.Cuda;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A mark in a stream, with the time at which the device came past it.
 *
 * <p>Any thread may call any method.
 */
public final class Event extends CudaObject {
  private final MemorySegment handle;

  /** Makes an event that has recorded nothing. */
  public Event(CudaContext context) {
    super(context);
    this.handle =
        create(
            () -> {
              try (Arena arena = Arena.ofConfined()) {
                MemorySegment event = arena.allocate(ADDRESS);
                CudaStatus.check(
                    Cuda.cuEventCreate(event, Cuda.CU_EVENT_DEFAULT()), "cuEventCreate");
                return event.get(ADDRESS, 0);
              }
            });
  }

  MemorySegment handle() {
    return handle;
  }

  /** Marks the work put in the stream so far; an earlier mark is forgotten. */
  public void record(Stream stream) {
    stream.requireOpen();
    enter();
    CudaStatus.check(Cuda.cuEventRecord(handle, stream.handle()), "cuEventRecord");
  }

  /**
   * Waits until the device has come past the mark.
   *
   * @throws NativeException where the work before it failed
   */
  public void synchronize() {
    enter();
    CudaStatus.check(Cuda.cuEventSynchronize(handle), "cuEventSynchronize");
  }

  /**
   * Whether the device has come past the mark.
   *
   * @throws NativeException where the work before it failed
   */
  public boolean isDone() {
    enter();
    int status = Cuda.cuEventQuery(handle);
    if (status == Cuda.CUDA_ERROR_NOT_READY()) {
      return false;
    }
    CudaStatus.check(status, "cuEventQuery");
    return true;
  }

  /** Milliseconds of the device's time from {@code start} to this event; both must be done. */
  public double millisecondsSince(Event start) {
    start.requireOpen();
    enter();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment milliseconds = arena.allocate(JAVA_FLOAT);
      CudaStatus.check(
          Cuda.cuEventElapsedTime(milliseconds, start.handle, handle), "cuEventElapsedTime");
      return milliseconds.get(JAVA_FLOAT, 0);
    }
  }

  @Override
  int destroy() {
    return Cuda.cuEventDestroy_v2(handle);
  }
}
