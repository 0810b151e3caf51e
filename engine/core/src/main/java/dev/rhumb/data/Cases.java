package dev.rhumb.data;

/**
 * Cases for evaluation: a history, and as its target the item that followed it. A view, which ends
 * with its dataset. Unchangeable, so any thread may read.
 */
public final class Cases {
  private final Sequences histories;

  /**
   * Each history with its user's next item as the target.
   *
   * @throws IllegalArgumentException when a history is its user's whole sequence
   */
  Cases(Sequences histories) {
    for (int i = 0; i < histories.count(); i++) {
      if (histories.length(i) >= histories.dataset().length(histories.user(i))) {
        throw new IllegalArgumentException("no item follows history " + i);
      }
    }
    this.histories = histories;
  }

  /** How many cases there are. */
  public int count() {
    return histories.count();
  }

  /** The histories, in the order of the cases; none is empty. */
  public Sequences histories() {
    return histories;
  }

  /** The item that followed history {@code i}. */
  public int target(int i) {
    return histories.dataset().item(histories.user(i), histories.length(i));
  }

  /** Cases {@code chosen[0], chosen[1], ...}, as a view of their own. */
  public Cases select(int... chosen) {
    return new Cases(histories.select(chosen));
  }
}
