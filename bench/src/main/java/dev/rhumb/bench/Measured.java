package dev.rhumb.bench;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.kernels.Kernels;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Figures of one part of a study, measured once and kept in a file, so that a study that was
 * stopped goes on where it was, and each figure stays with the commit that measured it.
 *
 * @param commit of the code that measured
 * @param backend that ran
 * @param threads how many
 * @param values by metric, in order; what is not defined is NaN
 */
public record Measured(String commit, String backend, int threads, Map<String, Double> values) {

  /** Work that ends in figures. */
  @FunctionalInterface
  public interface Work {
    /** Measures; by metric. */
    Map<String, Double> measure() throws Exception;
  }

  /** Reads the file, or measures and writes it. */
  public static Measured once(Path file, Kernels kernels, Work work) throws Exception {
    if (!Files.exists(file)) {
      String commit = ResultTable.commit();
      Map<String, Object> json = new LinkedHashMap<>();
      json.put("commit", commit);
      json.put("backend", kernels.describe());
      json.put("threads", kernels.threads());
      Map<String, Object> values = new LinkedHashMap<>();
      work.measure().forEach((name, x) -> values.put(name, Double.isFinite(x) ? x : null));
      json.put("values", values);
      Files.createDirectories(file.getParent());
      AtomicFiles.writeString(file, Json.write(json));
      System.out.println(file.getParent().relativize(file) + " " + values);
    }
    return read(file);
  }

  private static Measured read(Path file) throws IOException {
    JsonObject json = JsonObject.of(Json.read(file), file.toString());
    JsonObject values = json.object("values");
    Map<String, Double> figures = new LinkedHashMap<>();
    for (String name : values.keys()) {
      figures.put(name, values.value(name) == null ? Double.NaN : values.number(name));
    }
    return new Measured(
        json.string("commit"),
        json.string("backend"),
        json.integer("threads", 1, 1 << 16),
        figures);
  }

  /** A figure. */
  public double get(String metric) {
    Double value = values.get(metric);
    if (value == null) {
      throw new IllegalArgumentException(
          "there is no figure '" + metric + "' among " + values.keySet());
    }
    return value;
  }
}
