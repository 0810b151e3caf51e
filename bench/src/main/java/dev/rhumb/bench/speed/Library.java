package dev.rhumb.bench.speed;

/**
 * A library that does {@link Task}s, within one process of its own: one workload at a time, which
 * is prepared, run and closed by one thread.
 */
public interface Library {
  /**
   * Prepares a task.
   *
   * @param threads how many share the work
   * @return the workload, which the caller closes, or null where the library does not do such work
   */
  Workload prepare(Task task, int threads);

  /** What runs here, in a few words: version, backend, width. */
  String describe();
}
