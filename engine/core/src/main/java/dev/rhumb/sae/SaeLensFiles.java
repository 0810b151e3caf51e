package dev.rhumb.sae;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Site;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Autoencoders in the layout of SAELens. The configuration says {@code architecture}, {@code d_in}
 * (D), {@code d_sae} (F) and what else changes the arithmetic; the tensors are W_enc (D, F), W_dec
 * (F, D), b_dec (D), and for each feature b_enc; a JumpReLU's threshold; a gated one's b_gate in
 * the place of b_enc, r_mag and b_mag.
 *
 * <p>Carried over to the weights, in double: {@code apply_b_dec_to_input} false (W_enc b_dec goes
 * into the biases) and {@code rescale_acts_by_decoder_norm} (the norms of the decoder's rows go
 * into the encoder). Activations are those of SAELens. A decoder without that rescaling keeps its
 * rows as they are, of unit norm or not.
 */
final class SaeLensFiles {
  static final String CONFIG = "cfg.json";
  static final String WEIGHTS = "sae_weights.safetensors";

  private static final int MOST = 1 << 24;
  private static final String ARCHITECTURE = "architecture";
  private static final String RESCALED = "rescale_acts_by_decoder_norm";
  private static final String BIAS_APPLIED = "apply_b_dec_to_input";
  private static final String NORMALISED = "normalize_activations";
  private static final String BATCH_THRESHOLD = "topk_threshold";
  private static final String SCALING = "scaling_factor";
  private static final Set<String> BATCH = Set.of("batchtopk", "matryoshka_batchtopk");
  private static final Set<String> DTYPES = Set.of("float32", "float16", "bfloat16", "float64");

  private SaeLensFiles() {}

  /**
   * What a configuration describes.
   *
   * @param architecture what it is here
   * @param kept K of a TopK, F of the others
   * @param batch whether one threshold of a training checkpoint holds for all features
   * @param rescaled whether the decoder's norms belong to the activations
   * @param biasApplied whether the encoder reads x - b_dec
   */
  private record Form(
      SaeArchitecture architecture,
      int features,
      int width,
      int kept,
      boolean batch,
      boolean rescaled,
      boolean biasApplied) {}

  static void write(SparseAutoencoder sae, Path folder) {
    try (FolderLock _ = FolderLock.take(folder, "writing an autoencoder");
        HostMatrix transposed =
            HostMatrix.transposeOf(sae.encoderWeights(), sae.features(), sae.width())) {
      long f = sae.features();
      long d = sae.width();
      List<Safetensors.Tensor> tensors = new ArrayList<>();
      tensors.add(new Safetensors.Tensor("W_enc", new long[] {d, f}, transposed.buffer()));
      tensors.add(new Safetensors.Tensor("W_dec", new long[] {f, d}, sae.decoderWeights()));
      perFeature(sae.weights())
          .forEach(
              (name, buffer) -> tensors.add(new Safetensors.Tensor(name, new long[] {f}, buffer)));
      tensors.add(new Safetensors.Tensor("b_dec", new long[] {d}, sae.decoderBias()));
      Safetensors.write(folder.resolve(WEIGHTS), Map.of("format", "pt"), tensors);
      AtomicFiles.writeString(folder.resolve(CONFIG), Json.write(config(sae)));
    }
  }

  private static Map<String, Object> config(SparseAutoencoder sae) {
    Map<String, Object> about = new LinkedHashMap<>();
    about.put("hook_name", sae.site().toString());
    about.put("rhumb", sae.metadata());
    Map<String, Object> config = new LinkedHashMap<>();
    config.put("d_in", (long) sae.width());
    config.put("d_sae", (long) sae.features());
    config.put("dtype", "float32");
    config.put("device", "cpu");
    config.put(BIAS_APPLIED, true);
    config.put(NORMALISED, "none");
    config.put("reshape_activations", "none");
    config.put("metadata", about);
    if (sae.architecture() == SaeArchitecture.TOP_K) {
      config.put("k", (long) sae.kept());
    }
    config.put(ARCHITECTURE, sae.architecture().label());
    return config;
  }

  /** The tensors of one number for each feature, by their names in the file. */
  private static Map<String, Buffer> perFeature(SaeWeights weights) {
    Map<String, Buffer> buffers = new LinkedHashMap<>();
    boolean gated = weights.magnitudeScale != null;
    buffers.put(gated ? "b_gate" : "b_enc", weights.encoderBias);
    if (gated) {
      buffers.put("r_mag", weights.magnitudeScale);
      buffers.put("b_mag", weights.magnitudeBias);
    }
    if (weights.threshold != null) {
      buffers.put("threshold", weights.threshold);
    }
    return buffers;
  }

  /**
   * Reads both files.
   *
   * @param wanted the site, or null: as the file says
   */
  static SparseAutoencoder read(Kernels kernels, Path folder, Site wanted) {
    JsonObject config = Json.readObject(folder.resolve(CONFIG));
    String name = config.has(ARCHITECTURE) ? config.string(ARCHITECTURE) : "standard";
    Form form = form(config, name);
    requirePlain(config, name);
    JsonObject about = config.has("metadata") ? config.object("metadata") : config;
    Site site = wanted == null ? site(about) : wanted;
    Map<String, Object> metadata = new LinkedHashMap<>();
    if (about.has("rhumb")) {
      JsonObject ours = about.object("rhumb");
      ours.keys().forEach(key -> metadata.put(key, ours.value(key)));
    } else {
      metadata.put("imported_from", "saelens");
      metadata.put("variant", name);
    }
    Path file = folder.resolve(WEIGHTS);
    try (Safetensors in = Safetensors.open(file)) {
      SparseAutoencoder sae = make(kernels, site, form, metadata);
      try {
        fill(in, sae.weights(), form);
        SaeImport.carryOver(sae.weights(), form.rescaled, form.biasApplied, file);
        sae.refresh(kernels);
        SaeImport.requireFinite(sae, file);
        return sae;
      } catch (RuntimeException e) {
        sae.close();
        throw SaeImport.named(e, file);
      }
    }
  }

  private static SparseAutoencoder make(
      Kernels kernels, Site site, Form form, Map<String, Object> metadata) {
    return form.architecture == SaeArchitecture.TOP_K
        ? new SparseAutoencoder(kernels, site, form.features, form.width, form.kept, metadata)
        : new SparseAutoencoder(
            kernels, site, form.features, form.width, form.architecture, metadata);
  }

  private static Form form(JsonObject config, String name) {
    int width = config.integer("d_in", 1, MOST);
    int features = config.integer("d_sae", 1, MOST);
    boolean oldTopK = "topk".equals(activation(config));
    boolean batch = BATCH.contains(name);
    SaeArchitecture architecture;
    if (batch) {
      architecture = SaeArchitecture.JUMP_RELU;
    } else if (oldTopK && name.equals("standard")) {
      // Before SAELens 6, TopK was an activation of the standard architecture.
      architecture = SaeArchitecture.TOP_K;
    } else {
      try {
        architecture = SaeArchitecture.of(name);
      } catch (IllegalArgumentException e) {
        throw config.refuse(
            ARCHITECTURE,
            "is \"" + name + "\"",
            e.getMessage() + ", " + String.join(", ", BATCH.stream().sorted().toList()));
      }
    }
    int kept = features;
    if (architecture == SaeArchitecture.TOP_K) {
      JsonObject k = config.has("k") || !oldTopK ? config : config.object("activation_fn_kwargs");
      kept = k.integer("k", 1, features);
    }
    // Where it is not said, SAELens's own defaults hold.
    boolean rescaled = config.has(RESCALED) ? config.flag(RESCALED) : batch;
    if (rescaled && !batch && architecture != SaeArchitecture.TOP_K) {
      throw config.refuse(
          RESCALED, "is true, which means nothing for \"" + name + "\"", "write false");
    }
    return new Form(
        architecture,
        features,
        width,
        kept,
        batch,
        rescaled,
        !config.has(BIAS_APPLIED) || config.flag(BIAS_APPLIED));
  }

  private static String activation(JsonObject config) {
    for (String key : new String[] {"activation_fn", "activation_fn_str"}) {
      if (config.has(key) && config.value(key) != null) {
        return config.string(key);
      }
    }
    return null;
  }

  /** Refuses what would have to be done to x or to the activations at each encode. */
  private static void requirePlain(JsonObject config, String name) {
    String dtype = config.string("dtype").replaceFirst("^torch\\.", "");
    if (!DTYPES.contains(dtype)) {
      throw config.refuse(
          "dtype",
          "is \"" + config.string("dtype") + "\"",
          "give one of " + String.join(", ", DTYPES.stream().sorted().toList()));
    }
    Object normalised = config.has(NORMALISED) ? config.value(NORMALISED) : null;
    if (normalised != null && !normalised.equals("none") && !normalised.equals(false)) {
      throw config.refuse(
          NORMALISED,
          "is " + Json.write(normalised).strip(),
          "only \"none\" can be computed here: fold a scaling of activations into the weights"
              + " first (fold_activation_norm_scaling_factor)");
    }
    Object reshaped =
        config.has("reshape_activations") ? config.value("reshape_activations") : null;
    if (reshaped != null && !reshaped.equals("none")) {
      throw config.refuse(
          "reshape_activations", "is not \"none\"", "there are no heads to join here");
    }
    if (config.has("finetuning_scaling_factor")
        && Boolean.TRUE.equals(config.value("finetuning_scaling_factor"))) {
      throw config.refuse(
          "finetuning_scaling_factor", "is true", "fold the factor into W_dec and write false");
    }
    String activation = activation(config);
    boolean topK = name.equals("topk") || name.equals("standard");
    if (activation != null && !activation.equals("relu") && !(activation.equals("topk") && topK)) {
      throw config.refuse(
          config.has("activation_fn") ? "activation_fn" : "activation_fn_str",
          "is \"" + activation + "\"",
          "only \"relu\", and \"topk\" of a standard autoencoder, can be computed here");
    }
  }

  private static Site site(JsonObject about) {
    String key = about.has("hook_point") && !about.has("hook_name") ? "hook_point" : "hook_name";
    String name = about.string(key);
    try {
      return SaeImport.site(name);
    } catch (IllegalArgumentException e) {
      throw about.refuse(key, "is no site", e.getMessage() + "; or say where it sits");
    }
  }

  private static void fill(Safetensors in, SaeWeights weights, Form form) {
    Map<String, Buffer> perFeature = perFeature(weights);
    if (form.batch) {
      perFeature.remove("threshold");
    }
    List<String> wanted = new ArrayList<>(List.of("W_enc", "W_dec", "b_dec"));
    wanted.addAll(perFeature.keySet());
    if (form.batch) {
      wanted.add(BATCH_THRESHOLD);
    }
    List<String> allowed = new ArrayList<>(wanted);
    allowed.add(SCALING);
    SaeImport.requireTensors(in, wanted, allowed);
    int features = form.features;
    int width = form.width;
    try (HostMatrix encoder = HostMatrix.of((long) width * features)) {
      in.copyAsFloats("W_enc", encoder.buffer(), width, features);
      try (HostMatrix transposed = HostMatrix.transposeOf(encoder.buffer(), width, features)) {
        weights.encoder.copyFrom(transposed.buffer());
      }
    }
    in.copyAsFloats("W_dec", weights.decoder, features, width);
    in.copyAsFloats("b_dec", weights.decoderBias, width);
    perFeature.forEach((name, buffer) -> in.copyAsFloats(name, buffer, features));
    if (form.batch) {
      Buffer one = weights.threshold.slice(0, 1);
      in.copyAsFloats(BATCH_THRESHOLD, one);
      float[] all = new float[features];
      Arrays.fill(all, one.floats()[0]);
      weights.threshold.put(0, all, 0, features);
    }
    if (in.names().contains(SCALING)) {
      requireOnes(in, features);
    }
  }

  /** SAELens wrote this tensor for a while, all ones, whether or not it was in use. */
  private static void requireOnes(Safetensors in, int features) {
    try (HostMatrix factors = HostMatrix.of(features)) {
      in.copyAsFloats(SCALING, factors.buffer(), features);
      for (float factor : factors.buffer().floats()) {
        if (factor != 1) {
          throw new FormatException(
              in.file(),
              "tensor " + SCALING,
              "is not all ones",
              "fold the factors into W_dec and leave the tensor out");
        }
      }
    }
  }
}
