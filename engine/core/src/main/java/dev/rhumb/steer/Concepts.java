package dev.rhumb.steer;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.data.Attributes;
import dev.rhumb.data.Sequences;
import dev.rhumb.interpret.AttributeScore;
import dev.rhumb.interpret.FeatureLabel;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.sae.SparseAutoencoder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * Concepts that can be steered by name: an attribute, and the features that stand for it.
 *
 * <p>{@linkplain #of(Kernels, Model, SparseAutoencoder, FeatureLabels, Sequences) By effect}, the
 * features of a concept are up to 4 whose decoder directions together do to the scores most nearly
 * what a constant on the items with the attribute does: raise them alone. Strength 1 raises the
 * probability of the attribute, to first order and on average over users, as much as adding 1 to
 * those scores, which makes its odds e times as large; so one strength means the same for every
 * concept and every autoencoder. A negative strength steers away.
 *
 * <p>{@linkplain #of(FeatureLabels) By correlation}, where nothing but labels is known, they are
 * the significant ones of its {@link FeatureLabels#attributes best}, as long as their correlation
 * is at least half of the best one's; the weight of each is its correlation over the best one's.
 * Strength 1 adds to each feature its weight times its mean activation where it fires.
 *
 * <p>Unchangeable, so any thread may read.
 */
public final class Concepts {
  /** The name of their file in an autoencoder's folder. */
  public static final String FILE = "concepts.json";

  private static final int MOST_FEATURES = 4;
  private static final double LEAST_SHARE = 0.5;
  private static final String FORMAT = "rhumb concepts 1";
  private static final String MEND = "write it anew with 'rhumb explain'";

  /**
   * One of the features that stand for a concept.
   *
   * @param feature from 0
   * @param weight its part, 1 for the best
   * @param unit what strength 1 adds to its activation where the weight is 1
   */
  public record Part(int feature, double weight, double unit) {}

  private final Map<String, List<Part>> parts;

  private Concepts(Map<String, List<Part>> parts) {
    this.parts = parts;
  }

  /**
   * The concepts that labels give, each through the features that raise it best.
   *
   * <p>The scores after some hundred histories are read, each with every dimension of the hidden
   * state moved a little: about 1,000 D runs of one position through what lies behind the site.
   *
   * @param labels of the autoencoder: a concept is an attribute that they know a significant
   *     feature of, and features that never fired are left out
   * @param users whose histories are read; steering should be judged on others
   */
  public static Concepts of(
      Kernels kernels, Model model, SparseAutoencoder sae, FeatureLabels labels, Sequences users) {
    sae.requireFits(model.config());
    List<String> names = of(labels).names();
    if (names.isEmpty()) {
      return new Concepts(Map.of());
    }
    int width = sae.width();
    int[] firing =
        labels.features().stream()
            .filter(label -> label.meanActivation() > 0)
            .mapToInt(FeatureLabel::feature)
            .toArray();
    float[] decoder = sae.decoderWeights().floats();
    double[][] directions = new double[firing.length][width];
    for (int i = 0; i < firing.length; i++) {
      for (int d = 0; d < width; d++) {
        directions[i][d] = decoder[firing[i] * width + d];
      }
    }
    FeaturePursuit pursuit =
        new FeaturePursuit(ScoreEffect.of(kernels, model, sae.site(), users), firing, directions);
    Attributes attributes = users.dataset().attributes();
    Map<String, List<Part>> parts = new LinkedHashMap<>();
    for (String name : names) {
      List<FeaturePursuit.Amount> best = pursuit.of(attributes.find(name), MOST_FEATURES);
      if (!best.isEmpty()) {
        double unit = best.getFirst().amount();
        parts.put(
            name, best.stream().map(a -> new Part(a.feature(), a.amount() / unit, unit)).toList());
      }
    }
    return new Concepts(parts);
  }

  /** The concepts that labels give, each through up to 4 features, by correlation. */
  public static Concepts of(FeatureLabels labels) {
    return of(labels, MOST_FEATURES);
  }

  /** The concepts that labels give, each through up to {@code most} features, by correlation. */
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

  /** Writes them into the autoencoder's folder, whole or not at all. */
  public void save(Path folder) {
    Map<String, Object> file = new LinkedHashMap<>();
    file.put("format", FORMAT);
    Map<String, Object> concepts = new LinkedHashMap<>();
    parts.forEach(
        (name, list) -> concepts.put(name, list.stream().map(Concepts::written).toList()));
    file.put("concepts", concepts);
    AtomicFiles.writeString(folder.resolve(FILE), Json.write(file));
  }

  private static Map<String, Object> written(Part part) {
    Map<String, Object> object = new LinkedHashMap<>();
    object.put("feature", (long) part.feature());
    object.put("weight", part.weight());
    object.put("unit", part.unit());
    return object;
  }

  /**
   * Reads the concepts of an autoencoder's folder; those of its labels where an earlier version
   * wrote these alone.
   *
   * @param labels of the same folder
   * @throws FormatException when the file is not as {@link #save} writes it: it names the place
   */
  public static Concepts load(Path folder, FeatureLabels labels) {
    Path file = folder.resolve(FILE);
    if (!Files.exists(file)) {
      return of(labels);
    }
    JsonObject root = JsonObject.of(Json.read(file), file.toString());
    if (!root.string("format").equals(FORMAT)) {
      throw root.refuse("format", "is not \"" + FORMAT + "\"", MEND);
    }
    JsonObject concepts = root.object("concepts");
    Map<String, List<Part>> parts = new LinkedHashMap<>();
    for (String name : concepts.keys()) {
      List<Part> list = new ArrayList<>();
      for (JsonObject part : concepts.objects(name)) {
        list.add(
            new Part(
                part.integer("feature", 0, labels.features().size() - 1),
                part.number("weight"),
                part.number("unit")));
      }
      if (list.isEmpty()) {
        throw concepts.refuse(name, "has no feature", MEND);
      }
      parts.put(name, List.copyOf(list));
    }
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
