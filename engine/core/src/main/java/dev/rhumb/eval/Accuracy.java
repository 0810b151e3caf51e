package dev.rhumb.eval;

import java.util.Arrays;

/** The formulas of {@link Metric#ACCURACY} for one list; it has at least k places. */
final class Accuracy {
  private Accuracy() {}

  /**
   * The value of a metric.
   *
   * @param list best first; 0 is an empty place
   * @param relevant R, ascending, not empty
   */
  static double of(Metric metric, int[] list, int[] relevant, int k) {
    return switch (metric) {
      case HIT_RATE -> hits(list, relevant, k) > 0 ? 1 : 0;
      case NDCG -> ndcg(list, relevant, k);
      case MRR -> {
        int rank = firstHit(list, relevant, k);
        yield rank == 0 ? 0 : 1.0 / rank;
      }
      case MAP -> averagePrecision(list, relevant, k);
      case PRECISION -> hits(list, relevant, k) / (double) k;
      case RECALL -> hits(list, relevant, k) / (double) relevant.length;
      default -> throw new IllegalArgumentException(metric + " is no metric of accuracy");
    };
  }

  /** The rank of the first hit, from 1; 0 where there is none. */
  static int firstHit(int[] list, int[] relevant, int k) {
    for (int at = 0; at < k; at++) {
      if (isHit(list[at], relevant)) {
        return at + 1;
      }
    }
    return 0;
  }

  private static boolean isHit(int item, int[] relevant) {
    return Arrays.binarySearch(relevant, item) >= 0;
  }

  private static int hits(int[] list, int[] relevant, int k) {
    int hits = 0;
    for (int at = 0; at < k; at++) {
      hits += isHit(list[at], relevant) ? 1 : 0;
    }
    return hits;
  }

  private static double ndcg(int[] list, int[] relevant, int k) {
    double gain = 0;
    for (int rank = 1; rank <= k; rank++) {
      gain += isHit(list[rank - 1], relevant) ? discount(rank) : 0;
    }
    double best = 0;
    for (int rank = 1; rank <= Math.min(k, relevant.length); rank++) {
      best += discount(rank);
    }
    return gain / best;
  }

  private static double discount(int rank) {
    return Math.log(2) / Math.log(rank + 1.0);
  }

  private static double averagePrecision(int[] list, int[] relevant, int k) {
    double sum = 0;
    int hits = 0;
    for (int rank = 1; rank <= k; rank++) {
      if (isHit(list[rank - 1], relevant)) {
        sum += ++hits / (double) rank;
      }
    }
    return sum / Math.min(k, relevant.length);
  }
}
