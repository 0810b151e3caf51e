package dev.rhumb.serve;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Tensor;
import dev.rhumb.sae.SaeArchitecture;
import dev.rhumb.sae.SparseAutoencoder;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.Function;

/** Model folders with random weights, to serve from. */
final class RandomFolder {
  private RandomFolder() {}

  /** Writes a model and an autoencoder of that shape, both with weights drawn anew. */
  static void write(
      Path folder, ModelConfig config, Function<Kernels, SparseAutoencoder> autoencoder) {
    write(folder, config, config.items(), autoencoder);
  }

  /** The same with so many different item embeddings: items that far apart have the same score. */
  static void write(
      Path folder,
      ModelConfig config,
      int different,
      Function<Kernels, SparseAutoencoder> autoencoder) {
    DatasetBuilder builder = new DatasetBuilder();
    for (int item = 1; item <= config.items(); item++) {
      builder.add("u", Integer.toString(item), item);
    }
    try (Kernels kernels = Kernels.open();
        Dataset dataset = builder.build("all");
        Model model = Model.initialise(kernels, config, 3);
        SparseAutoencoder sae = autoencoder.apply(kernels)) {
      int number = 0;
      for (Tensor tensor : model.parameters().tensors()) {
        scramble(tensor.data(), 0.2f, number++);
      }
      float[] table = model.itemTable().floats();
      int d = config.width();
      for (int item = different + 1; item <= config.items(); item++) {
        System.arraycopy(table, (item - different) * d, table, item * d, d);
      }
      model.itemTable().put(0, table, 0, table.length);
      scramble(sae.encoderWeights(), 0.5f, 100);
      scramble(sae.decoderWeights(), 0.5f, 101);
      scramble(sae.decoderBias(), 0.1f, 102);
      if (sae.architecture() == SaeArchitecture.GATED) {
        scramble(sae.magnitudeScale(), 0.3f, 103);
        scramble(sae.magnitudeBias(), 0.3f, 104);
      }
      sae.refresh(kernels);
      ModelFolder.writeDescription(
          folder,
          config,
          dataset.catalogue(),
          new ModelFolder.Description("all", dataset.fingerprint(), "none", Map.of()));
      ModelFolder.writeWeights(folder, model.parameters());
      sae.save(SparseAutoencoder.folder(folder, sae.site()));
    }
  }

  private static void scramble(Buffer data, float by, int number) {
    float[] values = data.floats();
    for (int i = 0; i < values.length; i++) {
      values[i] += by * (float) Philox.normal(5, 1, number, i);
    }
    data.put(0, values, 0, values.length);
  }
}
