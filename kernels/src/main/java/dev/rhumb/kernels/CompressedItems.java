package dev.rhumb.kernels;

/**
 * A catalogue's item table together with what a backend scans in its place, made by {@link
 * Ranking#compress}: a byte for each weight and four for each item, about 0.27 of the table's own
 * bytes at D 64.
 *
 * <p>Ownership: the caller closes it; closing twice is harmless. The table stays the caller's: it
 * must outlive this object, and whoever changes it compresses it again. Threads: reading is free
 * for any number of siblings ({@link Kernels#fork}); closing needs them quiet.
 */
public class CompressedItems implements AutoCloseable {
  private final int tableRows;
  private final int width;
  private final Buffer table;

  CompressedItems(int tableRows, int width, Buffer table) {
    this.tableRows = tableRows;
    this.width = width;
    this.table = table;
  }

  /** Rows of the table: V + 1. */
  public final int tableRows() {
    return tableRows;
  }

  /** D, the width of a row. */
  public final int width() {
    return width;
  }

  /** The table itself, (tableRows, width). */
  public final Buffer table() {
    return table;
  }

  /** Refuses use after close. */
  void requireOpen() {
    table.requireOpen();
  }

  @Override
  public void close() {}
}
