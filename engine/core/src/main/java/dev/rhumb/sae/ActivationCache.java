package dev.rhumb.sae;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FolderLock;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Sha256;
import dev.rhumb.data.Sequences;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.model.Site;
import dev.rhumb.model.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.LongConsumer;

/**
 * Hidden states of sequences at a site, kept on disk, so that any number of autoencoders learn from
 * them without running the model again.
 *
 * <p>Files: {@code cache.json}, which says what the rows are and carries a checksum of itself; and
 * shards {@code rows-000000.safetensors}, ..., of the same number of rows each but for the last.
 * The rows stand in the order of the sequences, those of a sequence oldest first. A shard's
 * metadata name the cache it belongs to and its place there, and hold a CRC-32C over these and its
 * rows. Every file is written whole or not at all: a filling that was killed goes on after the last
 * shard it wrote.
 *
 * <p>Training on a cache with float32 rows gives the same bits as training on the model, for the
 * same seed, batch and buffer, where the buffer holds all rows. Where it does not, both draw from a
 * buffer that is filled from pieces in random order, but the pieces are sequences there and shards
 * here: other draws of the same rows.
 *
 * <p>Unchangeable; any thread may read.
 */
public final class ActivationCache {
  private final Path folder;
  private final CacheManifest manifest;

  private ActivationCache(Path folder, CacheManifest manifest) {
    this.folder = folder;
    this.manifest = manifest;
  }

  /**
   * How rows are stored.
   *
   * @param dtype {@link DType#F32}, or {@link DType#BF16}: half the size, rounded to nearest, even
   *     where halfway
   * @param shardRows rows of each shard but the last: reading takes memory for one shard
   */
  public record Storage(DType dtype, int shardRows) {
    private static final long USUAL_BYTES = 1 << 24;

    /** Refuses other types and empty shards. */
    public Storage {
      if (dtype != DType.F32 && dtype != DType.BF16) {
        throw new IllegalArgumentException(
            "activation cache: rows of " + dtype + " cannot be stored; choose F32 or BF16");
      }
      if (shardRows < 1) {
        throw new IllegalArgumentException(
            "activation cache: a shard of " + shardRows + " rows; give at least 1");
      }
    }

    /** Shards of about 16 MiB as float32. */
    public static Storage of(DType dtype, int width) {
      return new Storage(dtype, (int) Math.max(1, USUAL_BYTES / Float.BYTES / width));
    }
  }

  /**
   * Opens the cache in a folder for these sequences, writing what it lacks of them: all, or what a
   * killed filling did not come to.
   *
   * @param data whose hidden states are kept: those of the newest T positions of each sequence
   * @param split what the sequences are called, for people
   * @param folder made if need be
   * @param progress hears how many rows are there, after each shard
   * @throws FormatException when the folder holds a cache of something else, or a damaged file: it
   *     names the file and the mend
   * @throws dev.rhumb.checkpoint.FolderInUseException when somebody else fills it
   * @throws UncheckedIOException when the file system fails, such as by a full disk: the shards
   *     that are there stay, and a later call goes on
   */
  public static ActivationCache fill(
      Kernels kernels,
      Model model,
      Site site,
      Sequences data,
      String split,
      Storage storage,
      Path folder,
      LongConsumer progress) {
    try (ModelRows rows = new ModelRows(kernels, model, site, data);
        FolderLock _ = FolderLock.take(folder, "caching activations")) {
      CacheManifest wanted =
          new CacheManifest(
              digest(model),
              data.dataset().name(),
              data.dataset().fingerprint(),
              split,
              digest(data),
              site,
              rows.width(),
              rows.rows(),
              storage.dtype(),
              storage.shardRows(),
              kernels.backend().name());
      if (wanted.rows() == 0) {
        throw new IllegalArgumentException(
            "activation cache: there is no position to keep; give users with items");
      }
      Path file = CacheManifest.file(folder);
      if (Files.exists(file)) {
        CacheManifest.read(file).requireSame(wanted, file);
      } else {
        wanted.write(file);
      }
      ActivationCache cache = new ActivationCache(folder, wanted);
      cache.writeMissing(rows, data, model.config().maxLength(), progress);
      return cache;
    }
  }

  /**
   * Opens a cache that is complete.
   *
   * @throws FormatException when a file is missing or damaged, as far as its length and its header
   *     tell; checksums are looked at when rows are read
   */
  public static ActivationCache open(Path folder) {
    Path file = CacheManifest.file(folder);
    if (!Files.exists(file)) {
      throw new FormatException(
          file, "the file", "is missing, so this is no activation cache", "fill one there");
    }
    ActivationCache cache = new ActivationCache(folder, CacheManifest.read(file));
    for (int shard = 0; shard < cache.manifest.shards(); shard++) {
      CacheShard part = cache.shard(shard);
      if (!Files.exists(part.file())) {
        throw new FormatException(
            part.file(),
            "the file",
            "is missing, so the cache is not complete",
            "fill the cache again: it makes what is missing");
      }
      part.check();
    }
    return cache;
  }

  /** Where it lies. */
  public Path folder() {
    return folder;
  }

  /** Where in the transformer its rows come from. */
  public Site site() {
    return manifest.site();
  }

  /** How many rows it holds. */
  public long rows() {
    return manifest.rows();
  }

  /** D. */
  public int width() {
    return manifest.width();
  }

  /** What the data were called. */
  public String datasetName() {
    return manifest.dataset();
  }

  /** The fingerprint of the data. */
  public String datasetFingerprint() {
    return manifest.fingerprint();
  }

  /** A reader of all rows; a piece is a shard. */
  RowReader reader(Kernels kernels) {
    return new CacheRows(kernels, this);
  }

  DType dtype() {
    return manifest.dtype();
  }

  int shards() {
    return manifest.shards();
  }

  CacheShard shard(int index) {
    return new CacheShard(folder, manifest, index);
  }

  private void writeMissing(
      RowReader reader, Sequences data, int maxLength, LongConsumer progress) {
    long missing = 0;
    for (int shard = 0; shard < shards(); shard++) {
      CacheShard part = shard(shard);
      if (Files.exists(part.file())) {
        part.check();
      } else {
        missing += part.rows();
      }
    }
    requireRoom(missing * manifest.width() * manifest.dtype().bytes());
    try (ShardWriter writer = new ShardWriter(this, reader, data, maxLength)) {
      long there = rows() - missing;
      for (int shard = 0; shard < shards(); shard++) {
        CacheShard part = shard(shard);
        if (!Files.exists(part.file())) {
          writer.write(part);
          there += part.rows();
          progress.accept(there);
        }
      }
    }
  }

  private void requireRoom(long bytes) {
    long free;
    try {
      free = Files.getFileStore(folder).getUsableSpace();
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot look for room in " + folder, e);
    }
    // Some file systems do not tell, and say 0; a disk that is full fails at the first shard.
    if (free > 0 && free < bytes) {
      throw new UncheckedIOException(
          new IOException(
              "the activation cache "
                  + folder
                  + " needs "
                  + bytes
                  + " bytes more, but "
                  + free
                  + " are free; free some, choose another folder, or store bfloat16"));
    }
  }

  /** What the model's hidden states depend on: its architecture and its weights. */
  private static String digest(Model model) {
    Sha256 hash = new Sha256().add(model.config().toString());
    for (Tensor tensor : model.parameters().tensors()) {
      hash.add(tensor.name()).add(tensor.rows()).add(tensor.cols()).add(tensor.data());
    }
    return hash.hex();
  }

  /** Which parts of which users' sequences they are. */
  private static String digest(Sequences data) {
    Sha256 hash = new Sha256().add(data.count());
    for (int i = 0; i < data.count(); i++) {
      hash.add(data.user(i)).add(data.length(i));
    }
    return hash.hex();
  }
}
