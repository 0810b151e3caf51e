package dev.rhumb.kernels;

import java.lang.foreign.ValueLayout;

/**
 * Scores over a catalogue and exact top-k. See {@link Kernels} for the rules that all operations
 * share.
 */
public abstract class Ranking {
  Ranking() {}

  /**
   * The k best items of each row by the score h[row].table[item], by (score descending, item
   * ascending), over items 1 to tableRows - 1 (0 is padding) without the row's excluded ones. Where
   * fewer than k are left, the rest is item 0 with score -infinity. No tensor of rows x items
   * exists. -0 equals +0.
   *
   * @param h (rows, width)
   * @param table (tableRows, width), contiguous
   * @param excludedOffsets (rows + 1) int32, ascending from 0, or null for none excluded
   * @param excluded int32 items of row r at excludedOffsets[r] up to, not including,
   *     excludedOffsets[r + 1], in any order, repeats and items out of range allowed; null exactly
   *     when the offsets are
   * @param items (rows, k) int32, set
   * @param scores (rows, k), set
   * @throws ArithmeticException when a score is NaN: it names the row
   */
  public final void topItems(
      long rows,
      long width,
      long tableRows,
      Buffer h,
      long hStride,
      Buffer table,
      long k,
      Buffer excludedOffsets,
      Buffer excluded,
      Buffer items,
      Buffer scores) {
    check(rows, width, tableRows, h, hStride, table, k, excludedOffsets, excluded, items, scores);
    KernelEvents.Launch launch = KernelEvents.begin();
    doTopItems(
        (int) rows,
        (int) width,
        (int) tableRows,
        h,
        hStride,
        table,
        (int) k,
        excludedOffsets,
        excluded,
        items,
        scores);
    KernelEvents.end(launch, "topItems", rows);
  }

  /**
   * Makes what {@link #topItems(long, CompressedItems, Buffer, long, long, Buffer, Buffer, Buffer,
   * Buffer)} scans: once for each table, which takes far longer than a scan. The caller closes it.
   *
   * @param table (tableRows, width), contiguous; it must outlive the result and not change
   */
  public final CompressedItems compress(long tableRows, long width, Buffer table) {
    String op = "compress";
    Check.count(op, "tableRows", tableRows, 1);
    Check.count(op, "width", width, 1);
    Check.matrix(op, "table", table, tableRows, width, width);
    return doCompress((int) tableRows, (int) width, table);
  }

  /**
   * The same k best items and scores, bit for bit, as {@link #topItems(long, long, long, Buffer,
   * long, Buffer, long, Buffer, Buffer, Buffer, Buffer)} finds in the table, by a scan of its
   * compressed form: bounds tell which items cannot be among the k best; the others' scores are
   * computed from the table itself. It reads about a quarter of the bytes.
   *
   * <p>Scores come from the whole table, as there, where that is faster or the bounds do not hold:
   *
   * <ul>
   *   <li>a call of many rows, which share one pass over the table;
   *   <li>a row, or a table, with a number that is not finite, or whose scores might pass 2^100,
   *       and a table of more than 8192 columns;
   *   <li>of some thousand items each part in which more than a quarter may be among the k best of
   *       the items up to there: for a k that is not small against such a part, for scores that lie
   *       closer together than the bounds, which are some 2 % of |h| |item|, and for items in
   *       rising order of score;
   *   <li>always on the scalar backend.
   * </ul>
   *
   * @param h (rows, width of the catalogue)
   * @param excludedOffsets (rows + 1) int32, ascending from 0, or null for none excluded
   * @param excluded int32 items of row r at excludedOffsets[r] up to, not including,
   *     excludedOffsets[r + 1], in any order, repeats and items out of range allowed; null exactly
   *     when the offsets are
   * @param items (rows, k) int32, set
   * @param scores (rows, k), set
   * @throws ArithmeticException when a score is NaN: it names the row
   */
  public final void topItems(
      long rows,
      CompressedItems catalogue,
      Buffer h,
      long hStride,
      long k,
      Buffer excludedOffsets,
      Buffer excluded,
      Buffer items,
      Buffer scores) {
    String op = "topItems";
    Check.that(catalogue != null, op, "catalogue is missing");
    catalogue.requireOpen();
    check(
        rows,
        catalogue.width(),
        catalogue.tableRows(),
        h,
        hStride,
        catalogue.table(),
        k,
        excludedOffsets,
        excluded,
        items,
        scores);
    KernelEvents.Launch launch = KernelEvents.begin();
    doTopItems(
        (int) rows, catalogue, h, hStride, (int) k, excludedOffsets, excluded, items, scores);
    KernelEvents.end(launch, op, rows);
  }

  private static void check(
      long rows,
      long width,
      long tableRows,
      Buffer h,
      long hStride,
      Buffer table,
      long k,
      Buffer excludedOffsets,
      Buffer excluded,
      Buffer items,
      Buffer scores) {
    String op = "topItems";
    Check.count(op, "rows", rows, 0);
    Check.count(op, "width", width, 1);
    Check.count(op, "tableRows", tableRows, 1);
    Check.count(op, "k", k, 1);
    Check.matrix(op, "h", h, rows, width, hStride);
    Check.matrix(op, "table", table, tableRows, width, width);
    Check.that(
        (excludedOffsets == null) == (excluded == null),
        op,
        "excludedOffsets and excluded go together");
    if (excluded != null) {
      Check.vector(op, "excludedOffsets", excludedOffsets, DType.I32, rows + 1);
      Check.vector(op, "excluded", excluded, DType.I32, 0);
    }
    Check.vector(op, "items", items, DType.I32, rows * k);
    Check.vector(op, "scores", scores, DType.F32, rows * k);
  }

  /** Refuses offsets that do not ascend from 0 within excluded. Backends on the host call it. */
  static void checkExcluded(int rows, Buffer excludedOffsets, Buffer excluded) {
    var segment = excludedOffsets.segment();
    int before = 0;
    for (int r = 0; r <= rows; r++) {
      int at = segment.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, r);
      if (at < before || at > excluded.count() || (r == 0 && at != 0)) {
        throw new IllegalArgumentException(
            "topItems: excludedOffsets["
                + r
                + "] = "
                + at
                + ", but they must ascend from 0 to at most the "
                + excluded.count()
                + " elements of excluded");
      }
      before = at;
    }
  }

  abstract void doTopItems(
      int rows,
      int width,
      int tableRows,
      Buffer h,
      long hStride,
      Buffer table,
      int k,
      Buffer excludedOffsets,
      Buffer excluded,
      Buffer items,
      Buffer scores);

  /** A catalogue with nothing beside its table; backends that scan something else override it. */
  CompressedItems doCompress(int tableRows, int width, Buffer table) {
    return new CompressedItems(tableRows, width, table);
  }

  /** From the table; backends that scan something else override it. */
  void doTopItems(
      int rows,
      CompressedItems catalogue,
      Buffer h,
      long hStride,
      int k,
      Buffer excludedOffsets,
      Buffer excluded,
      Buffer items,
      Buffer scores) {
    doTopItems(
        rows,
        catalogue.width(),
        catalogue.tableRows(),
        h,
        hStride,
        catalogue.table(),
        k,
        excludedOffsets,
        excluded,
        items,
        scores);
  }
}
