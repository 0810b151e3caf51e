package dev.rhumb.kernels;

import java.lang.foreign.ValueLayout;

/**
 * Argument checks shared by the operation families. Each names the operation, the argument, and
 * what was needed.
 */
final class Check {
  private static final float BELOW_ONE = Math.nextDown(1f);

  private Check() {}

  static void that(boolean holds, String operation, String message) {
    if (!holds) {
      throw new IllegalArgumentException(operation + ": " + message);
    }
  }

  /** A count from {@code least} up to what fits in an int-indexed loop. */
  static void count(String operation, String name, long value, long least) {
    within(operation, name, value, least, Integer.MAX_VALUE - 64);
  }

  /**
   * A number within bounds. Its message is made only for a refusal, so that a call is garbage-free;
   * {@link #that} is for messages that are there already.
   */
  static void within(String operation, String name, long value, long least, long most) {
    if (value < least || value > most) {
      throw new IllegalArgumentException(
          operation
              + ": "
              + name
              + " = "
              + value
              + ", but it must be from "
              + least
              + " to "
              + most);
    }
  }

  /** A number within bounds, which NaN is not. */
  static void within(String operation, String name, double value, double least, double most) {
    if (!(value >= least && value <= most)) {
      throw new IllegalArgumentException(
          operation
              + ": "
              + name
              + " = "
              + value
              + ", but it must be from "
              + least
              + " to "
              + most);
    }
  }

  /** How many elements a vector has, which may be more than an int holds. */
  static void elements(String operation, long count) {
    within(operation, "count", count, 0, Long.MAX_VALUE);
  }

  /** A probability of dropout: from 0 to below 1. */
  static void dropout(String operation, float p) {
    within(operation, "p", p, 0, BELOW_ONE);
  }

  /** A vector of at least {@code elements}. */
  static void vector(String operation, String name, Buffer buffer, DType dtype, long elements) {
    if (buffer == null) {
      throw new IllegalArgumentException(operation + ": " + name + " is missing");
    }
    buffer.requireOpen();
    if (buffer.dtype() != dtype) {
      throw new IllegalArgumentException(
          operation + ": " + name + " holds " + buffer.dtype() + ", not " + dtype);
    }
    if (buffer.count() < elements) {
      throw new IllegalArgumentException(
          operation
              + ": "
              + name
              + " has "
              + buffer.count()
              + " elements, but "
              + elements
              + " are needed");
    }
  }

  /** A float matrix of {@code rows} x {@code cols}, rows {@code stride} elements apart. */
  static void matrix(
      String operation, String name, Buffer buffer, long rows, long cols, long stride) {
    if (stride < cols || stride > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          operation
              + ": the row stride of "
              + name
              + " is "
              + stride
              + ", but a row has "
              + cols
              + " columns");
    }
    vector(
        operation,
        name,
        buffer,
        DType.F32,
        rows == 0 || cols == 0 ? 0 : (rows - 1) * stride + cols);
  }

  /**
   * Refuses an int32 index outside 0 to {@code bound - 1} among {@code rows} x {@code perRow}.
   * Backends on the host call it before they touch memory through one.
   */
  static void indices(
      String operation, String name, Buffer buffer, long rows, long perRow, int bound) {
    var segment = buffer.segment();
    for (long i = 0; i < rows * perRow; i++) {
      int index = segment.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i);
      if (index < 0 || index >= bound) {
        throw new IllegalArgumentException(
            operation
                + ": "
                + name
                + " of row "
                + i / perRow
                + " holds "
                + index
                + ", but it must be from 0 to "
                + (bound - 1));
      }
    }
  }

  /** Refuses int32 indices that do not ascend without repeats from 0 to {@code bound - 1}. */
  static void ascending(String operation, String name, Buffer buffer, long count, int bound) {
    var segment = buffer.segment();
    int before = -1;
    for (long i = 0; i < count; i++) {
      int index = segment.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i);
      if (index <= before || index >= bound) {
        throw new IllegalArgumentException(
            operation
                + ": "
                + name
                + " holds "
                + index
                + " at "
                + i
                + ", but it must ascend without repeats from 0 to "
                + (bound - 1));
      }
      before = index;
    }
  }

  /**
   * Refuses lists of features ({@link Sae}) with an index outside 0 to {@code features - 1} that is
   * not the end of its row. Backends on the host call it before they touch memory through one.
   */
  static void lists(String operation, Buffer indices, int rows, int kept, int features) {
    var segment = indices.segment();
    for (long r = 0; r < rows; r++) {
      for (long i = r * kept; i < (r + 1) * kept; i++) {
        int index = segment.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i);
        if (index == Sae.END) {
          break;
        }
        if (index < 0 || index >= features) {
          throw new IllegalArgumentException(
              operation
                  + ": indices of row "
                  + r
                  + " holds "
                  + index
                  + ", but it must be from 0 to "
                  + (features - 1));
        }
      }
    }
  }
}
