package dev.rhumb.kernels;

import static dev.rhumb.kernels.Simd.ceilDiv;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import java.util.Arrays;

/** Work on the lists of features that {@link Sae} describes. By address. */
final class SparseLists {
  /** Rows of a task. */
  private static final int BLOCK = 64;

  private final Workers workers;
  private final Workers.Task activateTask = this::activateBlock;
  private final Workers.Task sliceTask = this::sliceBlock;
  private final int[] counts = new int[1 << 16];

  // The arguments of the call under way.
  private int rows;
  private int kept;
  private int low;
  private int high;
  private long indices;
  private long values;
  private long toIndices;
  private long toValues;
  private SimdThresholds thresholds;

  SparseLists(Workers workers) {
    this.workers = workers;
  }

  private void take(int rows, int kept, long indices, long values, long toIndices, long toValues) {
    this.rows = rows;
    this.kept = kept;
    this.indices = indices;
    this.values = values;
    this.toIndices = toIndices;
    this.toValues = toValues;
  }

  /** {@link Sae#activate}. */
  void activate(
      int rows, int kept, long indices, long scores, SimdThresholds thresholds, long values) {
    take(rows, kept, indices, scores, indices, values);
    this.thresholds = thresholds;
    workers.run(ceilDiv(rows, BLOCK), activateTask);
  }

  private void activateBlock(int block, int worker) {
    long at = block * BLOCK * (kept * 4L);
    int count = Math.min(BLOCK, rows - block * BLOCK);
    thresholds.activate(count, kept, indices + at, values + at, toValues + at);
  }

  /** {@link Sae#sumValues}. */
  void sumValues(int rows, int kept, long indices, long values, long sums) {
    for (int r = 0; r < rows; r++) {
      long at = r * (kept * 4L);
      double total = 0;
      for (int n = SparseRows.count(indices + at, kept); n > 0; n--, at += 4) {
        total += get(values + at);
      }
      set(sums + r * 4L, (float) total);
    }
  }

  /** {@link Sae#slice}. */
  void slice(
      int rows,
      int kept,
      int low,
      int high,
      long indices,
      long values,
      long toIndices,
      long toValues) {
    take(rows, kept, indices, values, toIndices, toValues);
    this.low = low;
    this.high = high;
    workers.run(ceilDiv(rows, BLOCK), sliceTask);
  }

  private void sliceBlock(int block, int worker) {
    int end = Math.min(rows, (block + 1) * BLOCK);
    for (int r = block * BLOCK; r < end; r++) {
      long from = r * (kept * 4L);
      long to = from;
      for (int n = SparseRows.count(indices + from, kept); n > 0; n--, from += 4) {
        int feature = getInt(indices + from);
        if (feature >= low && feature < high) {
          setInt(toIndices + to, feature);
          set(toValues + to, get(values + from));
          to += 4;
        }
      }
      end(r, toIndices, to);
    }
  }

  private void end(int r, long indices, long at) {
    if (at < (r + 1) * (kept * 4L)) {
      setInt(indices + at, Sae.END);
    }
  }

  /**
   * {@link Sae#keepLargest}. The bound is found by its bits, which order as positive floats do: the
   * upper half by counting all values, the lower by counting those of that upper half.
   *
   * @return the smallest value left
   */
  float keepLargest(int rows, int kept, int count, long indices, long values) {
    take(rows, kept, indices, values, indices, values);
    int positive = count(-1);
    if (positive == 0) {
      keep(Float.POSITIVE_INFINITY, 0);
      return 0;
    }
    int left = Math.min(count, positive);
    int upper = counts.length - 1;
    while (left > counts[upper]) {
      left -= counts[upper--];
    }
    count(upper);
    int lower = counts.length - 1;
    while (left > counts[lower]) {
      left -= counts[lower--];
    }
    float bound = Float.intBitsToFloat(upper << 16 | lower);
    keep(bound, left);
    return bound;
  }

  /** Counts positive values by the upper half of their bits, or those of one by the lower. */
  private int count(int upper) {
    Arrays.fill(counts, 0);
    int positive = 0;
    for (int r = 0; r < rows; r++) {
      long at = r * (kept * 4L);
      for (int n = SparseRows.count(indices + at, kept); n > 0; n--, at += 4) {
        if (get(values + at) > 0) {
          int bits = getInt(values + at);
          if (upper < 0) {
            counts[bits >>> 16]++;
          } else if (bits >>> 16 == upper) {
            counts[bits & 0xFFFF]++;
          }
          positive++;
        }
      }
    }
    return positive;
  }

  private void keep(float bound, int ties) {
    int left = ties;
    for (int r = 0; r < rows; r++) {
      long from = r * (kept * 4L);
      long to = from;
      for (int n = SparseRows.count(indices + from, kept); n > 0; n--, from += 4) {
        float value = get(values + from);
        if (value > bound || (value == bound && left-- > 0)) {
          setInt(indices + to, getInt(indices + from));
          set(values + to, value);
          to += 4;
        }
      }
      end(r, indices, to);
    }
  }
}
