package dev.rhumb.app;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Option;

/** Which autoencoder of a model folder a command works on. */
final class SiteOptions {
  @Option(
      names = "--site",
      paramLabel = "SITE",
      description =
          "Where its autoencoder sits: 'block 0', 'mlp 0', 'last' (default: the only one).")
  private String site;

  @Option(
      names = "--sae",
      paramLabel = "FOLDER",
      description =
          "Which of the model's autoencoders, by its folder: block-0, block-0@wide"
              + " (default: the only one).")
  private String sae;

  /** The folder of the autoencoder. */
  Path folder(Path model) {
    if (site != null && sae != null) {
      throw new Refusal("--site and --sae", "both name an autoencoder", "leave one of them out");
    }
    if (site != null) {
      return requireSae(model, SparseAutoencoder.folder(model, Site.parse(site)));
    }
    if (sae != null) {
      Path saes = model.resolve("sae");
      Path folder = saes.resolve(sae).normalize();
      if (!saes.normalize().equals(folder.getParent())) {
        throw new Refusal("--sae " + sae, "is no folder of " + saes, "give its name alone");
      }
      return requireSae(model, folder);
    }
    List<Path> all = SparseAutoencoder.folders(model);
    return switch (all.size()) {
      case 0 ->
          throw new Refusal(model.toString(), "holds no autoencoder", "train one with 'rhumb sae'");
      case 1 -> all.getFirst();
      default ->
          throw new Refusal(
              model.toString(), "holds autoencoders at " + names(all), "choose one with --sae");
    };
  }

  private static Path requireSae(Path model, Path folder) {
    if (Files.exists(folder.resolve(SparseAutoencoder.CONFIG_FILE))) {
      return folder;
    }
    List<Path> others = SparseAutoencoder.folders(model);
    throw new Refusal(
        folder.toString(),
        "holds no autoencoder",
        others.isEmpty()
            ? "train one with 'rhumb sae'"
            : "train one with 'rhumb sae', or choose one of " + names(others) + " with --sae");
  }

  private static String names(List<Path> folders) {
    return String.join(", ", folders.stream().map(p -> p.getFileName().toString()).toList());
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
}
