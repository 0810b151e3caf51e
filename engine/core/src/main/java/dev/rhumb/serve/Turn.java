package dev.rhumb.serve;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * Whose turn it is in what serves one thread at a time and any thread may close. Nobody ever waits:
 * a call that comes while another is under way is refused, and closing leaves it to that one to
 * free the memory at its end. A turn costs two atomic exchanges that no other thread contends for.
 */
final class Turn {
  private static final int IDLE = 0;
  private static final int BUSY = 1;
  private static final int CLOSED = 2;

  private final String what;
  private final Runnable free;
  private final AtomicInteger state = new AtomicInteger(IDLE);

  /**
   * @param what is served, to name it in a refusal
   * @param free frees its memory; run once
   */
  Turn(String what, Runnable free) {
    this.what = what;
    this.free = free;
  }

  /**
   * Begins a call.
   *
   * @throws IllegalStateException when it is closed, or another call is under way
   */
  void enter() {
    if (!state.compareAndSet(IDLE, BUSY)) {
      throw new IllegalStateException(
          state.get() == CLOSED
              ? "the " + what + " is closed"
              : "another thread's call is under way in this "
                  + what
                  + "; give each thread one of its own");
    }
  }

  /** Ends a call. */
  void exit() {
    if (!state.compareAndSet(BUSY, IDLE)) {
      free.run(); // It was closed meanwhile.
    }
  }

  /** Refuses calls from now on; closing twice is harmless. */
  void close() {
    if (state.getAndSet(CLOSED) == IDLE) {
      free.run();
    }
  }
}
