package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;

/**
 * Reads hidden states some at a time: those of pieces, in an order of the caller's. A whole reading
 * in the pieces' own order gives the same rows in the same order from every reader of them, however
 * it groups them. One thread at a time.
 */
interface RowReader extends AutoCloseable {
  /** Rows of a whole reading. */
  long rows();

  /** D. */
  int width();

  /** How many pieces there are. */
  int pieces();

  /** Starts again, to read pieces {@code order[0], order[1], ...}; null for all in their order. */
  void restart(int[] order);

  /** Reads on; false when all has been read. */
  boolean next();

  /** How many rows were read last. */
  int count();

  /** The rows that were read last, (count, D) contiguous. Owned by this reader. */
  Buffer state();

  @Override
  void close();
}
