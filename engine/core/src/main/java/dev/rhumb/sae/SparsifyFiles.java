package dev.rhumb.sae;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Site;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * TopK autoencoders in the layout of EleutherAI's sparsify: encoder.weight (F, D), encoder.bias
 * (F), W_dec (F, D), b_dec (D). The encoder reads x - b_dec. {@code multi_topk} and {@code
 * normalize_decoder} are of its training alone; {@code signed}, {@code groupmax}, {@code transcode}
 * and {@code skip_connection} compute something else and are refused.
 */
final class SparsifyFiles {
  static final String CONFIG = "cfg.json";
  static final String WEIGHTS = "sae.safetensors";

  private static final int MOST = 1 << 24;
  private static final String ENCODER = "encoder.weight";
  private static final String ENCODER_BIAS = "encoder.bias";
  private static final List<String> TENSORS = List.of(ENCODER, ENCODER_BIAS, "W_dec", "b_dec");
  private static final Pattern FOLDER = Pattern.compile("(?:.*\\.)?layers[._](\\d+)(\\.mlp)?");

  private SparsifyFiles() {}

  static void write(SparseAutoencoder sae, Path folder) {
    if (sae.architecture() != SaeArchitecture.TOP_K) {
      throw new IllegalArgumentException(
          "SAE: the layout of sparsify has TopK autoencoders only, and this one is "
              + sae.architecture().label()
              + "; write it in the layout of SAELens");
    }
    long f = sae.features();
    long d = sae.width();
    Map<String, Object> config = new LinkedHashMap<>();
    config.put("activation", "topk");
    config.put("expansion_factor", Math.max(1, f / d));
    config.put("normalize_decoder", true);
    config.put("num_latents", f);
    config.put("k", (long) sae.kept());
    config.put("multi_topk", false);
    config.put("skip_connection", false);
    config.put("transcode", false);
    config.put("d_in", d);
    try (FolderLock _ = FolderLock.take(folder, "writing an autoencoder")) {
      Safetensors.write(
          folder.resolve(WEIGHTS),
          Map.of("format", "pt"),
          List.of(
              new Safetensors.Tensor(ENCODER, new long[] {f, d}, sae.encoderWeights()),
              new Safetensors.Tensor(ENCODER_BIAS, new long[] {f}, sae.encoderBias()),
              new Safetensors.Tensor("W_dec", new long[] {f, d}, sae.decoderWeights()),
              new Safetensors.Tensor("b_dec", new long[] {d}, sae.decoderBias())));
      AtomicFiles.writeString(folder.resolve(CONFIG), Json.write(config));
    }
  }

  static SparseAutoencoder read(Kernels kernels, Path folder, Site wanted) {
    JsonObject config =
        Json.readObject(folder.resolve(CONFIG))
            .only(
                "activation",
                "expansion_factor",
                "normalize_decoder",
                "num_latents",
                "k",
                "multi_topk",
                "skip_connection",
                "transcode",
                "signed",
                "d_in");
    if (config.has("activation") && !config.string("activation").equals("topk")) {
      throw config.refuse(
          "activation",
          "is \"" + config.string("activation") + "\"",
          "only \"topk\" can be computed here");
    }
    for (String key : new String[] {"signed", "transcode", "skip_connection"}) {
      if (config.has(key) && config.flag(key)) {
        throw config.refuse(key, "is true", "give an autoencoder that was trained without it");
      }
    }
    int width = config.integer("d_in", 1, MOST);
    int features = config.has("num_latents") ? config.integer("num_latents", 0, MOST) : 0;
    if (features == 0) {
      features = width * config.integer("expansion_factor", 1, MOST / width);
    }
    int kept = config.integer("k", 1, features);
    Site site = wanted == null ? site(folder) : wanted;
    Path file = folder.resolve(WEIGHTS);
    Map<String, Object> metadata = new LinkedHashMap<>();
    metadata.put("imported_from", "sparsify");
    try (Safetensors in = Safetensors.open(file)) {
      SaeImport.requireTensors(in, TENSORS, TENSORS);
      SparseAutoencoder sae = new SparseAutoencoder(kernels, site, features, width, kept, metadata);
      try {
        in.copyAsFloats(ENCODER, sae.encoderWeights(), features, width);
        in.copyAsFloats(ENCODER_BIAS, sae.encoderBias(), features);
        in.copyAsFloats("W_dec", sae.decoderWeights(), features, width);
        in.copyAsFloats("b_dec", sae.decoderBias(), width);
        sae.refresh(kernels);
        SaeImport.requireFinite(sae, file);
        return sae;
      } catch (RuntimeException e) {
        sae.close();
        throw SaeImport.named(e, file);
      }
    }
  }

  /** Where the folder's name says: sparsify names folders after modules. */
  private static Site site(Path folder) {
    String name = String.valueOf(folder.toAbsolutePath().normalize().getFileName());
    Matcher layer = FOLDER.matcher(name);
    if (layer.matches()) {
      return SaeImport.site((layer.group(2) == null ? "block " : "mlp ") + layer.group(1));
    }
    try {
      return SaeImport.site(name);
    } catch (IllegalArgumentException e) {
      throw new FormatException(
          folder, "the folder's name", "is no site: " + e.getMessage(), "say where it sits");
    }
  }
}
