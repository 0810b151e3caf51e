package dev.rhumb.model;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.data.Catalogue;
import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/**
 * A model on disk: {@code config.json}, {@code model.safetensors}, {@code items.tsv}. An opened
 * folder's weights are the mapped file where the backend works on host memory, and a copy on the
 * device elsewhere.
 *
 * <p>Ownership: owns its model. Threads: any number may read.
 */
public final class ModelFolder implements AutoCloseable {
  /** The version of the layout that this code reads and writes. */
  public static final int FORMAT = 1;

  private final Path folder;
  private final Model model;
  private final Catalogue catalogue;
  private final Description description;

  /**
   * What {@code config.json} says beside the architecture.
   *
   * @param datasetName what the user called the data
   * @param fingerprint of the data that the model was trained on
   * @param split the name of the split
   * @param training settings of the run, by name
   * @param weights how the weights are stored: F32, or BF16, half as large and widened when opened
   */
  public record Description(
      String datasetName,
      String fingerprint,
      String split,
      Map<String, Object> training,
      DType weights) {
    /** Refuses a type that weights are not stored in. */
    public Description {
      if (weights != DType.F32 && weights != DType.BF16) {
        throw new IllegalArgumentException("model folder: no weights are stored as " + weights);
      }
    }

    /** With weights as they are in memory. */
    public Description(
        String datasetName, String fingerprint, String split, Map<String, Object> training) {
      this(datasetName, fingerprint, split, training, DType.F32);
    }
  }

  private ModelFolder(Path folder, Model model, Catalogue catalogue, Description description) {
    this.folder = folder;
    this.model = model;
    this.catalogue = catalogue;
    this.description = description;
  }

  /** The file of weights. */
  public static Path weights(Path folder) {
    return folder.resolve("model.safetensors");
  }

  /** Writes all but the weights. */
  public static void writeDescription(
      Path folder, ModelConfig c, Catalogue catalogue, Description description) {
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw new UncheckedIOException("model folder " + folder + " cannot be made", e);
    }
    Map<String, Object> config = new LinkedHashMap<>();
    config.put("format", FORMAT);
    config.put("architecture", architecture(c));
    if (description.weights != DType.F32) {
      config.put("weights", label(description.weights));
    }
    Map<String, Object> data = new LinkedHashMap<>();
    data.put("name", description.datasetName);
    data.put("fingerprint", description.fingerprint);
    data.put("split", description.split);
    config.put("dataset", data);
    config.put("training", description.training);
    catalogue.save(folder.resolve("items.tsv"));
    AtomicFiles.writeString(folder.resolve("config.json"), Json.write(config));
  }

  /** Writes the weights as they are; the earlier file stays until they are all there. */
  public static void writeWeights(Path folder, Parameters parameters) {
    writeWeights(folder, parameters, DType.F32);
  }

  /**
   * Writes the weights; the earlier file stays until they are all there.
   *
   * @param stored as the folder's description says: F32, or BF16, rounded to nearest, even
   */
  public static void writeWeights(Path folder, Parameters parameters, DType stored) {
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    for (Tensor tensor : parameters.tensors()) {
      tensors.add(new Safetensors.Tensor(tensor.name(), tensor.shape(), tensor.data(), stored));
    }
    Safetensors.write(weights(folder), Map.of("format", "rhumb-" + FORMAT), tensors);
  }

  /**
   * Opens a folder.
   *
   * @throws FormatException when a file in it is missing, damaged or of another version: it names
   *     the file, place and mend
   * @throws OutOfMemoryError when the table of items does not fit into the heap, before it is read
   */
  public static ModelFolder open(Kernels kernels, Path folder) {
    return open(kernels, folder, Safetensors::load);
  }

  /**
   * Opens a folder whose weights stay in the mapped file, where the backend works on host memory:
   * at once whatever their size, and shared between processes. Only for files that nobody changes
   * in place: see {@link Safetensors} for what happens otherwise. Weights that are stored as BF16
   * are widened into memory, as by {@link #open}.
   *
   * @throws FormatException as {@link #open} does
   */
  public static ModelFolder map(Kernels kernels, Path folder) {
    return open(kernels, folder, Safetensors::open);
  }

  private static ModelFolder open(
      Kernels kernels, Path folder, Function<Path, Safetensors> reader) {
    Path file = folder.resolve("config.json");
    if (!Files.exists(file)) {
      throw new FormatException(
          file,
          "the file",
          "is missing, so this is no model folder",
          "train a model there with `rhumb train`");
    }
    JsonObject config = Json.readObject(file);
    if (config.integer("format", 0, Long.MAX_VALUE) != FORMAT) {
      throw config.refuse(
          "format",
          "is version " + config.value("format") + "; this build reads version " + FORMAT,
          "use the build that wrote it, or train again");
    }
    ModelConfig architecture = architecture(config.object("architecture"));
    JsonObject data = config.object("dataset");
    Map<String, Object> training = new LinkedHashMap<>();
    JsonObject settings = config.object("training");
    for (String key : settings.keys()) {
      training.put(key, settings.value(key));
    }
    Description description =
        new Description(
            data.string("name"),
            data.string("fingerprint"),
            data.string("split"),
            training,
            config.has("weights")
                ? oneOf(config, "weights", new DType[] {DType.F32, DType.BF16})
                : DType.F32);
    Catalogue catalogue = Catalogue.load(folder.resolve("items.tsv"), architecture.items());
    if (catalogue.items() != architecture.items()) {
      throw new FormatException(
          folder.resolve("items.tsv"),
          "the file",
          "lists " + catalogue.items() + " items, but config.json says " + architecture.items(),
          "restore both from one copy of the model");
    }
    return new ModelFolder(
        folder,
        openModel(kernels, architecture, description.weights, reader.apply(weights(folder))),
        catalogue,
        description);
  }

  private static Model openModel(
      Kernels kernels, ModelConfig config, DType stored, Safetensors tensors) {
    if (stored == DType.BF16) {
      try (tensors) {
        return widened(kernels, config, tensors);
      }
    }
    try {
      Parameters mapped =
          new Parameters(config, (name, shape) -> tensors.tensor(name, DType.F32, shape), tensors);
      if (kernels.usesHostMemory()) {
        return new Model(config, mapped);
      }
      Parameters copy = new Parameters(kernels, config);
      copy.copyFrom(mapped);
      mapped.close();
      return new Model(config, copy);
    } catch (RuntimeException | Error e) {
      tensors.close();
      throw e;
    }
  }

  private static Model widened(Kernels kernels, ModelConfig config, Safetensors tensors) {
    Parameters parameters = new Parameters(kernels, config);
    try {
      for (Tensor tensor : parameters.tensors()) {
        tensors.demand(tensor.name(), DType.BF16, tensor.shape());
        tensors.copyAsFloats(tensor.name(), tensor.data(), tensor.shape());
      }
      return new Model(config, parameters);
    } catch (RuntimeException | Error e) {
      parameters.close();
      throw e;
    }
  }

  /** Where it lies. */
  public Path folder() {
    return folder;
  }

  /** The model; owned by this object. */
  public Model model() {
    return model;
  }

  /** The items with titles and attributes. */
  public Catalogue catalogue() {
    return catalogue;
  }

  /** What the configuration says beside the architecture. */
  public Description description() {
    return description;
  }

  @Override
  public void close() {
    model.close();
  }

  private static Map<String, Object> architecture(ModelConfig c) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("style", c.style().label());
    map.put("items", c.items());
    map.put("width", c.width());
    map.put("layers", c.layers());
    map.put("heads", c.heads());
    map.put("max_length", c.maxLength());
    map.put("feed_forward", c.feedForward());
    map.put("dropout", (double) c.dropout());
    map.put("norm_eps", (double) c.normEps());
    Wiring w = c.wiring();
    if (!w.equals(Wiring.of(c.style()))) {
      Map<String, Object> wiring = new LinkedHashMap<>();
      wiring.put("activation", label(w.activation()));
      wiring.put("scaled_embedding", w.scaledEmbedding());
      wiring.put("embedding_norm", w.embeddingNorm());
      wiring.put("final_norm", w.finalNorm());
      wiring.put("padding", label(w.padding()));
      map.put("wiring", wiring);
    }
    return map;
  }

  private static ModelConfig architecture(JsonObject json) {
    try {
      BlockStyle style = BlockStyle.of(json.string("style"));
      return new ModelConfig(
          style,
          json.integer("items", 1, Integer.MAX_VALUE),
          json.integer("width", 1, Integer.MAX_VALUE),
          json.integer("layers", 1, Integer.MAX_VALUE),
          json.integer("heads", 1, Integer.MAX_VALUE),
          json.integer("max_length", 1, Integer.MAX_VALUE),
          json.integer("feed_forward", 1, Integer.MAX_VALUE),
          (float) json.number("dropout"),
          (float) json.number("norm_eps"),
          json.has("wiring") ? wiring(json.object("wiring")) : Wiring.of(style));
    } catch (IllegalArgumentException e) {
      throw json.refuse("style", "describes no model: " + e.getMessage(), "restore config.json");
    }
  }

  private static Wiring wiring(JsonObject json) {
    return new Wiring(
        oneOf(json, "activation", Activation.values()),
        json.flag("scaled_embedding"),
        json.flag("embedding_norm"),
        json.flag("final_norm"),
        oneOf(json, "padding", Padding.values()));
  }

  private static String label(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  private static <E extends Enum<E>> E oneOf(JsonObject json, String key, E[] values) {
    String text = json.string(key);
    for (E value : values) {
      if (label(value).equals(text)) {
        return value;
      }
    }
    throw json.refuse(
        key,
        "is '" + text + "', which this build does not know",
        "use the build that wrote it, or import the model again");
  }
}
