package dev.rhumb.serve;

import dev.rhumb.data.Catalogue;

/**
 * A recommended list, best first. It belongs to its session and changes with the session's next
 * answer; copy what must last.
 */
public final class Recommendations {
  private final Catalogue catalogue;
  int[] items = new int[0];
  float[] scores = new float[0];
  int count;

  Recommendations(Catalogue catalogue) {
    this.catalogue = catalogue;
  }

  /** How many items; fewer than were asked for only when the catalogue has no more unseen ones. */
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

  private int check(int place) {
    return java.util.Objects.checkIndex(place, count);
  }
}
