package dev.rhumb.bench.load;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * A model folder of MovieLens 1M's size whose weights are random: what an answer costs does not
 * depend on what was learned.
 */
final class GeneratedModel {
  static final int ITEMS = 3706;
  static final int WIDTH = 64;
  static final int LENGTH = 200;
  static final int FEATURES = 4096;
  static final int KEPT = 32;
  static final String SHAPE =
      "V " + ITEMS + ", D " + WIDTH + ", 2 blocks, T " + LENGTH + ", F " + FEATURES + ", K " + KEPT;
  private static final Site SITE = Site.parse("block 0");
  private static final long SEED = 1;

  private GeneratedModel() {}

  /** Makes the folder, unless it is there already; returns it. */
  static Path make(Path folder) {
    Path sae = SparseAutoencoder.folder(folder, SITE);
    if (Files.exists(sae.resolve(SparseAutoencoder.WEIGHTS_FILE))) {
      return folder;
    }
    ModelConfig config = ModelConfig.of(BlockStyle.SASREC, ITEMS, WIDTH, 2, 1, LENGTH, 0);
    DatasetBuilder builder = new DatasetBuilder();
    for (int item = 1; item <= ITEMS; item++) {
      builder.item(Integer.toString(item), "Item number " + item, "Genre " + item % 18);
      builder.add("user", Integer.toString(item), item);
    }
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Dataset dataset = builder.build("generated");
        Model model = Model.initialise(kernels, config, SEED);
        SparseAutoencoder autoencoder =
            new SparseAutoencoder(kernels, SITE, FEATURES, WIDTH, KEPT, Map.of())) {
      ModelFolder.writeDescription(
          folder,
          config,
          dataset.catalogue(),
          new ModelFolder.Description("generated", dataset.fingerprint(), "none", Map.of()));
      ModelFolder.writeWeights(folder, model.parameters());
      random(autoencoder.encoderWeights(), 0);
      random(autoencoder.decoderWeights(), 1);
      kernels.sae().normaliseRows(FEATURES, WIDTH, autoencoder.decoderWeights());
      autoencoder.refresh(kernels);
      autoencoder.save(sae);
    }
    return folder;
  }

  private static void random(Buffer buffer, int stream) {
    float[] values = new float[(int) buffer.count()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) Philox.normal(SEED, stream, 0, i) / 8;
    }
    buffer.put(0, values, 0, values.length);
  }
}
