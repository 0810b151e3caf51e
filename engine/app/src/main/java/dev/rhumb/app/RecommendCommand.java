package dev.rhumb.app;

import static dev.rhumb.app.study.Figures.map;

import dev.rhumb.app.study.OneUser;
import dev.rhumb.app.study.Titles;
import dev.rhumb.app.terminal.Console;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.app.terminal.Table;
import dev.rhumb.data.Catalogue;
import dev.rhumb.interpret.FeatureLabel;
import dev.rhumb.interpret.FeatureLabels;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.Steering;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** One history in, items out, with edits and reasons. */
@picocli.CommandLine.Command(
    name = "recommend",
    description = "One history in, items out, with edits and reasons.")
final class RecommendCommand extends Command {
  @Mixin private ModelOptions model;
  @Mixin private EngineOptions engine;
  @Mixin private SiteOptions site;

  @Option(
      names = {"--history", "-H"},
      paramLabel = "ITEM",
      required = true,
      description = "External id or title of an item, the oldest first; once for each.")
  private List<String> history = new ArrayList<>();

  @Option(
      names = {"--edit", "-e"},
      paramLabel = "EDIT",
      description =
          "CONCEPT=STRENGTH, or FEATURE:OP:VALUE with add, set, scale, clamp:LEAST:MOST, ablate;"
              + " once for each.")
  private List<String> edits = new ArrayList<>();

  @Option(
      names = "--positions",
      defaultValue = "LAST",
      description = "Where edits apply: last or all (default: last).")
  private Steering.Positions positions;

  @Option(
      names = "-k",
      defaultValue = "10",
      description = "Length of the list (default: ${DEFAULT-VALUE}).")
  private int k;

  @Override
  Map<String, Object> work(Console console) {
    if (k < 1) {
      throw usage("-k " + k + " must be 1 or more");
    }
    try (Kernels kernels = engine.open();
        ModelFolder folder = model.open(kernels);
        SparseAutoencoder sae = autoencoder(kernels, folder)) {
      Catalogue catalogue = folder.catalogue();
      int[] items = history.stream().mapToInt(text -> Titles.find(catalogue, text)).toArray();
      int length = folder.model().config().maxLength();
      if (items.length > length) {
        console.note(
            "the history has %d items; the model sees the newest %d, and all are left out of the"
                + " list",
            items.length, length);
      }
      FeatureLabels labels = sae == null ? null : labels();
      OneUser user = new OneUser(kernels, folder.model(), sae);
      List<OneUser.Recommended> plain = user.recommend(items, k, null);
      say(console, edits.isEmpty() ? "recommended" : "before", catalogue, labels, plain);
      Map<String, Object> result =
          map("model", model.folder().toString(), "recommended", json(catalogue, labels, plain));
      if (!edits.isEmpty()) {
        Steering steering = steering(labels);
        List<OneUser.Recommended> steered = user.recommend(items, k, steering);
        say(console, "after " + String.join(", ", edits), catalogue, labels, steered);
        result.put("edits", edits);
        result.put("steered", json(catalogue, labels, steered));
      }
      return result;
    }
  }

  /** The autoencoder; null where the model has none and none is needed. */
  private SparseAutoencoder autoencoder(Kernels kernels, ModelFolder folder) {
    Path all = model.folder().resolve("sae");
    if (edits.isEmpty() && !Files.isDirectory(all)) {
      return null;
    }
    SparseAutoencoder sae = SparseAutoencoder.load(kernels, site.folder(model.folder()));
    try {
      return sae.requireFits(folder.model().config());
    } catch (RuntimeException e) {
      sae.close();
      throw e;
    }
  }

  /** What features mean; null where they have not been explained. */
  private FeatureLabels labels() {
    Path folder = site.folder(model.folder());
    return Files.exists(folder.resolve(FeatureLabels.FEATURES_FILE))
        ? FeatureLabels.load(folder)
        : null;
  }

  private Steering steering(FeatureLabels labels) {
    boolean named = edits.stream().anyMatch(edit -> edit.contains("="));
    if (named && labels == null) {
      throw new Refusal(
          site.folder(model.folder()).toString(),
          "its features have no names yet",
          "run 'rhumb explain', or edit features by number");
    }
    Concepts concepts = labels == null ? null : Concepts.load(site.folder(model.folder()), labels);
    return EditOption.parse(edits, concepts).at(positions);
  }

  /** Prints a list with its reasons. */
  static void say(
      Console console,
      String title,
      Catalogue catalogue,
      FeatureLabels labels,
      List<OneUser.Recommended> list) {
    console.heading(title);
    Table table = new Table("", "score", "item", "because of");
    for (int i = 0; i < list.size(); i++) {
      OneUser.Recommended recommended = list.get(i);
      table.row(
          Integer.toString(i + 1),
          String.format(Locale.ROOT, "%.2f", recommended.score()),
          Titles.words(catalogue, recommended.item()),
          String.join(
              ", ",
              recommended.reasons().stream()
                  .map(
                      reason ->
                          String.format(
                              Locale.ROOT,
                              "%s +%.2f",
                              name(labels, reason.feature()),
                              reason.amount()))
                  .toList()));
    }
    console.say(table);
  }

  /** A feature in words. */
  static String name(FeatureLabels labels, int feature) {
    FeatureLabel label = labels == null ? null : labels.features().get(feature);
    return "#" + feature + (label == null || label.label().isEmpty() ? "" : " " + label.label());
  }

  private static List<Map<String, Object>> json(
      Catalogue catalogue, FeatureLabels labels, List<OneUser.Recommended> list) {
    return list.stream()
        .map(
            recommended ->
                map(
                    "id", catalogue.id(recommended.item()),
                    "title", catalogue.title(recommended.item()),
                    "attributes", Titles.attributes(catalogue, recommended.item()),
                    "score", recommended.score(),
                    "reasons",
                        recommended.reasons().stream()
                            .map(
                                reason ->
                                    map(
                                        "feature", reason.feature(),
                                        "label",
                                            labels == null
                                                ? ""
                                                : labels.features().get(reason.feature()).label(),
                                        "amount", reason.amount()))
                            .toList()))
        .toList();
  }
}
