package dev.rhumb.eval;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.Sequences;
import java.util.BitSet;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * How often each item occurs in what is trained on: the popularity that baselines rank by and that
 * metrics of novelty and popularity bias refer to. Unchangeable, so any thread may read.
 */
public final class ItemCounts {
  /**
   * The share of interactions that the short head holds: Abdollahpouri, Burke and Mobasher,
   * "Managing popularity bias in recommender systems with personalized re-ranking", FLAIRS 2019.
   */
  public static final double HEAD_SHARE = .8;

  private final Dataset dataset;
  private final int sequences;
  private final long total;
  private final int[] interactions;
  private final int[] users;
  private final int[] byPopularity;
  private final BitSet head = new BitSet();

  private ItemCounts(Sequences train) {
    dataset = train.dataset();
    sequences = train.count();
    total = train.total();
    interactions = new int[dataset.items() + 1];
    users = new int[dataset.items() + 1];
    int[] last = new int[dataset.items() + 1];
    int[] sequence = new int[longest(train)];
    for (int i = 0; i < train.count(); i++) {
      int length = train.copyLast(i, sequence.length, sequence, 0);
      for (int p = 0; p < length; p++) {
        int item = sequence[p];
        interactions[item]++;
        if (last[item] != i + 1) {
          last[item] = i + 1;
          users[item]++;
        }
      }
    }
    byPopularity =
        IntStream.rangeClosed(1, dataset.items())
            .boxed()
            .sorted(Comparator.<Integer>comparingInt(i -> -interactions[i]).thenComparing(i -> i))
            .mapToInt(Integer::intValue)
            .toArray();
    long held = 0;
    for (int i = 0; i < byPopularity.length && held < HEAD_SHARE * total; i++) {
      head.set(byPopularity[i]);
      held += interactions[byPopularity[i]];
    }
  }

  /** Counts. */
  public static ItemCounts of(Sequences train) {
    return new ItemCounts(train);
  }

  /** What the counted sequences are a view of. */
  public Dataset dataset() {
    return dataset;
  }

  /** V: how many items there are. */
  public int items() {
    return byPopularity.length;
  }

  /** How many sequences were counted: the users that were trained on. */
  public int sequences() {
    return sequences;
  }

  /** How many interactions were counted. */
  public long total() {
    return total;
  }

  /** How often {@code item} (1..V) occurs. */
  public int interactions(int item) {
    return interactions[item];
  }

  /** In how many sequences {@code item} (1..V) occurs. */
  public int users(int item) {
    return users[item];
  }

  /**
   * The items by interactions descending, then by number: place {@code rank} (0..V-1) of that
   * order.
   */
  public int byPopularity(int rank) {
    return byPopularity[rank];
  }

  /**
   * Whether {@code item} belongs to the short head, the fewest most popular items that together
   * have {@value #HEAD_SHARE} of the interactions; all others are the long tail.
   */
  public boolean inHead(int item) {
    return head.get(item);
  }

  /** The longest of some sequences. */
  static int longest(Sequences sequences) {
    return IntStream.range(0, sequences.count()).map(sequences::length).max().orElse(0);
  }
}
