package dev.rhumb.serve;

/**
 * Runs a request path until the compiler is done with it. What runs uncompiled is slow and, as far
 * as it works on vectors, makes garbage: so it is done when a batch of rounds allocates nothing and
 * takes no less time than those before it; where batches go on allocating the same, some seconds
 * later.
 */
final class WarmUp {
  /** Rounds at least: what a round calls once is compiled to the end after 5,000 calls. */
  private static final int LEAST_ROUNDS = 6_000;

  /** Nanoseconds after which fewer rounds do, where each takes long. */
  private static final long LONG_ENOUGH = 3_000_000_000L;

  /** Nanoseconds for which nothing may have changed: the compiler works in the background. */
  private static final long STEADY = 500_000_000L;

  /** The same where rounds allocate, as they always do while a recorder takes down events. */
  private static final long STEADY_GARBAGE = 5_000_000_000L;

  /** Nanoseconds at most, about. */
  private static final long MOST = 60_000_000_000L;

  /** What counts as less time, and as fewer bytes. */
  private static final double LESS = 0.97;

  private WarmUp() {}

  /**
   * Runs batches until the compiler is done.
   *
   * @param rounds that a batch has
   */
  static void run(Runnable batch, int rounds) {
    long start = System.nanoTime();
    long changed = start;
    long best = Long.MAX_VALUE;
    long fewest = Long.MAX_VALUE;
    long now = start;
    long done = 0;
    boolean steady;
    do {
      long from = now;
      long bytes = allocated();
      batch.run();
      bytes = allocated() - bytes;
      now = System.nanoTime();
      done += rounds;
      boolean again = bytes > 0 && fewest == 0;
      if (again || bytes < LESS * fewest || now - from < LESS * best) {
        changed = now;
      }
      best = Math.min(best, now - from);
      fewest = Math.min(fewest, bytes);
      steady = now - changed >= (bytes > 0 ? STEADY_GARBAGE : STEADY);
    } while (now - start < MOST
        && !(steady && (done >= LEAST_ROUNDS || now - start >= LONG_ENOUGH)));
  }

  /**
   * Bytes that the current thread has allocated on the heap so far; always 0 where the JVM does not
   * count them, or comes without the module jdk.management.
   */
  static long allocated() {
    try {
      return Counter.BEAN == null ? 0 : Counter.BEAN.getCurrentThreadAllocatedBytes();
    } catch (LinkageError e) {
      return 0;
    }
  }

  /** A class of its own: it loads only where the module is there. */
  private static final class Counter {
    static final com.sun.management.ThreadMXBean BEAN = bean();

    private static com.sun.management.ThreadMXBean bean() {
      return java.lang.management.ManagementFactory.getThreadMXBean()
                  instanceof com.sun.management.ThreadMXBean bean
              && bean.isThreadAllocatedMemorySupported()
              && bean.isThreadAllocatedMemoryEnabled()
          ? bean
          : null;
    }
  }
}
