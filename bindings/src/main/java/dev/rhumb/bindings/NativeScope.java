package dev.rhumb.bindings;

import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Owns what is put in and closes it in reverse order, all of it, even where one close fails.
 *
 * <p>For one thread at a time.
 *
 * <pre>{@code
 * NativeScope scope = new NativeScope();
 * try {
 *   stream = scope.add(new Stream(context));
 *   weights = scope.add(new DeviceBuffer(context, bytes, mend));
 * } catch (Throwable e) {
 *   throw scope.closeAfter(e);
 * }
 * }</pre>
 */
public final class NativeScope implements AutoCloseable {
  private final Deque<AutoCloseable> owned = new ArrayDeque<>();
  private boolean closed;

  /** Makes an empty scope. */
  public NativeScope() {}

  /**
   * Puts something in.
   *
   * @return the same
   * @throws IllegalStateException where the scope is closed; {@code resource} is closed then too
   */
  public <T extends AutoCloseable> T add(T resource) {
    if (closed) {
      throw unchecked(closing(resource, new IllegalStateException("this scope is closed")));
    }
    owned.push(resource);
    return resource;
  }

  /**
   * Closes everything, the last first. A second call does nothing.
   *
   * @throws RuntimeException the first failure, with the others as suppressed ones
   */
  @Override
  public void close() {
    closed = true;
    Throwable failure = null;
    while (!owned.isEmpty()) {
      failure = closing(owned.pop(), failure);
    }
    if (failure != null) {
      throw unchecked(failure);
    }
  }

  /**
   * Closes everything because of a failure, which gets what fails meanwhile as suppressed ones.
   *
   * @return {@code failure}, to be thrown; a checked one is wrapped
   */
  public RuntimeException closeAfter(Throwable failure) {
    closed = true;
    while (!owned.isEmpty()) {
      closing(owned.pop(), failure);
    }
    return unchecked(failure);
  }

  /** Closes one; the first failure of all, which has the others as suppressed ones. */
  private static Throwable closing(AutoCloseable resource, Throwable failure) {
    try {
      resource.close();
    } catch (Throwable e) {
      if (failure == null) {
        return e;
      }
      if (failure != e) {
        failure.addSuppressed(e);
      }
    }
    return failure;
  }

  private static RuntimeException unchecked(Throwable failure) {
    if (failure instanceof Error error) {
      throw error;
    }
    return failure instanceof RuntimeException known ? known : new IllegalStateException(failure);
  }
}
