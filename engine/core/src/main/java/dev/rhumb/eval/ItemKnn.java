package dev.rhumb.eval;

import dev.rhumb.data.Sequences;
import java.util.Arrays;

/**
 * Nearest neighbours among items (Deshpande and Karypis, "Item-based top-N recommendation
 * algorithms", TOIS 2004), with the shrunk cosine of Ferrari Dacrema, Cremonesi and Jannach ("Are
 * we really making much progress?", RecSys 2019):
 *
 * <p>sim(i, j) = c(i, j) / (sqrt(c(i) c(j)) + shrinkage), where c(i) training sequences hold item i
 * and c(i, j) hold both. Each item keeps its most similar others. The score of an item is the sum,
 * over the places of the history, of its similarity to the item there, where it is among that
 * item's neighbours, times the weight of the place: 1, or 2^(-age / half-life) where a half-life is
 * set, the newest place being of age 0. Items without a score come last, by popularity, with score
 * 0. The order of equal similarities and of equal scores is the number of the item.
 *
 * <p>Fitting holds no table of items x items: one row of counts at a time. With S training
 * interactions, the sum Q over sequences of their squared lengths, and N neighbours, it takes O(Q +
 * V log N) time and 8 S + 8 V N bytes and a little: for MovieLens 20M some 160 MB and 20 MB. A list
 * takes O(history x N) time. The same sequences give the same lists, always.
 */
public final class ItemKnn extends Baseline {
  /**
   * How similarity is measured.
   *
   * @param neighbours N, how many each item keeps; 1 or more
   * @param shrinkage added to the denominator, so that few common users make no close neighbours; 0
   *     or more
   * @param halfLife how many items back in the history a place counts half; infinite where all
   *     places count alike
   */
  public record Config(int neighbours, double shrinkage, double halfLife) {
    /** Checks them. */
    public Config {
      if (neighbours < 1) {
        throw new IllegalArgumentException(
            "item-knn: " + neighbours + " neighbours; there must be 1 or more");
      }
      if (!(shrinkage >= 0) || Double.isInfinite(shrinkage)) {
        throw new IllegalArgumentException(
            "item-knn: the shrinkage is " + shrinkage + "; it must be 0 or more");
      }
      if (!(halfLife > 0)) {
        throw new IllegalArgumentException(
            "item-knn: the half-life is " + halfLife + " items; it must be above 0");
      }
    }

    /** 100 neighbours, shrinkage 10, all places alike. */
    public static Config standard() {
      return new Config(100, 10, Double.POSITIVE_INFINITY);
    }
  }

  private final Config config;
  // The neighbours of item i, best first, are neighbours[i N ..]; 0 ends them.
  private final int[] neighbours;
  private final float[] similarities;
  private final double[] scores;
  private final int[] touched;

  private ItemKnn(ItemCounts counts, Config config, int[] neighbours, float[] similarities) {
    super(counts);
    this.config = config;
    this.neighbours = neighbours;
    this.similarities = similarities;
    scores = new double[counts.items() + 1];
    touched = new int[counts.items()];
  }

  /**
   * Finds the neighbours.
   *
   * @throws ArithmeticException when there are 2^31 interactions or more
   */
  public static ItemKnn fit(Sequences train, Config config) {
    return fit(train, ItemCounts.of(train), config);
  }

  /** Finds the neighbours, with the popularity counted already. */
  public static ItemKnn fit(Sequences train, ItemCounts counts, Config config) {
    int v = counts.items();
    // Distinct items of each sequence, and the sequences of each item.
    int[] ofSequence = new int[Math.toIntExact(train.total())];
    int[] sequenceEnds = new int[train.count() + 1];
    int[] itemEnds = new int[v + 2];
    int filled = 0;
    for (int i = 0; i < train.count(); i++) {
      int from = filled;
      int length = train.copyLast(i, train.length(i), ofSequence, from);
      Arrays.sort(ofSequence, from, from + length);
      for (int p = from; p < from + length; p++) {
        if (p == from || ofSequence[p] != ofSequence[filled - 1]) {
          ofSequence[filled++] = ofSequence[p];
          itemEnds[ofSequence[p] + 1]++;
        }
      }
      sequenceEnds[i + 1] = filled;
    }
    for (int item = 0; item <= v; item++) {
      itemEnds[item + 1] += itemEnds[item];
    }
    int[] ofItem = new int[filled];
    int[] next = itemEnds.clone();
    for (int i = 0; i < train.count(); i++) {
      for (int p = sequenceEnds[i]; p < sequenceEnds[i + 1]; p++) {
        ofItem[next[ofSequence[p]]++] = i;
      }
    }
    int n = Math.min(config.neighbours, v);
    int[] neighbours = new int[Math.multiplyExact(v + 1, n)];
    float[] similarities = new float[neighbours.length];
    int[] common = new int[v + 1];
    int[] met = new int[v];
    int[] items = new int[n];
    float[] values = new float[n];
    BestItems best = new BestItems(n);
    for (int item = 1; item <= v; item++) {
      int count = 0;
      for (int s = itemEnds[item]; s < itemEnds[item + 1]; s++) {
        for (int p = sequenceEnds[ofItem[s]]; p < sequenceEnds[ofItem[s] + 1]; p++) {
          int other = ofSequence[p];
          if (common[other]++ == 0) {
            met[count++] = other;
          }
        }
      }
      for (int m = 0; m < count; m++) {
        int other = met[m];
        if (other != item) {
          double norm = Math.sqrt((double) counts.users(item) * counts.users(other));
          best.offer(other, common[other] / (norm + config.shrinkage));
        }
        common[other] = 0;
      }
      int kept = best.drain(items, values);
      System.arraycopy(items, 0, neighbours, item * n, kept);
      System.arraycopy(values, 0, similarities, item * n, kept);
    }
    return new ItemKnn(counts, config, neighbours, similarities);
  }

  @Override
  void rank(int[] history, int length, Places places) {
    int n = neighbours.length / scores.length;
    int count = 0;
    double weight = 1;
    double fade = Math.pow(2, -1 / config.halfLife);
    for (int p = length - 1; p >= 0; p--, weight *= fade) {
      int from = history[p] * n;
      for (int at = from; at < from + n && neighbours[at] != 0; at++) {
        int item = neighbours[at];
        double more = weight * similarities[at];
        // A weight of long ago may be too small for a number.
        if (more > 0 && places.free(item)) {
          if (scores[item] == 0) {
            touched[count++] = item;
          }
          scores[item] += more;
        }
      }
    }
    BestItems best = new BestItems(places.left());
    for (int t = 0; t < count; t++) {
      best.offer(touched[t], scores[touched[t]]);
      scores[touched[t]] = 0;
    }
    int[] items = new int[places.left()];
    float[] values = new float[items.length];
    int kept = best.drain(items, values);
    for (int i = 0; i < kept; i++) {
      places.add(items[i], values[i]);
    }
  }
}
