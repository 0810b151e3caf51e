package dev.rhumb.train;

import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.model.Parameters;
import dev.rhumb.model.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * All that a bit-exact resume needs, in one file that is replaced whole with every report:
 * parameters, both moments of Adam, the weights' moving average where there is one, the count of
 * steps, and the history, from which the rest follows. Randomness is counter-based, so there is no
 * generator to keep.
 */
final class TrainingState {
  private static final String SETTINGS = "settings";
  private static final String HISTORY = "history";
  private static final String STEP = "step";
  private static final long MOST = Long.MAX_VALUE;

  private final Path file;

  TrainingState(Path folder) {
    file = folder.resolve("training").resolve("state.safetensors");
  }

  boolean exists() {
    return Files.exists(file);
  }

  Path file() {
    return file;
  }

  /**
   * Writes it.
   *
   * @param average or null
   */
  void write(
      String settings,
      long step,
      List<EpochReport> history,
      Parameters x,
      Parameters m,
      Parameters v,
      Parameters average) {
    try {
      Files.createDirectories(file.getParent());
    } catch (IOException e) {
      throw new UncheckedIOException("folder " + file.getParent() + " cannot be made", e);
    }
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    add(tensors, "x.", x);
    add(tensors, "m.", m);
    add(tensors, "v.", v);
    if (average != null) {
      add(tensors, "average.", average);
    }
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put(SETTINGS, settings);
    metadata.put(STEP, Long.toString(step));
    metadata.put(HISTORY, Json.write(history.stream().map(TrainingState::toJson).toList()));
    Safetensors.write(file, metadata, tensors);
  }

  /**
   * Fills the parameters and the history; returns the count of steps.
   *
   * @param average or null
   */
  long read(
      String settings,
      List<EpochReport> history,
      Parameters x,
      Parameters m,
      Parameters v,
      Parameters average) {
    try (Safetensors in = Safetensors.open(file)) {
      Map<String, String> metadata = in.metadata();
      if (!settings.equals(metadata.get(SETTINGS))) {
        throw new IllegalArgumentException(
            "the run in "
                + file.getParent().getParent()
                + " has other settings:\n"
                + metadata.get(SETTINGS)
                + "\nnot\n"
                + settings
                + "\nresume with those, or train into another folder");
      }
      take(in, "x.", x);
      take(in, "m.", m);
      take(in, "v.", v);
      if (average != null) {
        take(in, "average.", average);
      }
      history.addAll(history(metadata));
      return step(metadata);
    }
  }

  /** The history alone. */
  List<EpochReport> history() {
    try (Safetensors in = Safetensors.open(file)) {
      return history(in.metadata());
    }
  }

  private List<EpochReport> history(Map<String, String> metadata) {
    List<EpochReport> history = new ArrayList<>();
    Object list = Json.parse(metadata.getOrDefault(HISTORY, ""), file + " (" + HISTORY + ")");
    List<?> entries = (List<?>) list;
    for (Object entry : entries) {
      JsonObject object = JsonObject.of(entry, file + " (" + HISTORY + ")");
      // Runs of before reports had steps have one report an epoch, all of the same steps.
      long steps = step(metadata) / entries.size() * (history.size() + 1);
      history.add(fromJson(object, object.has("step") ? object.integer("step", 1L, MOST) : steps));
    }
    return history;
  }

  private static long step(Map<String, String> metadata) {
    return Long.parseLong(metadata.getOrDefault(STEP, ""));
  }

  private static void add(List<Safetensors.Tensor> tensors, String prefix, Parameters parameters) {
    for (Tensor tensor : parameters.tensors()) {
      tensors.add(new Safetensors.Tensor(prefix + tensor.name(), tensor.shape(), tensor.data()));
    }
  }

  private static void take(Safetensors in, String prefix, Parameters parameters) {
    for (Tensor tensor : parameters.tensors()) {
      in.copyTo(prefix + tensor.name(), tensor.data(), tensor.shape());
    }
  }

  private static Map<String, Object> toJson(EpochReport r) {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("epoch", r.epoch());
    map.put("step", r.step());
    map.put("loss", r.loss());
    put(map, "learning_rate", r.learningRate());
    put(map, "validation_ndcg", r.validationNdcg());
    put(map, "validation_hit_rate", r.validationHitRate());
    map.put("train_seconds", r.trainSeconds());
    map.put("validation_seconds", r.validationSeconds());
    map.put("best", r.best());
    return map;
  }

  /** JSON has no NaN: what is none is left out. */
  private static void put(Map<String, Object> map, String key, double value) {
    if (!Double.isNaN(value)) {
      map.put(key, value);
    }
  }

  private static EpochReport fromJson(JsonObject o, long step) {
    return new EpochReport(
        o.integer("epoch", 1, Integer.MAX_VALUE),
        step,
        o.number("loss"),
        number(o, "learning_rate"),
        number(o, "validation_ndcg"),
        number(o, "validation_hit_rate"),
        o.number("train_seconds"),
        o.number("validation_seconds"),
        o.flag("best"));
  }

  private static double number(JsonObject o, String key) {
    return o.has(key) ? o.number(key) : Double.NaN;
  }
}
