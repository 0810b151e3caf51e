package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

/** An int32 buffer under test, and what it held at first. */
final class Ints {
  final Buffer buffer;
  private final int[] was;
  private boolean output;

  Ints(Buffer buffer, int[] was) {
    this.buffer = buffer;
    this.was = was;
  }

  int was(int i) {
    return was[i];
  }

  /** The present content; the operation was allowed to write it. */
  int[] now() {
    output = true;
    return buffer.ints();
  }

  void verify() {
    if (!output) {
      assertArrayEquals(was, buffer.ints(), "an int32 input was written");
    }
  }
}
