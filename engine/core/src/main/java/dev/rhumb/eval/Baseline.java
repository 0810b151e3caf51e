package dev.rhumb.eval;

import dev.rhumb.data.Sequences;
import java.util.Arrays;
import java.util.BitSet;

/**
 * What baselines share: a list is filled from the history's own candidates, best first, then with
 * the most popular items, and never holds an item of the history.
 */
abstract class Baseline implements Ranker {
  /** What it was fitted to. */
  final ItemCounts counts;

  Baseline(ItemCounts counts) {
    this.counts = counts;
  }

  @Override
  public final int items() {
    return counts.items();
  }

  /** A list that is being filled. */
  static final class Places {
    private final int[] list;
    private final float[] scores;
    private final BitSet taken;
    private int filled;

    private Places(int[] list, float[] scores, BitSet taken) {
      this.list = list;
      this.scores = scores;
      this.taken = taken;
    }

    /** Whether an item is neither in the history nor in the list. */
    boolean free(int item) {
      return !taken.get(item);
    }

    /** How many places are left. */
    int left() {
      return list.length - filled;
    }

    /** Whether there is no place left. */
    boolean full() {
      return filled == list.length;
    }

    /** Appends an item unless it is not free. */
    void add(int item, float score) {
      if (free(item)) {
        taken.set(item);
        list[filled] = item;
        scores[filled++] = score;
      }
    }
  }

  /**
   * Fills a list with the candidates of a history, best first, as far as there are any.
   *
   * @param history the items, oldest first, from 0 up to {@code length}
   * @param places the list, of which nothing is filled
   */
  abstract void rank(int[] history, int length, Places places);

  /** The score of the most popular item where a baseline has no candidates left. */
  float popularityScore(int item) {
    return 0;
  }

  @Override
  public final int[][] recommend(Sequences histories, int k, float[][] scores) {
    if (histories.dataset().items() != items()) {
      throw new IllegalArgumentException(
          "the histories are of "
              + histories.dataset().items()
              + " items, the baseline was fitted to "
              + items()
              + "; fit it to the same dataset");
    }
    int[][] lists = new int[histories.count()][k];
    int[] history = new int[ItemCounts.longest(histories)];
    BitSet taken = new BitSet(items() + 1);
    for (int i = 0; i < lists.length; i++) {
      int length = histories.copyLast(i, history.length, history, 0);
      float[] values = new float[k];
      Arrays.fill(values, Float.NEGATIVE_INFINITY);
      taken.clear();
      for (int p = 0; p < length; p++) {
        taken.set(history[p]);
      }
      Places places = new Places(lists[i], values, taken);
      rank(history, length, places);
      for (int at = 0; !places.full() && at < items(); at++) {
        int item = counts.byPopularity(at);
        places.add(item, popularityScore(item));
      }
      if (scores != null) {
        scores[i] = values;
      }
    }
    return lists;
  }
}
