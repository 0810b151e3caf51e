package dev.rhumb.eval;

import dev.rhumb.data.Attributes;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * What a list of k recommended items is judged by. Rankings are over the full catalogue; metrics on
 * a sample of it are not offered, as they may order models otherwise (Krichene and Rendle, "On
 * sampled metrics for item recommendation", KDD 2020).
 *
 * <p>R is the set of a case's relevant items (one, where the split leaves one out), L its list cut
 * at k. An empty place of a list, where no unseen item was left, is a miss for the first six and
 * does not count for the others. A target that the history holds already is filtered from the list:
 * a miss.
 *
 * <p>A metric of a case is averaged over the cases for which it is defined; {@link RankingReport}
 * gives the value of each. The others are of all lists together.
 */
public enum Metric {
  /** HR@k: 1 where L holds an item of R, else 0. With one relevant item the same as recall. */
  HIT_RATE("hr", "HR", true),

  /**
   * NDCG@k (Järvelin and Kekäläinen, TOIS 2002) with binary gains: the sum of 1 / log2(rank + 1)
   * over the hits, divided by what the best list would have, with min(k, |R|) hits at its top.
   */
  NDCG("ndcg", "NDCG", true),

  /** MRR@k: 1 / rank of the first hit, 0 where there is none. */
  MRR("mrr", "MRR", true),

  /**
   * MAP@k: the sum, over the hits, of precision at the hit's rank, divided by min(k, |R|). With one
   * relevant item the same as MRR.
   */
  MAP("map", "MAP", true),

  /** Hits / k, empty places included. With one relevant item it is HR / k. */
  PRECISION("precision", "precision", true),

  /** Hits / |R|. */
  RECALL("recall", "recall", true),

  /** The share of the catalogue that is in any list. */
  COVERAGE("coverage", "coverage", false),

  /**
   * Mean self-information of a list's items (Zhou et al., "Solving the apparent diversity-accuracy
   * dilemma of recommender systems", PNAS 2010): -log2 of the share of training users who have the
   * item. An item that none has counts as if one had.
   */
  NOVELTY("novelty", "novelty", true),

  /**
   * Mean over all pairs of lists of 1 - overlap / k (h of Zhou et al., PNAS 2010; also called
   * personalization): 0 where all lists are the same, 1 where no two share an item. By counts: with
   * f(i) lists that hold item i and n lists, 1 - sum f(i) (f(i) - 1) / (k n (n - 1)). Not defined
   * for fewer than two lists.
   */
  INTER_LIST_DIVERSITY("inter-list-diversity", "inter-list diversity", false),

  /**
   * Mean over all pairs of a list's items of their distance (Ziegler et al., WWW 2005), here 1 -
   * Jaccard index of their sets of attributes. A pair with an item that has no attribute does not
   * count; a list without a pair has no value.
   */
  INTRA_LIST_DIVERSITY("intra-list-diversity", "intra-list diversity", true),

  /**
   * Gini coefficient of how often each of the V items is recommended, the never recommended
   * included: 0 where all are as often, near 1 where a few take all. With the frequencies
   * ascending, f(1) to f(V): sum (2 j - V - 1) f(j) / (V sum f(j)).
   */
  GINI("gini", "Gini", false),

  /**
   * ARP, average recommendation popularity (Yin et al., "Challenging the long tail recommendation",
   * VLDB 2012): the mean of a list's items' interactions in training.
   */
  POPULARITY("popularity", "popularity (ARP)", true),

  /**
   * Popularity lift (Abdollahpouri et al., "The connection between popularity bias, calibration,
   * and fairness in recommendation", RecSys 2020), with all users as one group: the mean popularity
   * of lists, relative to the mean popularity of histories, minus 1. Each list and history counts
   * by its mean of its items' interactions in training. 0 where lists are as popular as histories.
   */
  POPULARITY_LIFT("popularity-lift", "popularity lift", false),

  /** The share of a list's items that are in the long tail: {@link ItemCounts#inHead} is false. */
  LONG_TAIL("long-tail", "long tail", true),

  /**
   * Miscalibration (Steck, "Calibrated recommendations", RecSys 2018, equations 2, 3 and 5): the
   * Kullback-Leibler divergence, in nats, of the history's distribution p over attributes to the
   * list's distribution q, smoothed to (1 - .01) q + .01 p. An item's weight is divided evenly
   * among its attributes; items without any do not count, and the places of a history count alike.
   * No value where the history or the list has no attribute. 0 is perfect.
   */
  CALIBRATION("calibration", "calibration (KL)", true);

  /** The metrics of accuracy, which tell lists by what was relevant. */
  public static final List<Metric> ACCURACY = List.of(HIT_RATE, NDCG, MRR, MAP, PRECISION, RECALL);

  private final String id;
  private final String title;
  private final boolean ofCase;

  Metric(String id, String title, boolean ofCase) {
    this.id = id;
    this.title = title;
    this.ofCase = ofCase;
  }

  /**
   * The metrics that tell something of their own: all, but where each case has one relevant item
   * without MAP, precision and recall.
   */
  public static List<Metric> telling(int mostRelevant) {
    return Arrays.stream(values())
        .filter(m -> mostRelevant > 1 || m != MAP && m != PRECISION && m != RECALL)
        .toList();
  }

  /** Its name in options, JSON and files, such as {@code ndcg}. */
  public String id() {
    return id;
  }

  /** Its name for people, such as {@code NDCG}. */
  public String title() {
    return title;
  }

  /** Whether each case has a value of its own, so that the metric is a mean. */
  public boolean ofCase() {
    return ofCase;
  }

  /** Its name with the length of a list, such as {@code ndcg@10}. */
  public String at(int k) {
    return id + "@" + k;
  }

  /**
   * The metric of a name, whatever its case.
   *
   * @throws IllegalArgumentException when there is none; the message offers the nearest
   */
  public static Metric named(String name) {
    String wanted = name.strip().toLowerCase(Locale.ROOT);
    for (Metric metric : values()) {
      if (metric.id.equals(wanted)) {
        return metric;
      }
    }
    List<String> known = Arrays.stream(values()).map(Metric::id).toList();
    throw new IllegalArgumentException(
        "metric '"
            + name
            + "' is unknown; the nearest are "
            + Attributes.nearest(known, name)
            + ", and there are "
            + String.join(", ", known));
  }
}
