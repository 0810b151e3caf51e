package dev.rhumb.bench.load;

import dev.rhumb.bench.speed.ServedModel;
import dev.rhumb.bench.speed.Transformer;
import dev.rhumb.data.Catalogue;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.sae.SparseAutoencoder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * A model folder of MovieLens 1M's size whose weights are random: what an answer costs does not
 * depend on what was learned. Items have titles and genres, as memory is measured with it.
 */
final class GeneratedModel {
  static final int ITEMS = 3706;
  static final int LENGTH = 200;
  private static final int GENRES = 18;
  private static final int FEATURES = 4096;
  private static final int KEPT = 32;
  private static final Transformer TRANSFORMER = new Transformer(ITEMS, LENGTH, 64, 2);

  /** Its sizes, for a table. */
  static final String SHAPE =
      "V " + ITEMS + ", D 64, 2 blocks, T " + LENGTH + ", F " + FEATURES + ", K " + KEPT;

  private GeneratedModel() {}

  /** Makes the folder, unless it is there already; returns it. */
  static Path make(Path folder) {
    Path sae = SparseAutoencoder.folder(folder, ServedModel.SITE);
    if (Files.exists(sae.resolve(SparseAutoencoder.WEIGHTS_FILE))) {
      return folder;
    }
    ServedModel.write(folder, TRANSFORMER, FEATURES, KEPT);
    List<Catalogue.Item> items =
        IntStream.rangeClosed(1, ITEMS)
            .mapToObj(
                i ->
                    new Catalogue.Item(
                        Integer.toString(i),
                        "The title of item " + i,
                        List.of("Genre " + i % GENRES)))
            .toList();
    ModelFolder.writeDescription(
        folder,
        TRANSFORMER.config(),
        new Catalogue(items),
        new ModelFolder.Description("generated", "generated", "none", Map.of()));
    return folder;
  }
}
