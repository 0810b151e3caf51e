package dev.rhumb.steer;

import dev.rhumb.data.Attributes;
import dev.rhumb.interpret.AttributeScore;
import dev.rhumb.interpret.FeatureLabels;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * Concepts that can be steered by name: an attribute, and the features that stand for it.
 *
 * <p>A concept's features are the significant ones of its {@link FeatureLabels#attributes best}, as
 * long as their correlation is at least half of the best one's; the weight of each is its
 * correlation over the best one's. Strength 1 adds to each feature its weight times its mean
 * activation where it fires: as much as if each had fired once more, as it usually does. A negative
 * strength steers away.
 */
public final class Concepts {
  private static final int MOST_FEATURES = 4;
  private static final double LEAST_SHARE = 0.5;

  /**
   * One of the features that stand for a concept.
   *
   * @param feature from 0
   * @param weight its part, 1 for the best
   * @param unit its mean activation where it fires
   */
  public record Part(int feature, double weight, double unit) {}

  private final Map<String, List<Part>> parts;

  private Concepts(Map<String, List<Part>> parts) {
    this.parts = parts;
  }

  /** The concepts that labels give, each through up to 4 features. */
  public static Concepts of(FeatureLabels labels) {
    return of(labels, MOST_FEATURES);
  }

  /** The concepts that labels give, each through up to {@code most} features. */
  public static Concepts of(FeatureLabels labels, int most) {
    Map<String, List<AttributeScore>> scores = new LinkedHashMap<>();
    for (AttributeScore score : labels.attributes().scores()) {
      double unit = labels.features().get(score.column()).meanActivation();
      if (score.significant()
          && score.chosenCorrelation() > 0
          && score.correlation() > 0
          && unit > 0) {
        scores.computeIfAbsent(score.attribute(), name -> new ArrayList<>()).add(score);
      }
    }
    Map<String, List<Part>> parts = new LinkedHashMap<>();
    scores.forEach(
        (name, best) ->
            parts.put(
                name,
                best.stream()
                    .map(
                        score ->
                            new Part(
                                score.column(),
                                score.chosenCorrelation() / best.getFirst().chosenCorrelation(),
                                labels.features().get(score.column()).meanActivation()))
                    .filter(part -> part.weight() >= LEAST_SHARE)
                    .limit(most)
                    .toList()));
    return new Concepts(parts);
  }

  /** The names. */
  public List<String> names() {
    return List.copyOf(parts.keySet());
  }

  /**
   * The features that stand for a concept, the best first; case does not matter.
   *
   * @throws IllegalArgumentException when there is no such concept; it offers the nearest names
   */
  public List<Part> parts(String concept) {
    List<Part> exact = parts.get(concept);
    if (exact != null) {
      return exact;
    }
    for (Map.Entry<String, List<Part>> known : parts.entrySet()) {
      if (known.getKey().toLowerCase(Locale.ROOT).equals(concept.toLowerCase(Locale.ROOT))) {
        return known.getValue();
      }
    }
    throw new IllegalArgumentException(
        "no concept \""
            + concept
            + "\" is known; "
            + (parts.isEmpty()
                ? "this SAE's features stand for none"
                : "the nearest are " + Attributes.nearest(parts.keySet(), concept)));
  }

  /** Steers one concept at the last position. */
  public Steering steer(String concept, double strength) {
    return steer(Map.of(concept, strength));
  }

  /**
   * Steers several concepts at the last position; what they do to a common feature adds up.
   *
   * @param strengths by concept
   * @throws IllegalArgumentException when there is no such concept; it offers the nearest names
   */
  public Steering steer(Map<String, Double> strengths) {
    TreeMap<Integer, Double> amounts = new TreeMap<>();
    strengths.forEach(
        (concept, strength) -> {
          if (!Double.isFinite(strength)) {
            throw new IllegalArgumentException(
                "steering \"" + concept + "\": the strength " + strength + " is no finite number");
          }
          for (Part part : parts(concept)) {
            amounts.merge(part.feature(), strength * part.weight() * part.unit(), Double::sum);
          }
        });
    List<Edit> edits = new ArrayList<>();
    amounts.forEach(
        (feature, amount) -> {
          if (amount != 0) {
            edits.add(Edit.add(feature, amount.floatValue()));
          }
        });
    return Steering.of(edits);
  }
}
