package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static dev.rhumb.kernels.Simd.get;
import static dev.rhumb.kernels.Simd.getInt;
import static dev.rhumb.kernels.Simd.set;
import static dev.rhumb.kernels.Simd.setInt;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

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

  // Activations before the edits, then those after: feature in the high half, place in the low.
  private long[] entries = new long[0];
  private float[] activations = new float[0];
  private int count;
  private int countBefore;

  // The selection after edits of pre-activations, in the total order.
  private int[] chosen = new int[0];
  private float[] chosenScores = new float[0];

  // What is written: features, ascending, and their factors.
  private long features;
  private long factors;
  private int changes;

  /** Bytes of memory for rows of {@code kept} features. */
  static long bytes(int kept, int edits) {
    return 8L * mostEntries(kept, edits);
  }

  private static int mostEntries(int kept, int edits) {
    return Math.addExact(Math.multiplyExact(2, kept), edits);
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
    int most = mostEntries(kept, edits.count());
    if (entries.length < most) {
      entries = new long[most];
      activations = new float[most];
    }
    if (chosen.length < kept) {
      chosen = new int[kept];
      chosenScores = new float[kept];
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
    count = 0;
    for (int i = 0; i < kept; i++) {
      add(getInt(indices + i * 4L), get(scores + i * 4L));
    }
    countBefore = count;
    if (edits.stage() == EditTable.Stage.PRE_SELECT) {
      editScores(row, indices, scores, x);
    } else {
      editActivations(row, indices, scores);
    }
    Arrays.sort(entries, 0, count);
    merge();
  }

  /** An activation; 0 need not be there. */
  private void add(int feature, float score) {
    if (score > 0) {
      put(feature, score);
    }
  }

  private void put(int feature, float activation) {
    entries[count] = (long) feature << 32 | count;
    activations[count++] = activation;
  }

  private void editActivations(int row, long indices, long scores) {
    for (int i = 0; i < kept; i++) {
      int feature = getInt(indices + i * 4L);
      if (edits.find(feature) < 0) {
        add(feature, get(scores + i * 4L));
      }
    }
    for (int e = 0; e < edits.count(); e++) {
      int feature = edits.feature(e);
      int at = find(feature, indices, kept);
      float before = at < 0 ? 0 : Math.max(get(scores + at * 4L), 0);
      put(feature, requireNumber(row, feature, edits.apply(e, before)));
    }
  }

  private void editScores(int row, long indices, long scores, long x) {
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
      int at = find(feature, indices, best);
      float before = at < 0 ? score(feature, x) : get(scores + at * 4L);
      n = insert(n, feature, requireNumber(row, feature, edits.apply(e, before)));
    }
    for (int i = 0; i < n; i++) {
      add(chosen[i], chosenScores[i]);
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

  private static float requireNumber(int row, int feature, float edited) {
    if (Float.isNaN(edited)) {
      throw new ArithmeticException(
          "steer: row " + row + ": the score of feature " + feature + " is NaN");
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

  /** From the sorted entries, the factors of the features that are written. */
  private void merge() {
    boolean delta = edits.write() == EditTable.Write.DELTA;
    changes = 0;
    for (int i = 0; i < count; ) {
      int feature = (int) (entries[i] >>> 32);
      float before = 0;
      float after = 0;
      for (; i < count && (int) (entries[i] >>> 32) == feature; i++) {
        int place = (int) entries[i];
        if (place < countBefore) {
          before = activations[place];
        } else {
          after = activations[place];
        }
      }
      float factor = delta ? after - before : after;
      if (factor != 0) {
        setInt(features + changes * 4L, feature);
        set(factors + changes * 4L, factor);
        changes++;
      }
    }
  }

  /** Writes the row: {@code to} may be {@code x}. */
  void write(int width, long wDec, long bDec, long x, long to) {
    boolean delta = edits.write() == EditTable.Write.DELTA;
    if (changes == 0) {
      MemorySegment.copy(Simd.MEMORY, delta ? x : bDec, Simd.MEMORY, to, width * 4L);
    } else {
      SparseRows.combine(changes, features, factors, wDec, width, delta ? x : bDec, to);
    }
  }
}
