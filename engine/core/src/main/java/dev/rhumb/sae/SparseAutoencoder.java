package dev.rhumb.sae;

import dev.rhumb.checkpoint.Json;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.PackedEncoder;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A sparse autoencoder on raw hidden states of a site. Scores are W_enc (x - b_dec) + b_enc; by its
 * {@link SaeArchitecture} they select features, with activations z; x^ = the sum of z_f W_dec[f], +
 * b_dec. Trained here, rows of W_dec have unit norm, so that an activation says how far it moves
 * the hidden state; read from elsewhere, they are as they were.
 *
 * <p>Files, in the layout that SAELens reads: {@code cfg.json} and {@code sae_weights.safetensors}
 * with W_enc (D, F), W_dec (F, D), b_enc (F), b_dec (D); a JumpReLU's threshold (F); a gated one's
 * b_gate (F) in the place of b_enc, r_mag (F), b_mag (F).
 *
 * <p>Ownership: closes its weights. Threads: any number may read at once, each with kernels of its
 * own; whoever changes weights calls {@link #refresh} before the next encode, with no reader about.
 */
public final class SparseAutoencoder implements AutoCloseable {
  /** The name of the configuration in its folder. */
  public static final String CONFIG_FILE = SaeLensFiles.CONFIG;

  /** The name of the weights in its folder. */
  public static final String WEIGHTS_FILE = SaeLensFiles.WEIGHTS;

  /** Entries of lists that are worked on at a time, about. */
  private static final int ENTRIES = 1 << 20;

  /** Weights of an encoder that are past a core's fastest caches. */
  private static final long WORTH_COMPRESSING = 1 << 18;

  private final Site site;
  private final SaeArchitecture architecture;
  private final int kept;
  private final SaeWeights weights;
  private final PackedEncoder packed;
  private final ThresholdBuffers thresholds;
  private final Map<String, Object> metadata;

  /**
   * A TopK autoencoder with all weights 0.
   *
   * @param features F
   * @param width D
   * @param kept K, from 1 to F
   * @param metadata what else its files say of it: values of {@link Json}
   */
  public SparseAutoencoder(
      Kernels kernels, Site site, int features, int width, int kept, Map<String, Object> metadata) {
    this(kernels, site, features, width, SaeArchitecture.TOP_K, kept, metadata);
  }

  /**
   * An autoencoder with all weights 0, not a TopK.
   *
   * @param features F
   * @param width D
   * @param metadata what else its files say of it: values of {@link Json}
   */
  public SparseAutoencoder(
      Kernels kernels,
      Site site,
      int features,
      int width,
      SaeArchitecture architecture,
      Map<String, Object> metadata) {
    this(kernels, site, features, width, architecture, features, metadata);
    if (architecture == SaeArchitecture.TOP_K) {
      close();
      throw new IllegalArgumentException("SAE: a TopK needs K, the number of features kept");
    }
  }

  private SparseAutoencoder(
      Kernels kernels,
      Site site,
      int features,
      int width,
      SaeArchitecture architecture,
      int kept,
      Map<String, Object> metadata) {
    if (features < 1 || width < 1 || kept < 1 || kept > features) {
      throw new IllegalArgumentException(
          "SAE: F = "
              + features
              + ", D = "
              + width
              + ", K = "
              + kept
              + ", but F and D must be at least 1 and K from 1 to F");
    }
    this.site = site;
    this.architecture = architecture;
    this.kept = kept;
    this.metadata = java.util.Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
    weights = new SaeWeights(kernels, features, width, architecture);
    // A request reads the dictionary for one row alone: by the byte, where it is past the caches.
    boolean compressed =
        architecture == SaeArchitecture.TOP_K
            && (long) features * width >= WORTH_COMPRESSING
            && kept <= features / 16;
    packed = kernels.sae().encoder(features, width, compressed);
    thresholds =
        architecture == SaeArchitecture.TOP_K ? null : new ThresholdBuffers(kernels, features);
    refresh(kernels);
  }

  /** Where in the transformer it sits. */
  public Site site() {
    return site;
  }

  /** F. */
  public int features() {
    return weights.features;
  }

  /** D. */
  public int width() {
    return weights.width;
  }

  /** How scores select features. */
  public SaeArchitecture architecture() {
    return architecture;
  }

  /** Entries of a row at most: K of a TopK, F of the others. */
  public int kept() {
    return kept;
  }

  /** How it was trained, as {@link SaeVariant#label} has it; its architecture where unknown. */
  public String variant() {
    return String.valueOf(metadata.getOrDefault("variant", architecture.label()));
  }

  /** What it is, in a few words: "1024 features, topk, 16 kept". */
  public String describe() {
    String kept = architecture == SaeArchitecture.TOP_K ? ", " + this.kept + " kept" : "";
    return features() + " features, " + variant() + kept;
  }

  /** How many of {@code rows} to encode at a time, so that lists stay small. */
  public int blockRows(int rows) {
    return Math.clamp(ENTRIES / kept, 1, Math.max(1, rows));
  }

  /** What its files say of its training and data; cannot be changed. */
  public Map<String, Object> metadata() {
    return metadata;
  }

  /** W_enc (F, D), one row for each feature. Owned by this object. */
  public Buffer encoderWeights() {
    return weights.encoder;
  }

  /** W_dec (F, D), one row for each feature. Owned by this object. */
  public Buffer decoderWeights() {
    return weights.decoder;
  }

  /** b_enc (F), of a gated autoencoder b_gate. Owned by this object. */
  public Buffer encoderBias() {
    return weights.encoderBias;
  }

  /** b_dec (D). Owned by this object. */
  public Buffer decoderBias() {
    return weights.decoderBias;
  }

  /** Thresholds (F) of a JumpReLU, else null. Owned by this object. */
  public Buffer threshold() {
    return weights.threshold;
  }

  /** r_mag (F) of a gated autoencoder, else null. Owned by this object. */
  public Buffer magnitudeScale() {
    return weights.magnitudeScale;
  }

  /** b_mag (F) of a gated autoencoder, else null. Owned by this object. */
  public Buffer magnitudeBias() {
    return weights.magnitudeBias;
  }

  /** The encoder as kernels take it. Owned by this object. */
  public PackedEncoder packed() {
    return packed;
  }

  /** Packs the encoder's weights again, after they changed. */
  public void refresh(Kernels kernels) {
    kernels
        .sae()
        .pack(
            packed, features(), weights.encoder, weights.encoderBias, weights.decoderBias, null, 0);
    if (architecture == SaeArchitecture.JUMP_RELU) {
      thresholds.threshold(weights.threshold.floats());
    } else if (architecture == SaeArchitecture.GATED) {
      GatedLoss.setMagnitudes(weights, thresholds, new float[features()]);
    }
  }

  /**
   * Encodes, exactly: the selection is that of the float32 chain that {@link dev.rhumb.kernels.Sae}
   * states.
   *
   * @param x (rows, D), contiguous
   * @param indices (rows, K) int32, lists set: the features kept, of a TopK the largest first,
   *     elsewhere ascending
   * @param values (rows, K), set: their activations, which may be 0
   */
  public void encode(Kernels kernels, long rows, Buffer x, Buffer indices, Buffer values) {
    if (thresholds == null) {
      kernels.sae().encodeTopK(packed, rows, kept, x, width(), indices, values);
    } else {
      kernels.sae().encodeAbove(packed, thresholds.thresholds(), rows, x, width(), indices, values);
    }
  }

  /**
   * Encodes, edits and writes the change back: {@link dev.rhumb.kernels.Sae#steer}.
   *
   * @param x (rows, D), contiguous
   * @param y (rows, D), contiguous, set; may be x
   * @param indices (rows, K) int32, lists set: the encode of x before any edit
   * @param values (rows, K), set: likewise
   */
  public void steer(
      Kernels kernels,
      long rows,
      Buffer x,
      EditTable edits,
      Buffer y,
      Buffer indices,
      Buffer values) {
    Buffer wDec = weights.decoder;
    Buffer bDec = weights.decoderBias;
    int d = width();
    if (thresholds == null) {
      kernels.sae().steer(packed, wDec, bDec, rows, kept, x, d, edits, y, d, indices, values);
    } else {
      kernels
          .sae()
          .steerAbove(
              packed,
              thresholds.thresholds(),
              wDec,
              bDec,
              rows,
              x,
              d,
              edits,
              y,
              d,
              indices,
              values);
    }
  }

  /**
   * Decodes.
   *
   * @param indices (rows, K) int32, lists
   * @param values (rows, K)
   * @param y (rows, D) contiguous, set
   */
  public void decode(Kernels kernels, long rows, Buffer indices, Buffer values, Buffer y) {
    kernels
        .sae()
        .decode(
            rows,
            kept,
            features(),
            width(),
            indices,
            values,
            weights.decoder,
            weights.decoderBias,
            y,
            width());
  }

  /** Refuses a model whose hidden states it cannot read. */
  public SparseAutoencoder requireFits(ModelConfig config) {
    site.requireIn(config);
    if (config.width() != width()) {
      throw new IllegalArgumentException(
          "SAE: it reads hidden states of width "
              + width()
              + ", but the model's are "
              + config.width()
              + " wide; use the SAE that was trained on this model");
    }
    return this;
  }

  /** The folder of a site's autoencoder within a model folder: {@code sae/block-0}. */
  public static Path folder(Path modelFolder, Site site) {
    return modelFolder.resolve("sae").resolve(site.folder());
  }

  /**
   * The folders of a model's autoencoders, by name.
   *
   * @throws UncheckedIOException when the folder cannot be listed
   */
  public static List<Path> folders(Path modelFolder) {
    Path all = modelFolder.resolve("sae");
    if (!Files.isDirectory(all)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(all)) {
      return entries.filter(p -> Files.exists(p.resolve(CONFIG_FILE))).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException("the folder " + all + " cannot be read", e);
    }
  }

  /** Its weights; owned by this object. */
  SaeWeights weights() {
    return weights;
  }

  /**
   * The folder of a further autoencoder at a site: {@code sae/block-0@wide}.
   *
   * @param name up to 64 lower-case letters, digits, '.', '_' and '-'; null for the site's own
   * @throws IllegalArgumentException when the name is none
   */
  public static Path folder(Path modelFolder, Site site, String name) {
    if (name == null) {
      return folder(modelFolder, site);
    }
    if (!name.matches("[a-z0-9][a-z0-9._-]{0,63}")) {
      throw new IllegalArgumentException(
          "SAE: the name '"
              + name
              + "' must be of up to 64 lower-case letters, digits, '.', '_' and '-', the first a"
              + " letter or digit");
    }
    return modelFolder.resolve("sae").resolve(site.folder() + "@" + name);
  }

  /**
   * Writes both files, each whole or not at all.
   *
   * @param folder made if need be
   * @throws dev.rhumb.checkpoint.FolderInUseException when somebody else writes to the folder
   */
  public void save(Path folder) {
    SaeLensFiles.write(this, folder);
  }

  /**
   * Reads both files, of this library or of SAELens: {@link SaeLayout#SAELENS}.
   *
   * @return the autoencoder, which the caller closes
   * @throws dev.rhumb.checkpoint.FormatException when a file is unsound, or describes another kind
   *     of autoencoder
   */
  public static SparseAutoencoder load(Kernels kernels, Path folder) {
    return SaeLensFiles.read(kernels, folder, null);
  }

  @Override
  public void close() {
    packed.close();
    weights.close();
    if (thresholds != null) {
      thresholds.close();
    }
  }
}
