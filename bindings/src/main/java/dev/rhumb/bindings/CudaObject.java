package dev.rhumb.bindings;

import dev.rhumb.bindings.cuda.Cuda;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.function.Supplier;

/** What is made on a context: closed once, also after the context. */
abstract sealed class CudaObject implements AutoCloseable
    permits Cublas, DeviceBuffer, Event, Graph, PinnedBuffer, Stream {
  private static final VarHandle CLOSED;

  static {
    try {
      CLOSED = MethodHandles.lookup().findVarHandle(CudaObject.class, "closed", boolean.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  final CudaContext context;
  private volatile boolean closed;

  /**
   * A subclass makes its native side with {@link #create}, as the last step that may fail.
   *
   * @throws IllegalStateException where the context is closed
   */
  CudaObject(CudaContext context) {
    context.retain();
    this.context = context;
  }

  /** Makes the native side with the context current; where that fails the context is let go. */
  final <T> T create(Supplier<T> make) {
    try {
      context.makeCurrent();
      return make.get();
    } catch (Throwable e) {
      closed = true;
      context.release();
      throw e;
    }
  }

  /** What every use begins with: refuses what is closed, and makes the context current. */
  final void enter() {
    requireOpen();
    context.makeCurrent();
  }

  final void requireOpen() {
    if (closed) {
      throw new IllegalStateException(
          "this " + getClass().getSimpleName() + " on " + context + " is closed");
    }
    context.requireOpen();
  }

  /** The context it was made on. */
  public final CudaContext context() {
    return context;
  }

  /** Whether it was closed. */
  public final boolean isClosed() {
    return closed;
  }

  /**
   * Gives the native side back. A second call does nothing; after the device is lost there is
   * nothing to give back, and that is no failure.
   */
  @Override
  public final void close() {
    if (!CLOSED.compareAndSet(this, false, true)) {
      return;
    }
    try {
      int status = context.bind();
      if (status == Cuda.CUDA_SUCCESS()) {
        status = destroy();
      }
      if (status != Cuda.CUDA_SUCCESS() && !CudaStatus.isGone(status)) {
        throw CudaStatus.failure(status, "closing a " + getClass().getSimpleName());
      }
    } finally {
      context.release();
    }
  }

  /** Gives the native side back, with the context current; the driver's status. */
  abstract int destroy();
}
