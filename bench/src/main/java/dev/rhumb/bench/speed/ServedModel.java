package dev.rhumb.bench.speed;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import java.nio.file.Path;
import java.util.Map;

/** A model folder for requests: fresh weights, and an autoencoder of random directions. */
public final class ServedModel {
  /** Where the autoencoder sits. */
  public static final Site SITE = Site.parse("block 0");

  private ServedModel() {}

  /**
   * Writes it.
   *
   * @param features F of the autoencoder
   * @param kept its K
   */
  public static void write(Path folder, Transformer transformer, int features, int kept) {
    int d = transformer.width();
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Model model = transformer.model(kernels);
        SparseAutoencoder sae = new SparseAutoencoder(kernels, SITE, features, d, kept, Map.of())) {
      float[] directions = Inputs.uniform(7, (long) features * d);
      sae.decoderWeights().put(0, directions, 0, directions.length);
      kernels.sae().normaliseRows(features, d, sae.decoderWeights());
      sae.encoderWeights().copyFrom(sae.decoderWeights());
      sae.refresh(kernels);
      ModelFolder.writeDescription(
          folder,
          transformer.config(),
          Stepper.catalogue(transformer.items()),
          new ModelFolder.Description("bench", "bench", "none", Map.of()));
      ModelFolder.writeWeights(folder, model.parameters());
      sae.save(SparseAutoencoder.folder(folder, SITE));
    }
  }
}
