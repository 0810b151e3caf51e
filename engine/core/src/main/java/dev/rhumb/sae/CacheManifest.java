package dev.rhumb.sae;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.checkpoint.Sha256;
import dev.rhumb.kernels.DType;
import dev.rhumb.model.Site;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What the rows of an {@link ActivationCache} are: its {@code cache.json}.
 *
 * @param model SHA-256 of the model's architecture and weights
 * @param dataset what the data are called
 * @param fingerprint of the data
 * @param split what the sequences are called
 * @param sequences SHA-256 of which sequences they are
 * @param site where in the transformer
 * @param width D
 * @param rows of all shards
 * @param dtype of the stored rows
 * @param shardRows rows of each shard but the last
 * @param backend what computed them
 */
record CacheManifest(
    String model,
    String dataset,
    String fingerprint,
    String split,
    String sequences,
    Site site,
    int width,
    long rows,
    DType dtype,
    int shardRows,
    String backend) {
  private static final int FORMAT = 1;
  private static final String CHECKSUM = "checksum";
  private static final String DELETE =
      "delete this file and fill the cache again: it keeps the shards that belong to it";

  static Path file(Path folder) {
    return folder.resolve("cache.json");
  }

  /** Everything but the checksum, by the names in the file. */
  private Map<String, Object> map() {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("format", (long) FORMAT);
    map.put("model_weights", model);
    map.put("dataset", dataset);
    map.put("dataset_fingerprint", fingerprint);
    map.put("split", split);
    map.put("sequences", sequences);
    map.put("site", site.toString());
    map.put("width", (long) width);
    map.put("rows", rows);
    map.put("dtype", dtype.name());
    map.put("shard_rows", (long) shardRows);
    map.put("backend", backend);
    return map;
  }

  /** A digest of everything: what the shards name their cache by. */
  String checksum() {
    return new Sha256().add(Json.write(map())).hex();
  }

  int shards() {
    return Math.toIntExact((rows + shardRows - 1) / shardRows);
  }

  void write(Path file) {
    Map<String, Object> map = map();
    map.put(CHECKSUM, checksum());
    AtomicFiles.writeString(file, Json.write(map));
  }

  static CacheManifest read(Path file) {
    try {
      JsonObject json = Json.readObject(file);
      if (json.integer("format", 0, Long.MAX_VALUE) != FORMAT) {
        throw json.refuse(
            "format",
            "is version " + json.value("format") + "; this build reads version " + FORMAT,
            DELETE);
      }
      CacheManifest manifest =
          new CacheManifest(
              json.string("model_weights"),
              json.string("dataset"),
              json.string("dataset_fingerprint"),
              json.string("split"),
              json.string("sequences"),
              site(json),
              json.integer("width", 1, 1 << 24),
              json.integer("rows", 1, Long.MAX_VALUE),
              dtype(json),
              json.integer("shard_rows", 1, Integer.MAX_VALUE),
              json.string("backend"));
      if (!manifest.checksum().equals(json.string(CHECKSUM))) {
        throw json.refuse(CHECKSUM, "is not that of the other values", DELETE);
      }
      if ((manifest.rows - 1) / manifest.shardRows >= Integer.MAX_VALUE) {
        throw json.refuse("rows", "are too many for shards of shard_rows", DELETE);
      }
      return manifest;
    } catch (FormatException e) {
      throw new FormatException(e.file(), e.where(), e.what(), DELETE);
    }
  }

  private static Site site(JsonObject json) {
    try {
      return Site.parse(json.string("site"));
    } catch (IllegalArgumentException e) {
      throw json.refuse("site", "is no site", DELETE);
    }
  }

  private static DType dtype(JsonObject json) {
    return switch (json.string("dtype")) {
      case "F32" -> DType.F32;
      case "BF16" -> DType.BF16;
      default -> throw json.refuse("dtype", "is neither F32 nor BF16", DELETE);
    };
  }

  /** Refuses a cache of something else than is wanted, naming the first thing that differs. */
  void requireSame(CacheManifest wanted, Path file) {
    Map<String, Object> other = wanted.map();
    map()
        .forEach(
            (key, value) -> {
              if (!value.equals(other.get(key))) {
                throw new FormatException(
                    file,
                    key,
                    "is " + value + ", but " + other.get(key) + " is wanted: another cache",
                    "choose another folder, or delete this one");
              }
            });
  }
}
