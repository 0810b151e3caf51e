package dev.rhumb.serve;

import dev.rhumb.data.Catalogue;

/**
 * A recommended list, best first. It belongs to the session, or the batch, that made it, and
 * changes with that one's next answer; copy what must last.
 */
public final class Recommendations {
  private final Catalogue catalogue;
  private int[] spareItems = new int[0];
  private float[] spareScores = new float[0];
  int[] items = new int[0];
  float[] scores = new float[0];
  int count;

  Recommendations(Catalogue catalogue) {
    this.catalogue = catalogue;
  }

  /** How many items; fewer than were asked for only where no more are unseen and let through. */
  public int count() {
    return count;
  }

  /** The item at a place, from 1 to V. */
  public int item(int place) {
    return items[check(place)];
  }

  /** Its score. */
  public float score(int place) {
    return scores[check(place)];
  }

  /** Its external id. */
  public String id(int place) {
    return catalogue.id(item(place));
  }

  /** Its title. */
  public String title(int place) {
    return catalogue.title(item(place));
  }

  /** Makes room for k. */
  void reserve(int k) {
    if (items.length < k) {
      items = new int[k];
      scores = new float[k];
    }
  }

  /**
   * Keeps the k best of this list and another one, whose items are all greater: among equal scores
   * this one's lead.
   */
  void merge(int k, int[] otherItems, float[] otherScores, int others) {
    if (spareItems.length < items.length) {
      spareItems = new int[items.length];
      spareScores = new float[items.length];
    }
    int own = 0;
    int other = 0;
    int to = 0;
    for (; to < k && (own < count || other < others); to++) {
      if (own == count || (other < others && otherScores[other] > scores[own])) {
        spareItems[to] = otherItems[other];
        spareScores[to] = otherScores[other++];
      } else {
        spareItems[to] = items[own];
        spareScores[to] = scores[own++];
      }
    }
    int[] formerItems = items;
    float[] formerScores = scores;
    items = spareItems;
    scores = spareScores;
    spareItems = formerItems;
    spareScores = formerScores;
    count = to;
  }

  /** A list of its own with the same content. */
  Recommendations copy() {
    Recommendations copy = new Recommendations(catalogue);
    copy.items = java.util.Arrays.copyOf(items, count);
    copy.scores = java.util.Arrays.copyOf(scores, count);
    copy.count = count;
    return copy;
  }

  private int check(int place) {
    return java.util.Objects.checkIndex(place, count);
  }
}
