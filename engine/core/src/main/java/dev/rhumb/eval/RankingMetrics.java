package dev.rhumb.eval;

import dev.rhumb.data.Attributes;
import java.util.BitSet;

/**
 * The four metrics that training and steering watch, of recommended lists with one relevant item
 * each, over the full catalogue. {@link RankingReport} has all metrics, and their values case by
 * case.
 *
 * @param k length of the lists that count
 * @param cases number of lists
 * @param hitRate HR@k, the share of lists that hold the target; with one relevant item the same as
 *     recall@k
 * @param ndcg NDCG@k: 1 / log2(rank + 1) of the target, 0 where it is not in the list
 * @param mrr MRR@k: 1 / rank, likewise
 * @param coverage the share of the catalogue that is in any list
 */
public record RankingMetrics(
    int k, int cases, double hitRate, double ndcg, double mrr, double coverage) {

  /**
   * Metrics of lists cut at {@code k}.
   *
   * @param lists best first; 0 is an empty place
   * @param targets the relevant item of each list
   * @param items V
   */
  public static RankingMetrics of(int[][] lists, int[] targets, int k, int items) {
    BitSet seen = new BitSet(items + 1);
    double hits = 0;
    double ndcg = 0;
    double mrr = 0;
    for (int i = 0; i < lists.length; i++) {
      int[] relevant = {targets[i]};
      int places = Math.min(k, lists[i].length);
      hits += Accuracy.of(Metric.HIT_RATE, lists[i], relevant, places);
      ndcg += Accuracy.of(Metric.NDCG, lists[i], relevant, places);
      mrr += Accuracy.of(Metric.MRR, lists[i], relevant, places);
      for (int at = 0; at < places; at++) {
        seen.set(lists[i][at]);
      }
    }
    seen.clear(0);
    int n = Math.max(1, lists.length);
    return new RankingMetrics(
        k, lists.length, hits / n, ndcg / n, mrr / n, seen.cardinality() / (double) items);
  }

  /**
   * The mean over lists of the share of their first {@code k} items that have an attribute.
   *
   * @param lists best first; 0 is an empty place
   */
  public static double attributeShare(int[][] lists, int k, Attributes attributes, int attribute) {
    double total = 0;
    for (int[] list : lists) {
      int with = 0;
      int places = 0;
      for (int i = 0; i < Math.min(k, list.length) && list[i] != 0; i++) {
        places++;
        if (attributes.has(list[i], attribute)) {
          with++;
        }
      }
      total += places == 0 ? 0 : with / (double) places;
    }
    return total / Math.max(1, lists.length);
  }
}
