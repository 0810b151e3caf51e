package dev.rhumb.app;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Sequences;
import dev.rhumb.eval.ItemCounts;
import dev.rhumb.eval.ItemKnn;
import dev.rhumb.eval.MarkovChain;
import dev.rhumb.eval.Popularity;
import dev.rhumb.eval.Ranker;
import java.util.List;
import picocli.CommandLine.Option;

/** The baselines by name, and their settings. */
final class BaselineOptions {
  static final String POPULARITY = "popularity";
  private static final String MARKOV = "markov";
  private static final String ITEM_KNN = "item-knn";

  /** What there is. */
  static final List<String> NAMES = List.of(POPULARITY, MARKOV, ITEM_KNN);

  @Option(
      names = "--neighbours",
      paramLabel = "N",
      defaultValue = "100",
      description = "item-knn: neighbours that an item keeps (default: ${DEFAULT-VALUE}).")
  private int neighbours;

  @Option(
      names = "--shrinkage",
      paramLabel = "X",
      defaultValue = "10",
      description =
          "item-knn: added to the cosine's denominator against few common users (default:"
              + " ${DEFAULT-VALUE}).")
  private double shrinkage;

  @Option(
      names = "--half-life",
      paramLabel = "ITEMS",
      defaultValue = "Infinity",
      description =
          "item-knn: how many items back in a history an item counts half (default: all count"
              + " alike).")
  private double halfLife;

  /** Whether that is the name of a baseline. */
  static boolean knows(String name) {
    return NAMES.contains(name);
  }

  /** Why a name is refused. */
  static String unknown(String name) {
    return "baseline '" + name + "' is unknown; there are " + Attributes.nearest(NAMES, name);
  }

  /** Refuses settings that no baseline can have. */
  ItemKnn.Config knn() {
    return new ItemKnn.Config(neighbours, shrinkage, halfLife);
  }

  /** Fits a baseline of {@link #NAMES} to what is trained on. */
  Ranker fit(String name, Sequences train, ItemCounts counts) {
    return switch (name) {
      case POPULARITY -> new Popularity(counts);
      case MARKOV -> MarkovChain.fit(train, counts);
      case ITEM_KNN -> ItemKnn.fit(train, counts, knn());
      default -> throw new IllegalArgumentException(unknown(name));
    };
  }
}
