package dev.rhumb.checkpoint;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A safetensors file: named tensors behind a JSON header (<a
 * href="https://github.com/huggingface/safetensors">format</a>: the header's length as an unsigned
 * little-endian 64-bit number, the header, the tensors' bytes row-major and little-endian).
 *
 * <p>Nothing in a header is believed before it is checked: its length against the file and 100 MB,
 * every range against the data, shape times element bytes against the range, and that the ranges
 * cover the data with neither gap nor overlap. A refusal is a {@link FormatException}.
 *
 * <p>{@link #open} maps the file; {@link #load} reads it into memory of its own. The choice matters
 * when somebody truncates the file underneath. Measured on Temurin 25: touching the lost pages of a
 * mapping gives an {@link InternalError} from plain access and from bulk copies, but a compiled
 * load of the Vector API, {@code MemorySegment.mismatch} and native code kill the process with
 * SIGBUS, and no check beforehand closes that gap. Therefore: {@link #load}, or {@link #open} and
 * {@link #copyTo}, neither of which touches a mapping, are sound in every case; kernels may work on
 * the tensors of {@link #open} only where files are replaced by renaming, as {@link #write} does,
 * and never changed in place.
 *
 * <p>Ownership: tensors are views that end with {@link #close}. Using one later is an {@link
 * IllegalStateException}; closing while a kernel runs on one is the caller's mistake to avoid.
 *
 * <p>Threads: reading is safe from any thread.
 */
public final class Safetensors implements AutoCloseable {
  private static final Set<String> FLOATS = Set.of("F32", "F16", "BF16", "F64");

  /** Elements rounded at a time. */
  private static final int ROUNDED = 1 << 14;

  private final Path file;
  private final SafetensorsHeader header;
  private final FileChannel channel;
  private final Arena arena;
  private final MemorySegment data;
  private final boolean mapped;

  private Safetensors(
      Path file,
      SafetensorsHeader header,
      FileChannel channel,
      Arena arena,
      MemorySegment data,
      boolean mapped) {
    this.file = file;
    this.header = header;
    this.channel = channel;
    this.arena = arena;
    this.data = data;
    this.mapped = mapped;
  }

  /**
   * One tensor to be written: {@code data} holds the product of {@code shape} elements.
   *
   * @param stored the type in the file: that of the data, or BF16 for float32 data, which then are
   *     rounded as {@link Bfloat16#of} does
   */
  public record Tensor(String name, long[] shape, Buffer data, DType stored) {
    /** Refuses a conversion that there is not. */
    public Tensor {
      if (stored != data.dtype() && !(data.dtype() == DType.F32 && stored == DType.BF16)) {
        throw new IllegalArgumentException(
            "tensor " + Quote.of(name) + ": " + data.dtype() + " cannot be stored as " + stored);
      }
    }

    /** A tensor that is stored as it is. */
    public Tensor(String name, long[] shape, Buffer data) {
      this(name, shape, data, data.dtype());
    }
  }

  /**
   * Maps a file, read-only. Cheap whatever its size, but see the class comment about truncation.
   *
   * @throws FormatException when the file is no whole and sound safetensors file
   * @throws UncheckedIOException when it cannot be read
   */
  public static Safetensors open(Path file) {
    return open(file, true);
  }

  /**
   * Reads a file into off-heap memory of its own, aligned to {@link Buffer#ALIGNMENT}.
   *
   * @throws FormatException when the file is no whole and sound safetensors file
   * @throws UncheckedIOException when it cannot be read
   */
  public static Safetensors load(Path file) {
    return open(file, false);
  }

  private static Safetensors open(Path file, boolean map) {
    requireLittleEndian();
    if (Files.exists(file) && !Files.isRegularFile(file)) {
      throw new FormatException(file, "path", "is no regular file", "give a .safetensors file");
    }
    FileChannel channel = null;
    Arena arena = Arena.ofShared();
    boolean opened = false;
    try {
      channel = FileChannel.open(file, StandardOpenOption.READ);
      SafetensorsHeader header = SafetensorsHeader.read(file, channel);
      MemorySegment data;
      if (map && header.dataBytes() > 0) {
        data =
            channel.map(
                FileChannel.MapMode.READ_ONLY, header.dataStart(), header.dataBytes(), arena);
      } else {
        data = arena.allocate(header.dataBytes(), Buffer.ALIGNMENT);
        header.readData(channel, 0, data);
      }
      Safetensors result = new Safetensors(file, header, channel, arena, data, map);
      opened = true;
      return result;
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot read " + file, e);
    } finally {
      if (!opened) {
        release(file, arena, channel);
      }
    }
  }

  /** The file. */
  public Path file() {
    return file;
  }

  /** The tensors' names, in the order of their data. */
  public Set<String> names() {
    return Collections.unmodifiableSet(header.entries().keySet());
  }

  /** The file's own key-value pairs; empty when it has none. */
  public Map<String, String> metadata() {
    return header.metadata();
  }

  /** Lengths of a tensor's dimensions, the outermost first. */
  public long[] shape(String name) {
    return header.entry(name).shape().clone();
  }

  /**
   * A tensor's element type.
   *
   * @throws FormatException when it is none that the engine computes with; {@link #dtypeName} tells
   *     any
   */
  public DType dtype(String name) {
    return header.known(name);
  }

  /** A tensor's element type as the file spells it. */
  public String dtypeName(String name) {
    return header.entry(name).dtype();
  }

  /**
   * A tensor, without a copy.
   *
   * @throws FormatException when it is missing, or has another type or shape
   * @throws IllegalStateException when this file is closed
   */
  public Buffer tensor(String name, DType dtype, long... shape) {
    requireOpen();
    SafetensorsHeader.Entry entry = header.demand(name, dtype, shape);
    return view(dtype, entry);
  }

  /**
   * Refuses a tensor that is missing, or has another type or shape.
   *
   * @throws FormatException naming it
   */
  public void demand(String name, DType dtype, long... shape) {
    requireOpen();
    header.demand(name, dtype, shape);
  }

  private Buffer view(DType dtype, SafetensorsHeader.Entry entry) {
    return Buffer.wrap(dtype, data.asSlice(entry.begin(), entry.bytes()));
  }

  /**
   * Copies a tensor into a buffer on any device. Of a mapped file the bytes are read, not touched
   * through the mapping: if it was truncated meanwhile, that is a {@link FormatException} and
   * nothing worse.
   *
   * @param target of the tensor's element type, with as many elements as {@code shape} says
   * @throws FormatException when the tensor is missing, has another type or shape, or the file has
   *     lost its end
   */
  public void copyTo(String name, Buffer target, long... shape) {
    requireOpen();
    SafetensorsHeader.Entry entry = header.demand(name, target.dtype(), shape);
    int bytes = target.dtype().bytes();
    if (target.count() != entry.bytes() / bytes) {
      throw new IllegalArgumentException(
          "tensor " + name + " " + Arrays.toString(shape) + " does not fit " + target);
    }
    if (!mapped) {
      target.copyFrom(view(target.dtype(), entry));
      return;
    }
    try (Staging staging = new Staging(target.dtype())) {
      for (long done = 0; done < target.count(); done += staging.count()) {
        long n = Math.min(staging.count(), target.count() - done);
        Buffer part = staging.part(n);
        header.readData(channel, entry.begin() + done * bytes, part.segment());
        target.slice(done, n).copyFrom(part);
      }
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot read " + file, e);
    }
  }

  /**
   * Copies a tensor of float32, float16, bfloat16 or float64 into a float32 buffer on any device:
   * the first three exactly, float64 rounded to the nearest. Of a mapped file the bytes are read,
   * as {@link #copyTo} does.
   *
   * @param target float32, with as many elements as {@code shape} says
   * @throws FormatException when the tensor is missing, has another type or shape, or the file has
   *     lost its end
   */
  public void copyAsFloats(String name, Buffer target, long... shape) {
    requireOpen();
    SafetensorsHeader.Entry entry = header.demand(name, FLOATS, shape);
    long count = 1;
    for (long length : shape) {
      count *= length;
    }
    int bytes = (int) (entry.bytes() / Math.max(1, count));
    if (target.count() != count) {
      throw new IllegalArgumentException(
          "tensor " + name + " " + Arrays.toString(shape) + " does not fit " + target);
    }
    float[] values = new float[1 << 14];
    try (Arena staging = Arena.ofConfined()) {
      MemorySegment raw = staging.allocate((long) values.length * bytes, Buffer.ALIGNMENT);
      for (long done = 0; done < target.count(); done += values.length) {
        int n = (int) Math.min(values.length, target.count() - done);
        MemorySegment part = raw.asSlice(0, (long) n * bytes);
        if (mapped) {
          header.readData(channel, entry.begin() + done * bytes, part);
        } else {
          part.copyFrom(data.asSlice(entry.begin() + done * bytes, part.byteSize()));
        }
        for (int i = 0; i < n; i++) {
          values[i] = toFloat(entry.dtype(), part, i);
        }
        target.put(done, values, 0, n);
      }
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot read " + file, e);
    }
  }

  private static float toFloat(String dtype, MemorySegment values, long i) {
    return switch (dtype) {
      case "F16" -> Float.float16ToFloat(values.getAtIndex(ValueLayout.JAVA_SHORT, i));
      case "BF16" -> Bfloat16.toFloat(values.getAtIndex(ValueLayout.JAVA_SHORT, i));
      case "F64" -> (float) values.getAtIndex(ValueLayout.JAVA_DOUBLE, i);
      default -> values.getAtIndex(ValueLayout.JAVA_FLOAT, i);
    };
  }

  /** Unmaps or frees the tensors and closes the file; closing again does nothing. */
  @Override
  public synchronized void close() {
    if (arena.scope().isAlive()) {
      release(file, arena, channel);
    }
  }

  private static void release(Path file, Arena arena, FileChannel channel) {
    try {
      arena.close();
    } finally {
      try {
        if (channel != null) {
          channel.close();
        }
      } catch (IOException e) {
        throw AtomicFiles.failure("cannot close " + file, e);
      }
    }
  }

  /**
   * Writes a file whole or not at all, by {@link AtomicFiles}. The same tensors and metadata give
   * the same bytes, in whatever order they come.
   *
   * <p>The data start at a multiple of 64 bytes (spaces fill the header). The format allows no gap
   * between tensors, so those whose length is a multiple of 64 bytes come first, each aligned to
   * 64; the others follow by falling element size, each aligned to its element. Names order the
   * tensors within these groups.
   *
   * @param tensors distinct printable names; buffers on any device, unchanged until the return
   * @throws IllegalArgumentException for a name that is empty, unprintable, taken or reserved, or a
   *     shape that does not match its buffer
   * @throws UncheckedIOException when the file system fails: the earlier file stays as it was
   */
  public static void write(Path file, Map<String, String> metadata, List<Tensor> tensors) {
    requireLittleEndian();
    List<Tensor> ordered = SafetensorsHeader.order(tensors);
    byte[] head = SafetensorsHeader.encode(metadata, ordered);
    AtomicFiles.write(
        file,
        channel -> {
          AtomicFiles.writeFully(channel, ByteBuffer.wrap(head));
          for (Tensor tensor : ordered) {
            if (tensor.stored() == tensor.data().dtype()) {
              write(channel, tensor.data());
            } else {
              writeRounded(channel, tensor.data());
            }
          }
        });
  }

  private static void write(FileChannel channel, Buffer source) throws IOException {
    try (Staging staging = new Staging(source.dtype())) {
      for (long done = 0; done < source.count(); done += staging.count()) {
        long n = Math.min(staging.count(), source.count() - done);
        Buffer part = staging.part(n);
        part.copyFrom(source.slice(done, n));
        AtomicFiles.writeFully(channel, part.segment().asByteBuffer());
      }
    }
  }

  private static void writeRounded(FileChannel channel, Buffer source) throws IOException {
    float[] floats = new float[(int) Math.min(source.count(), ROUNDED)];
    ByteBuffer bytes = ByteBuffer.allocate(2 * floats.length).order(ByteOrder.LITTLE_ENDIAN);
    for (long done = 0; done < source.count(); done += floats.length) {
      int n = (int) Math.min(floats.length, source.count() - done);
      source.get(done, floats, 0, n);
      bytes.clear();
      for (int i = 0; i < n; i++) {
        bytes.putShort(Bfloat16.of(floats[i]));
      }
      AtomicFiles.writeFully(channel, bytes.flip());
    }
  }

  private void requireOpen() {
    if (!arena.scope().isAlive()) {
      throw new IllegalStateException(file + " is closed");
    }
  }

  /** Host memory between a file and a buffer that may lie on another device. */
  private static final class Staging implements AutoCloseable {
    private static final long BYTES = 1 << 20;

    private final Arena arena = Arena.ofConfined();
    private final Buffer all;

    Staging(DType dtype) {
      all = Buffer.wrap(dtype, arena.allocate(BYTES, Buffer.ALIGNMENT));
    }

    long count() {
      return all.count();
    }

    Buffer part(long count) {
      return all.slice(0, count);
    }

    @Override
    public void close() {
      arena.close();
    }
  }

  private static void requireLittleEndian() {
    if (ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN) {
      throw new UnsupportedOperationException("safetensors on a big-endian machine");
    }
  }
}
