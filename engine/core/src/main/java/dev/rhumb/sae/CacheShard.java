package dev.rhumb.sae;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.kernels.Buffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.zip.CRC32C;

/** One file of rows of an {@link ActivationCache}. */
final class CacheShard {
  private static final String ROWS = "rows";
  private static final String CACHE = "cache";
  private static final String INDEX = "shard";
  private static final String CHECKSUM = "crc32c";

  /** A checksum takes in at most so many bytes at a time. */
  private static final long CHUNK = 1 << 28;

  private final Path file;
  private final CacheManifest manifest;
  private final int index;

  CacheShard(Path folder, CacheManifest manifest, int index) {
    file = folder.resolve(String.format(Locale.ROOT, "rows-%06d.safetensors", index));
    this.manifest = manifest;
    this.index = index;
  }

  Path file() {
    return file;
  }

  /** The number of its first row in the cache. */
  long first() {
    return (long) index * manifest.shardRows();
  }

  /** How many rows it holds. */
  int rows() {
    return (int) Math.min(manifest.shardRows(), manifest.rows() - first());
  }

  /** Elements of all its rows. */
  long count() {
    return (long) rows() * manifest.width();
  }

  private long[] shape() {
    return new long[] {rows(), manifest.width()};
  }

  /**
   * Writes it whole or not at all.
   *
   * @param rows (rows, D) of the cache's type, in host memory
   */
  void write(Buffer rows) {
    String cache = manifest.checksum();
    Safetensors.write(
        file,
        Map.of(CACHE, cache, INDEX, Integer.toString(index), CHECKSUM, checksum(cache, rows)),
        List.of(new Safetensors.Tensor(ROWS, shape(), rows)));
  }

  /** Refuses a file whose length or header is not that of this shard. */
  void check() {
    try (Safetensors in = open()) {
      checkHeader(in);
    }
  }

  /**
   * Reads it, and refuses rows that are not those that were written.
   *
   * @param rows (rows, D) of the cache's type, in host memory, set
   */
  void read(Buffer rows) {
    try (Safetensors in = open()) {
      checkHeader(in);
      try {
        in.copyTo(ROWS, rows, shape());
      } catch (FormatException e) {
        throw damaged(e.where(), e.what());
      }
      if (!checksum(manifest.checksum(), rows).equals(in.metadata().get(CHECKSUM))) {
        throw damaged("tensor " + ROWS, "the rows do not have the checksum that the file names");
      }
    }
  }

  private Safetensors open() {
    try {
      return Safetensors.open(file);
    } catch (FormatException e) {
      throw damaged(e.where(), e.what());
    }
  }

  private void checkHeader(Safetensors in) {
    if (!manifest.checksum().equals(in.metadata().get(CACHE))
        || !Integer.toString(index).equals(in.metadata().get(INDEX))) {
      throw damaged("__metadata__", "the file is of another cache, or of another place in it");
    }
    if (in.names().size() != 1) {
      throw damaged("header", "the file holds " + in.names() + ", not " + ROWS + " alone");
    }
    try {
      in.tensor(ROWS, manifest.dtype(), shape());
    } catch (FormatException e) {
      throw damaged(e.where(), e.what());
    }
  }

  private FormatException damaged(String where, String what) {
    return new FormatException(
        file, where, what, "delete this file and fill the cache again: it makes what is missing");
  }

  /** CRC-32C over the shard's place and its rows. */
  private String checksum(String cache, Buffer rows) {
    CRC32C crc = new CRC32C();
    crc.update((cache + " " + index).getBytes(StandardCharsets.UTF_8));
    long bytes = rows.segment().byteSize();
    for (long done = 0; done < bytes; done += CHUNK) {
      crc.update(rows.segment().asSlice(done, Math.min(CHUNK, bytes - done)).asByteBuffer());
    }
    return String.format(Locale.ROOT, "%08x", crc.getValue());
  }
}
