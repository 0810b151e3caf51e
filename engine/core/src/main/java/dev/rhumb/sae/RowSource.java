package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;

/** Rows to learn from, in random order without end. */
interface RowSource extends AutoCloseable {
  /** Rows in an epoch. */
  long rows();

  /** Sets the first {@code n} rows of x (rows, D) to the next draws. */
  void draw(Buffer x, int n);

  @Override
  void close();
}
