package dev.rhumb.serve;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.CompressedItems;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import java.util.Arrays;

/**
 * The exact top k of the catalogue for one hidden state at a time, by (score descending, item
 * ascending).
 *
 * <p>Ownership: owns its workspace, which grows to the largest request's and stays; not the model
 * or the kernels. Threads: one at a time.
 */
final class TopItems implements AutoCloseable {
  /** Allowed items scored at a time: their embeddings stay in the second-level cache. */
  private static final int BLOCK = 1024;

  private final Kernels kernels;
  private final Model model;
  private final CompressedItems compressed;
  private final int[] zeroAndCount = new int[2];
  private final Buffer offsets;
  private Buffer excluded;
  private Buffer topItems;
  private Buffer topScores;

  // Of an allow-list: ids and embeddings of a block after those of padding, where seen items stand
  // in the list and in the block, and the best of the blocks before.
  private Buffer ids;
  private Buffer rows;
  private int[] places = new int[0];
  private int[] inBlock = new int[0];
  private int[] bestItems = new int[0];
  private float[] bestScores = new float[0];

  /**
   * @param compressed the model's catalogue, or null to scan its table
   * @param excluded how many items there will be to leave out, about
   */
  TopItems(Kernels kernels, Model model, CompressedItems compressed, int excluded) {
    this.kernels = kernels;
    this.model = model;
    this.compressed = compressed;
    offsets = kernels.allocate(DType.I32, 2);
    this.excluded = kernels.allocate(DType.I32, excluded);
    topItems = kernels.allocate(DType.I32, 10);
    topScores = kernels.allocate(DType.F32, 10);
    ids = kernels.allocate(DType.I32, 0);
    rows = kernels.allocate(DType.F32, 0);
  }

  /** Refuses a k that the catalogue has not. */
  static void requireCount(int k, int items) {
    if (k < 1 || k > items) {
      throw new IllegalArgumentException(
          "k = " + k + " must be from 1 to the " + items + " items of the catalogue");
    }
  }

  /**
   * Finds the k best items that are not seen and pass a filter.
   *
   * @param state (D), a hidden state after the final norm
   * @param seen items, the first {@code length}
   * @param answer set
   */
  void find(Buffer state, int k, int[] seen, int length, Filter filter, Recommendations answer) {
    int items = model.config().items();
    requireCount(k, items);
    filter.requireIn(items);
    if (topItems.count() < k) {
      topItems.close();
      topScores.close();
      topItems = kernels.allocate(DType.I32, k);
      topScores = kernels.allocate(DType.F32, k);
    }
    answer.reserve(k);
    if (filter.allows()) {
      findAllowed(state, k, seen, length, filter.items(), answer);
    } else {
      exclude(seen, length, filter.items());
      rankAll(state, k, answer.items, answer.scores);
      answer.count = count(answer.items, k);
    }
  }

  /** Takes up the seen and the denied items. */
  private void exclude(int[] seen, int length, int[] denied) {
    int all = Math.addExact(length, denied.length);
    if (excluded.count() < all) {
      excluded.close();
      excluded = kernels.allocate(DType.I32, Math.max(all, 2 * excluded.count()));
    }
    excluded.put(0, seen, 0, length);
    excluded.put(length, denied, 0, denied.length);
    zeroAndCount[1] = all;
    offsets.put(0, zeroAndCount, 0, 2);
  }

  private void rankAll(Buffer state, int k, int[] items, float[] scores) {
    if (compressed == null) {
      rank(state, model.config().items() + 1L, model.itemTable(), k, items, scores);
    } else {
      long d = model.config().width();
      kernels
          .ranking()
          .topItems(1, compressed, state, d, k, offsets, excluded, topItems, topScores);
      take(k, items, scores);
    }
  }

  private void rank(
      Buffer state, long tableRows, Buffer table, int k, int[] items, float[] scores) {
    long d = model.config().width();
    kernels
        .ranking()
        .topItems(1, d, tableRows, state, d, table, k, offsets, excluded, topItems, topScores);
    take(k, items, scores);
  }

  private void take(int k, int[] items, float[] scores) {
    topItems.get(0, items, 0, k);
    topScores.get(0, scores, 0, k);
  }

  /** How many of a list are items. */
  static int count(int[] items, int k) {
    int n = 0;
    while (n < k && items[n] != 0) {
      n++;
    }
    return n;
  }

  /** Scores the allowed items alone, block by block, and merges what is best of each. */
  private void findAllowed(
      Buffer state, int k, int[] seen, int length, int[] allowed, Recommendations answer) {
    reserve(k, length);
    int seenAllowed = 0;
    for (int i = 0; i < length; i++) {
      int place = Arrays.binarySearch(allowed, seen[i]);
      if (place >= 0) {
        places[seenAllowed++] = place;
      }
    }
    long d = model.config().width();
    answer.count = 0;
    for (int from = 0; from < allowed.length; from += BLOCK) {
      int n = Math.min(BLOCK, allowed.length - from);
      ids.put(1, allowed, from, n);
      kernels
          .layers()
          .gather(n + 1, d, ids, model.config().items() + 1L, model.itemTable(), 1, 0, rows);
      // Items of other blocks are out of the range of this one's.
      for (int i = 0; i < seenAllowed; i++) {
        inBlock[i] = places[i] - from + 1;
      }
      exclude(inBlock, seenAllowed, Filter.none().items());
      int most = Math.min(k, n);
      try {
        rank(state, n + 1L, rows, most, bestItems, bestScores);
      } catch (ArithmeticException e) {
        throw new ArithmeticException(
            "the score of one of the allowed items "
                + allowed[from]
                + " to "
                + allowed[from + n - 1]
                + " is NaN");
      }
      int found = count(bestItems, most);
      for (int i = 0; i < found; i++) {
        bestItems[i] = allowed[from + bestItems[i] - 1];
      }
      answer.merge(k, bestItems, bestScores, found);
    }
  }

  private void reserve(int k, int length) {
    if (ids.count() == 0) {
      int blockRows = Math.min(BLOCK, model.config().items()) + 1;
      ids.close();
      rows.close();
      ids = kernels.allocate(DType.I32, blockRows);
      rows = kernels.allocate(DType.F32, blockRows * (long) model.config().width());
    }
    if (places.length < length) {
      places = new int[2 * length];
      inBlock = new int[2 * length];
    }
    if (bestItems.length < k) {
      bestItems = new int[k];
      bestScores = new float[k];
    }
  }

  @Override
  public void close() {
    offsets.close();
    excluded.close();
    topItems.close();
    topScores.close();
    ids.close();
    rows.close();
  }
}
