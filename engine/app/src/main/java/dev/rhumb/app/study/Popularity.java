package dev.rhumb.app.study;

import dev.rhumb.data.Cases;
import dev.rhumb.data.Sequences;
import dev.rhumb.data.Split;
import dev.rhumb.eval.Evaluator;
import dev.rhumb.eval.RankingMetrics;
import java.util.BitSet;
import java.util.Comparator;
import java.util.stream.IntStream;

/** The simplest recommender, to hold others against: the most popular items that are unseen. */
public final class Popularity {
  private Popularity() {}

  /** Its metrics on the test cases; popularity is counted in what is trained on. */
  public static RankingMetrics evaluate(Split split, int k) {
    Sequences train = split.train();
    int items = train.dataset().items();
    int[] counts = new int[items + 1];
    for (int i = 0; i < train.count(); i++) {
      for (int p = 0; p < train.length(i); p++) {
        counts[train.item(i, p)]++;
      }
    }
    int[] order =
        IntStream.rangeClosed(1, items)
            .boxed()
            .sorted(Comparator.<Integer>comparingInt(item -> -counts[item]).thenComparing(i -> i))
            .mapToInt(Integer::intValue)
            .toArray();
    Cases cases = split.test();
    int[][] lists = new int[cases.count()][k];
    BitSet seen = new BitSet();
    for (int i = 0; i < lists.length; i++) {
      seen.clear();
      for (int p = 0; p < cases.histories().length(i); p++) {
        seen.set(cases.histories().item(i, p));
      }
      int n = 0;
      for (int at = 0; n < k && at < items; at++) {
        if (!seen.get(order[at])) {
          lists[i][n++] = order[at];
        }
      }
    }
    return RankingMetrics.of(lists, Evaluator.targets(cases), k, items);
  }
}
