package dev.rhumb.eval;

import dev.rhumb.data.Sequences;

/**
 * The simplest recommender: the items with most interactions in training that the user has not
 * seen. Of the same number of interactions, the item with the lower number comes first. A score is
 * the number of interactions.
 */
public final class Popularity extends Baseline {
  /** Ranks by given counts. */
  public Popularity(ItemCounts counts) {
    super(counts);
  }

  /** Counts the interactions of what is trained on. */
  public static Popularity fit(Sequences train) {
    return new Popularity(ItemCounts.of(train));
  }

  @Override
  void rank(int[] history, int length, Places places) {
    // What every baseline ends with is all of this one.
  }

  @Override
  float popularityScore(int item) {
    return counts.interactions(item);
  }
}
