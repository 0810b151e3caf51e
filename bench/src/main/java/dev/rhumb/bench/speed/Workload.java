package dev.rhumb.bench.speed;

/**
 * A {@link Task} as one library does it, prepared: its inputs are made, its memory is allocated.
 *
 * <p>Threads: one at a time. Ownership: closing it frees what it holds.
 */
public interface Workload extends AutoCloseable {
  /** What must be put right before a run, and is no part of it. */
  default void before() {}

  /** Does the work once. */
  void run();

  /** Waits until what {@link #run} began is done; most libraries are done when it returns. */
  default void finish() {}

  /** The answer as the {@link Task} reads it, after at least one run. */
  float[] answer();

  @Override
  void close();
}
