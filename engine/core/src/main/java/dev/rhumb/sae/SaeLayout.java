package dev.rhumb.sae;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Site;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * Layouts of files that autoencoders are kept in, here and elsewhere. What is read computes what
 * its library computes, in float32: settings that change the arithmetic are carried over to the
 * weights, or refused by name.
 *
 * <p>Threads: any.
 */
public enum SaeLayout {
  /**
   * SAELens 6, the layout of model folders here: {@code cfg.json} and {@code
   * sae_weights.safetensors}. Read too: files of SAELens before 6, and training checkpoints of
   * BatchTopK and Matryoshka, whose threshold becomes a JumpReLU's.
   */
  SAELENS("saelens", SaeLensFiles.WEIGHTS),

  /** EleutherAI's sparsify, TopK only: {@code cfg.json} and {@code sae.safetensors}. */
  SPARSIFY("sparsify", SparsifyFiles.WEIGHTS);

  private final String label;
  private final String weights;

  SaeLayout(String label, String weights) {
    this.label = label;
    this.weights = weights;
  }

  /**
   * The layout of that name.
   *
   * @throws IllegalArgumentException when there is none: it names those there are
   */
  public static SaeLayout of(String label) {
    for (SaeLayout one : values()) {
      if (one.label.equals(label)) {
        return one;
      }
    }
    throw new IllegalArgumentException(
        "the layout '"
            + label
            + "' is unknown; there are "
            + String.join(", ", Arrays.stream(values()).map(SaeLayout::toString).toList()));
  }

  /**
   * The layout of the files in a folder.
   *
   * @throws FormatException when they are of none
   */
  public static SaeLayout of(Path folder) {
    for (SaeLayout one : values()) {
      if (Files.exists(folder.resolve(one.weights))) {
        return one;
      }
    }
    throw new FormatException(
        folder,
        "the folder",
        "holds neither " + SAELENS.weights + " nor " + SPARSIFY.weights,
        "name the folder of one autoencoder");
  }

  /**
   * Reads an autoencoder.
   *
   * @param site where it sits here, or null: where its files say, in the words used here or in
   *     those of TransformerLens ({@code blocks.0.hook_resid_post}, {@code blocks.0.hook_mlp_out})
   *     and, for sparsify, by the folder's name ({@code layers.0}, {@code layers.0.mlp})
   * @return the autoencoder, which the caller closes
   * @throws FormatException when a file is unsound, or asks for what cannot be computed here
   */
  public SparseAutoencoder read(Kernels kernels, Path folder, Site site) {
    return switch (this) {
      case SAELENS -> SaeLensFiles.read(kernels, folder, site);
      case SPARSIFY -> SparsifyFiles.read(kernels, folder, site);
    };
  }

  /**
   * Writes an autoencoder: its configuration and its weights, each file whole or not at all.
   *
   * @param folder made if need be
   * @throws IllegalArgumentException when the layout has no such autoencoder
   * @throws dev.rhumb.checkpoint.FolderInUseException when somebody else writes to the folder
   */
  public void write(SparseAutoencoder sae, Path folder) {
    switch (this) {
      case SAELENS -> sae.save(folder);
      case SPARSIFY -> SparsifyFiles.write(sae, folder);
    }
  }

  @Override
  public String toString() {
    return label;
  }
}
