package dev.rhumb.app;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import picocli.CommandLine.Option;

/** Which autoencoder of a model folder a command works on. */
final class SiteOptions {
  @Option(
      names = "--site",
      paramLabel = "SITE",
      description =
          "Where its autoencoder sits: 'block 0', 'mlp 0', 'last' (default: the only one).")
  private String site;

  /** The folder of the autoencoder. */
  Path folder(Path model) {
    if (site != null) {
      Path folder = SparseAutoencoder.folder(model, Site.parse(site));
      if (!Files.exists(folder.resolve(SparseAutoencoder.CONFIG_FILE))) {
        throw new Refusal(folder.toString(), "holds no autoencoder", "train one with 'rhumb sae'");
      }
      return folder;
    }
    List<Path> all = all(model.resolve("sae"));
    return switch (all.size()) {
      case 0 ->
          throw new Refusal(model.toString(), "holds no autoencoder", "train one with 'rhumb sae'");
      case 1 -> all.getFirst();
      default ->
          throw new Refusal(
              model.toString(),
              "holds autoencoders at "
                  + String.join(", ", all.stream().map(p -> p.getFileName().toString()).toList()),
              "choose one with --site");
    };
  }

  /** Opens it, for the caller to close, and refuses one that does not fit the model. */
  SparseAutoencoder open(Kernels kernels, Trained trained) {
    SparseAutoencoder sae = SparseAutoencoder.load(kernels, folder(trained.folder().folder()));
    try {
      return sae.requireFits(trained.model().config());
    } catch (RuntimeException e) {
      sae.close();
      throw e;
    }
  }

  private static List<Path> all(Path folder) {
    if (!Files.isDirectory(folder)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(folder)) {
      return entries
          .filter(entry -> Files.exists(entry.resolve(SparseAutoencoder.CONFIG_FILE)))
          .sorted()
          .toList();
    } catch (IOException e) {
      throw new Refusal(folder.toString(), "cannot be listed: " + e, "check its permissions", e);
    }
  }
}
