package dev.rhumb.spark;

/** Checks of arguments that all jobs share, made before a job starts. */
final class Arguments {
  private Arguments() {}

  /** Refuses a length of list or a number of partitions below 1. */
  static void check(int k, int partitions) {
    if (k < 1) {
      throw new IllegalArgumentException("k = " + k + ", but it must be 1 or more");
    }
    if (partitions < 1) {
      throw new IllegalArgumentException(
          "partitions = " + partitions + ", but there must be 1 or more");
    }
  }
}
