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

  @Option(
      names = "--sae",
      paramLabel = "NAME",
      description = "Which one of a site's named autoencoders (default: the one without a name).")
  private String name;

  /** The folder of the autoencoder. */
  Path folder(Path model) {
    return folder(model, site, name);
  }

  /**
   * The folder of an autoencoder.
   *
   * @param site where it sits, or null: at the only site there is one
   * @param name its name, or null: it has none, or is the only one
   */
  static Path folder(Path model, String site, String name) {
    String at = site == null ? null : Site.parse(site).folder();
    List<String> all = all(model.resolve("sae"));
    List<String> fitting =
        all.stream()
            .filter(folder -> at == null || folder.equals(at) || folder.startsWith(at + "@"))
            .filter(folder -> name == null || folder.endsWith("@" + name))
            .toList();
    List<String> unnamed = fitting.stream().filter(folder -> !folder.contains("@")).toList();
    List<String> chosen = unnamed.isEmpty() ? fitting : unnamed;
    if (chosen.size() == 1) {
      return model.resolve("sae").resolve(chosen.getFirst());
    }
    if (all.isEmpty()) {
      throw new Refusal(model.toString(), "holds no autoencoder", "train one with 'rhumb sae'");
    }
    throw new Refusal(
        model.toString(),
        (chosen.isEmpty() ? "holds no such autoencoder, but those at " : "holds autoencoders at ")
            + String.join(", ", all),
        "choose one with --site, and --sae for what follows the @");
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

  /** The names of the folders that hold an autoencoder. */
  private static List<String> all(Path folder) {
    if (!Files.isDirectory(folder)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(folder)) {
      return entries
          .filter(entry -> Files.exists(entry.resolve(SparseAutoencoder.CONFIG_FILE)))
          .map(entry -> entry.getFileName().toString())
          .sorted()
          .toList();
    } catch (IOException e) {
      throw new Refusal(folder.toString(), "cannot be listed: " + e, "check its permissions", e);
    }
  }
}
