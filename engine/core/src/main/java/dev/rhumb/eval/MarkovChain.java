package dev.rhumb.eval;

import dev.rhumb.data.Sequences;
import java.util.Arrays;

/**
 * A Markov chain of first order: what followed the last item of the history most often.
 *
 * <p>n(a, b) counts the places of the training sequences at which item b comes directly after item
 * a. The candidates for a history that ends with a are the items with n(a, b) &gt; 0, by n(a, b)
 * descending; of the same count, the more popular comes first (interactions in training), then the
 * lower number. After them, and where a was never left in training, come all other items by
 * popularity. There is no smoothing beside this back-off. A score is the count, 0 for an item by
 * popularity alone.
 *
 * <p>Fitting takes O(S log S) time for S training interactions at worst, and 4 bytes for each; what
 * is kept is 8 bytes for each pair that occurs. A list takes time in its own length.
 */
public final class MarkovChain extends Baseline {
  // The successors of item a, best first, are successors[starts[a] .. starts[a + 1]].
  private final int[] starts;
  private final int[] successors;
  private final int[] times;

  private MarkovChain(ItemCounts counts, int[] starts, int[] successors, int[] times) {
    super(counts);
    this.starts = starts;
    this.successors = successors;
    this.times = times;
  }

  /**
   * Counts what follows what.
   *
   * @throws ArithmeticException when there are 2^31 interactions or more
   */
  public static MarkovChain fit(Sequences train) {
    return fit(train, ItemCounts.of(train));
  }

  /** Counts, with the popularity counted already. */
  public static MarkovChain fit(Sequences train, ItemCounts counts) {
    int[] sequence = new int[ItemCounts.longest(train)];
    int v = counts.items();
    int[] ends = new int[v + 2];
    for (int i = 0; i < train.count(); i++) {
      int length = train.copyLast(i, sequence.length, sequence, 0);
      for (int p = 0; p + 1 < length; p++) {
        ends[sequence[p] + 1]++;
      }
    }
    for (int item = 0; item <= v; item++) {
      ends[item + 1] = Math.addExact(ends[item], ends[item + 1]);
    }
    // Each occurrence by its successor's place in the order of popularity, so that one sort of
    // ints both groups equal successors and settles ties.
    int[] place = new int[v + 1];
    for (int at = 0; at < v; at++) {
      place[counts.byPopularity(at)] = at;
    }
    int[] followed = new int[ends[v + 1]];
    int[] next = ends.clone();
    for (int i = 0; i < train.count(); i++) {
      int length = train.copyLast(i, sequence.length, sequence, 0);
      for (int p = 0; p + 1 < length; p++) {
        followed[next[sequence[p]]++] = place[sequence[p + 1]];
      }
    }
    int[] starts = new int[v + 2];
    int pairs = 0;
    long[] row = new long[v];
    int[] times = new int[followed.length];
    for (int item = 0; item <= v; item++) {
      Arrays.sort(followed, ends[item], ends[item + 1]);
      int distinct = 0;
      for (int from = ends[item], to = from; from < ends[item + 1]; from = to) {
        while (to < ends[item + 1] && followed[to] == followed[from]) {
          to++;
        }
        // Ascending order of these longs is: count descending, then popularity.
        row[distinct++] = (long) -(to - from) << 32 | followed[from];
      }
      Arrays.sort(row, 0, distinct);
      // What is written never passes what is still to be read.
      for (int r = 0; r < distinct; r++, pairs++) {
        followed[pairs] = counts.byPopularity((int) row[r]);
        times[pairs] = (int) -(row[r] >> 32);
      }
      starts[item + 1] = pairs;
    }
    return new MarkovChain(
        counts, starts, Arrays.copyOf(followed, pairs), Arrays.copyOf(times, pairs));
  }

  @Override
  void rank(int[] history, int length, Places places) {
    int last = history[length - 1];
    for (int at = starts[last]; at < starts[last + 1] && !places.full(); at++) {
      places.add(successors[at], times[at]);
    }
  }
}
