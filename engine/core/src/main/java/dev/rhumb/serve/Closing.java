package dev.rhumb.serve;

import java.util.Deque;

/** Closes several things, the last acquired first, every one of them even if one fails. */
final class Closing {
  private Closing() {}

  /**
   * @param cause to which failures are added; when null, the first failure is thrown at the end
   */
  static void all(Deque<AutoCloseable> things, Throwable cause) {
    Throwable first = cause;
    while (!things.isEmpty()) {
      try {
        things.pop().close();
      } catch (Exception e) {
        if (first == null) {
          first = e;
        } else {
          first.addSuppressed(e);
        }
      }
    }
    if (cause == null && first != null) {
      throw first instanceof RuntimeException unchecked
          ? unchecked
          : new IllegalStateException(first);
    }
  }
}
