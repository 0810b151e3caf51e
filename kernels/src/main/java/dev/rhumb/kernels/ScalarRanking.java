package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScalarMemory.dot;
import static dev.rhumb.kernels.ScalarMemory.getInt;
import static dev.rhumb.kernels.ScalarMemory.set;
import static dev.rhumb.kernels.ScalarMemory.setInt;

import java.util.BitSet;

/** {@link Ranking} in plain loops. */
final class ScalarRanking extends Ranking {
  private final ScalarTopK best = new ScalarTopK();
  private final BitSet barred = new BitSet();

  @Override
  void doTopItems(
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
      Buffer scores) {
    if (excluded != null) {
      checkExcluded(rows, excludedOffsets, excluded);
    }
    for (int r = 0; r < rows; r++) {
      barred.clear();
      if (excluded != null) {
        int end = getInt(excludedOffsets.segment(), r + 1);
        for (int i = getInt(excludedOffsets.segment(), r); i < end; i++) {
          int item = getInt(excluded.segment(), i);
          if (item >= 0 && item < tableRows) {
            barred.set(item);
          }
        }
      }
      best.start(k);
      for (int item = 1; item < tableRows; item++) {
        if (barred.get(item)) {
          continue;
        }
        float score =
            (float) dot(h.segment(), r * hStride, table.segment(), (long) item * width, width);
        if (Float.isNaN(score)) {
          throw new ArithmeticException(
              "topItems: row " + r + ": the score of item " + item + " is NaN");
        }
        best.offer(item, score);
      }
      for (int i = 0; i < k; i++) {
        boolean there = i < best.count();
        setInt(items.segment(), (long) r * k + i, there ? best.index(i) : 0);
        set(scores.segment(), (long) r * k + i, there ? best.value(i) : Float.NEGATIVE_INFINITY);
      }
    }
  }
}
