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
    KernelEvents.end(launch, op, rows);
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
}
