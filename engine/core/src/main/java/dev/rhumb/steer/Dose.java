package dev.rhumb.steer;

/**
 * A concept's share of a list, wanted for each user: the strength that gives it is searched for
 * user by user, with {@link Search}.
 *
 * @param concept its name
 * @param share of the list, from 0 to 1
 */
public record Dose(String concept, double share) {
  /** Refuses a share that is none. */
  public Dose {
    if (!(share >= 0 && share <= 1)) {
      throw new IllegalArgumentException(
          "a dose of \"" + concept + "\": the share " + share + " must be from 0 to 1");
    }
  }

  /** A search for one user's strength. */
  public Search search() {
    return new Search(share);
  }

  /**
   * Halves an interval of strengths until a list's share is as near to the wanted one as a list of
   * its length can be, or the interval is small; of all strengths tried the nearest counts, of
   * equals the smallest. Tries 0 first, so that whoever has the share already stays as he is.
   *
   * <pre>
   * while (search.next()) {
   *   search.saw(with, of); // the list at search.strength() has it `with` times among `of` items
   * }
   * </pre>
   *
   * <p>Threads: one at a time.
   */
  public static final class Search {
    private static final double MOST_STRENGTH = 16;
    private static final int TRIES = 12;

    private final double wanted;
    private double low = -MOST_STRENGTH;
    private double high = MOST_STRENGTH;
    private int tries;
    private double strength;
    private double best;
    private double gap = Double.POSITIVE_INFINITY;
    private boolean met;

    private Search(double wanted) {
      this.wanted = wanted;
    }

    /** Goes on to another strength; false, and to the best one, at the end. */
    public boolean next() {
      boolean more = !met && tries < TRIES;
      strength = more ? (low + high) / 2 : best;
      return more;
    }

    /** The strength to try; at the end, the best. */
    public double strength() {
      return strength;
    }

    /** Takes what the strength gave: {@code with} of {@code of} items have the attribute. */
    public void saw(int with, int of) {
      tries++;
      double share = of == 0 ? 0 : with / (double) of;
      double off = Math.abs(share - wanted);
      if (off < gap || off == gap && Math.abs(strength) < Math.abs(best)) {
        gap = off;
        best = strength;
      }
      // No list of that length can come nearer than half an item.
      met = off <= .5 / Math.max(1, of) + 1e-9;
      if (share < wanted) {
        low = strength;
      } else {
        high = strength;
      }
    }
  }
}
