package dev.rhumb.eval;

/**
 * The best few of many scored items, in the order of the whole engine: score descending, then item
 * ascending. A binary heap whose root is the worst that is kept. One thread at a time.
 */
final class BestItems {
  private final int[] items;
  private final double[] scores;
  private int count;

  /** Keeps at most {@code most}. */
  BestItems(int most) {
    items = new int[most];
    scores = new double[most];
  }

  /** Offers an item, each at most once. */
  void offer(int item, double score) {
    if (count < items.length) {
      int at = count++;
      while (at > 0 && worse(item, score, (at - 1) / 2)) {
        move((at - 1) / 2, at);
        at = (at - 1) / 2;
      }
      set(at, item, score);
    } else if (count > 0 && !worse(item, score, 0)) {
      sink(item, score);
    }
  }

  /**
   * Takes them all out, best first.
   *
   * @param intoItems set from 0 on
   * @param intoScores likewise
   * @return how many there were
   */
  int drain(int[] intoItems, float[] intoScores) {
    int n = count;
    while (count > 0) {
      int last = --count;
      intoItems[last] = items[0];
      intoScores[last] = (float) scores[0];
      if (count > 0) {
        sink(items[count], scores[count]);
      }
    }
    return n;
  }

  /** Whether the item is worse than the one at a place. */
  private boolean worse(int item, double score, int place) {
    return score < scores[place] || score == scores[place] && item > items[place];
  }

  /** Puts an item in place of the root and restores the order below. */
  private void sink(int item, double score) {
    int at = 0;
    for (int child = 1; child < count; child = 2 * at + 1) {
      if (child + 1 < count && worse(items[child + 1], scores[child + 1], child)) {
        child++;
      }
      if (worse(item, score, child)) {
        break;
      }
      move(child, at);
      at = child;
    }
    set(at, item, score);
  }

  private void move(int from, int to) {
    set(to, items[from], scores[from]);
  }

  private void set(int at, int item, double score) {
    items[at] = item;
    scores[at] = score;
  }
}
