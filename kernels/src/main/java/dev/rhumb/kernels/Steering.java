package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import java.lang.foreign.MemorySegment;

/**
 * The edits of one row's activations: which features they change, and by how much. It works on the
 * row's best features alone, so that its cost follows K and the edits, not the dictionary.
 *
 * <p>Threads: one at a time. Allocates only when there are more edits or kept features than ever.
 */
final class Steering {
  private EditTable edits;
  private SimdPackedEncoder encoder;
  private int kept;
  private int best;

  // Of each edit: its feature's score before it, NaN where unknown, and the activations.
  private float[] scores = new float[0];
  private float[] before = new float[0];
  private float[] after = new float[0];

  // The selection after edits of pre-activations, in the total order.
  private int[] chosen = new int[0];
  private float[] chosenScores = new float[0];

  // What is written. Of each feature its number in the high half and its place in factors.
  private long[] order = new long[0];
  private float[] changes = new float[0];
  private int count;

  // The same by address, features ascending.
  private long features;
  private long factors;

  /** Bytes of memory for rows of up to {@code best} features. */
  static long bytes(int best, int edits) {
    return 8L * Math.addExact(best, edits);
  }

  /**
   * Takes up a table for the rows to come.
   *
   * @param best features of a row's encode: K, and one more for each edit before the selection
   */
  void start(EditTable edits, int kept, int best, SimdPackedEncoder encoder, long memory) {
    this.edits = edits;
    this.kept = kept;
    this.best = best;
    this.encoder = encoder;
    if (after.length < edits.count()) {
      scores = new float[edits.count()];
      before = new float[edits.count()];
      after = new float[edits.count()];
    }
    if (chosen.length < kept) {
      chosen = new int[kept];
      chosenScores = new float[kept];
    }
    int most = Math.addExact(best, edits.count());
    if (order.length < most) {
      order = new long[most];
      changes = new float[most];
    }
    features = memory;
    factors = memory + most * 4L;
  }

  /** Drops what it refers to. */
  void end() {
    edits = null;
    encoder = null;
  }

  /**
   * Edits a row: afterwards {@link #write} writes it.
   *
   * @param indices the best features of the row in the total order, their scores beside them
   * @param x the row
   */
  void row(int row, long indices, long scores, long x) {
    findEdited(indices, scores);
    boolean preSelect = edits.stage() == EditTable.Stage.PRE_SELECT;
    int staying = preSelect ? editScores(row, indices, scores, x) : editActivations(row);
    count = 0;
    int unedited = 0;
    for (int i = 0; i < best; i++) {
      int feature = getInt(indices + i * 4L);
      if (edits.find(feature) < 0) {
        float activation = Math.max(get(scores + i * 4L), 0);
        put(feature, i < kept ? activation : 0, unedited < staying ? activation : 0);
        unedited++;
      }
    }
    for (int e = 0; e < edits.count(); e++) {
      put(edits.feature(e), before[e], after[e]);
    }
    sort();
  }

  private void findEdited(long indices, long scores) {
    for (int e = 0; e < edits.count(); e++) {
      int at = find(edits.feature(e), indices, best);
      this.scores[e] = at < 0 ? Float.NaN : get(scores + at * 4L);
      before[e] = at < 0 || at >= kept ? 0 : Math.max(this.scores[e], 0);
    }
  }

  /** The edits after the selection; how many of the unedited best features stay: all. */
  private int editActivations(int row) {
    for (int e = 0; e < edits.count(); e++) {
      after[e] = requireNumber("steer", row, edits.feature(e), edits.apply(e, before[e]));
    }
    return best;
  }

  /** The edits before the selection; how many of the unedited best features are chosen then. */
  private int editScores(int row, long indices, long scores, long x) {
    int n = 0;
    for (int i = 0; i < best && n < kept; i++) {
      int feature = getInt(indices + i * 4L);
      if (edits.find(feature) < 0) {
        chosen[n] = feature;
        chosenScores[n++] = get(scores + i * 4L);
      }
    }
    for (int e = 0; e < edits.count(); e++) {
      int feature = edits.feature(e);
      float score = Float.isNaN(this.scores[e]) ? score(feature, x) : this.scores[e];
      n = insert(n, feature, requireNumber("steer", row, feature, edits.apply(e, score)));
      after[e] = 0;
    }
    int unedited = 0;
    for (int i = 0; i < n; i++) {
      int e = edits.find(chosen[i]);
      if (e < 0) {
        unedited++;
      } else {
        after[e] = Math.max(chosenScores[i], 0);
      }
    }
    return unedited;
  }

  private void put(int feature, float before, float after) {
    boolean delta = edits.write() == EditTable.Write.DELTA;
    float factor = delta ? after - before : after;
    // Infinite activations may stay as they are; their difference would be NaN.
    if (factor != 0 && !(delta && after == before)) {
      order[count] = (long) feature << 32 | count;
      changes[count++] = factor;
    }
  }

  /** By feature. Shell's sort: Arrays.sort allocates. */
  private void sort() {
    for (int gap = count / 2; gap > 0; gap /= 2) {
      for (int i = gap; i < count; i++) {
        long moving = order[i];
        int at = i;
        for (; at >= gap && order[at - gap] > moving; at -= gap) {
          order[at] = order[at - gap];
        }
        order[at] = moving;
      }
    }
    for (int i = 0; i < count; i++) {
      setInt(features + i * 4L, (int) (order[i] >>> 32));
      set(factors + i * 4L, changes[(int) order[i]]);
    }
  }

  private static int find(int feature, long indices, int n) {
    for (int i = 0; i < n; i++) {
      if (getInt(indices + i * 4L) == feature) {
        return i;
      }
    }
    return -1;
  }

  /** The score of a feature by the chain of the contract. */
  private float score(int feature, long x) {
    int width = encoder.width();
    long bias = encoder.inputBias.segment().address();
    long at =
        encoder.panels.segment().address()
            + feature / PANEL * ScorePanels.bytes(width)
            + feature % PANEL * 4L;
    float score = get(at);
    for (int d = 0; d < width; d++) {
      at += PANEL * 4L;
      score = Math.fma(get(x + d * 4L) - get(bias + d * 4L), get(at), score);
    }
    return score;
  }

  private static float requireNumber(String operation, int row, int feature, float edited) {
    if (Float.isNaN(edited)) {
      throw new ArithmeticException(
          operation + ": row " + row + ": the score of feature " + feature + " is NaN");
    }
    return edited;
  }

  /** Puts a feature into the chosen ones if it is among the K best of them; how many there are. */
  private int insert(int n, int feature, float score) {
    int at = n;
    while (at > 0 && precedes(feature, score, at - 1)) {
      at--;
    }
    if (at == kept) {
      return n;
    }
    int moved = Math.min(n, kept - 1) - at;
    System.arraycopy(chosen, at, chosen, at + 1, moved);
    System.arraycopy(chosenScores, at, chosenScores, at + 1, moved);
    chosen[at] = feature;
    chosenScores[at] = score;
    return Math.min(n + 1, kept);
  }

  private boolean precedes(int feature, float score, int at) {
    return score > chosenScores[at] || (score == chosenScores[at] && feature < chosen[at]);
  }

  /**
   * Edits a row's activations after the selection: afterwards {@link #write} writes it.
   *
   * @param indices the row's list of {@code n}
   * @param values their activations
   */
  void rowListed(int row, int n, long indices, long values) {
    count = 0;
    for (int i = 0; i < n; i++) {
      int feature = getInt(indices + i * 4L);
      if (edits.find(feature) < 0) {
        put(feature, get(values + i * 4L), get(values + i * 4L));
      }
    }
    for (int e = 0; e < edits.count(); e++) {
      int feature = edits.feature(e);
      int at = find(feature, indices, n);
      float activation = at < 0 ? 0 : get(values + at * 4L);
      float edited = edits.apply(e, activation);
      put(feature, activation, requireNumber("applyEdits", row, feature, edited));
    }
    sort();
  }

  /**
   * Edits a row whose features fire by thresholds: afterwards {@link #write} writes it.
   *
   * @param indices the row's list of {@code n}, ascending
   * @param values their activations
   * @param x the row
   */
  void rowAbove(int row, SimdThresholds thresholds, int n, long indices, long values, long x) {
    boolean preSelect = edits.stage() == EditTable.Stage.PRE_SELECT;
    count = 0;
    int next = 0;
    for (int e = 0; e < edits.count(); e++) {
      int feature = edits.feature(e);
      for (; next < n && getInt(indices + next * 4L) < feature; next++) {
        float activation = get(values + next * 4L);
        put(getInt(indices + next * 4L), activation, activation);
      }
      boolean listed = next < n && getInt(indices + next * 4L) == feature;
      float activation = listed ? get(values + next * 4L) : 0;
      next += listed ? 1 : 0;
      float edited = edits.apply(e, preSelect ? score(feature, x) : activation);
      requireNumber("steerAbove", row, feature, edited);
      put(feature, activation, preSelect ? thresholds.activation(feature, edited) : edited);
    }
    for (; next < n; next++) {
      float activation = get(values + next * 4L);
      put(getInt(indices + next * 4L), activation, activation);
    }
    for (int i = 0; i < count; i++) {
      setInt(features + i * 4L, (int) (order[i] >>> 32));
      set(factors + i * 4L, changes[i]);
    }
  }

  /** Writes the row: {@code to} may be {@code x}. */
  void write(int width, long wDec, long bDec, long x, long to) {
    boolean delta = edits.write() == EditTable.Write.DELTA;
    if (count == 0) {
      MemorySegment.copy(Simd.MEMORY, delta ? x : bDec, Simd.MEMORY, to, width * 4L);
    } else {
      SparseRows.combine(count, features, factors, wDec, width, delta ? x : bDec, to);
    }
  }
}
