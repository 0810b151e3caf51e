package dev.rhumb.interpret;

import java.util.List;

/**
 * What is known of a feature.
 *
 * @param feature from 0
 * @param firingShare share of positions at which it fires
 * @param meanActivation mean activation where it fires; 0 where it never does
 * @param highActivation 99th percentile of the activation where it fires
 * @param mostActivation the largest activation
 * @param best the attribute that goes with it best, chosen on one half of users and scored on the
 *     other; null where none is defined
 * @param topItems items with the highest mean activation at their positions, a position of 0 added
 *     to each so that rare items do not win by chance
 * @param logitItems items whose score rises most along its decoder direction
 */
public record FeatureLabel(
    int feature,
    double firingShare,
    double meanActivation,
    double highActivation,
    double mostActivation,
    AttributeScore best,
    List<Integer> topItems,
    List<Integer> logitItems) {

  /** Copies the lists. */
  public FeatureLabel {
    topItems = List.copyOf(topItems);
    logitItems = List.copyOf(logitItems);
  }

  /**
   * The name of its best attribute where that is significant and not held against it, else empty.
   */
  public String label() {
    return best != null && best.significant() && best.correlation() > 0 ? best.attribute() : "";
  }
}
