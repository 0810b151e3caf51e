package dev.rhumb.checkpoint;

import dev.rhumb.kernels.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** The checked header of a safetensors file. Immutable. */
final class SafetensorsHeader {
  /** Largest header that is read or written, in bytes: the format's own bound. */
  static final int MAX_BYTES = 100_000_000;

  private static final String METADATA = "__metadata__";
  private static final int LENGTH_BYTES = 8;
  private static final int ALIGNMENT = 64;

  /** Bits per element of every type in the format's description; the engine computes with a few. */
  private static final Map<String, Integer> BITS =
      Map.ofEntries(
          Map.entry("BOOL", 8),
          Map.entry("F4", 4),
          Map.entry("F6_E2M3", 6),
          Map.entry("F6_E3M2", 6),
          Map.entry("U8", 8),
          Map.entry("I8", 8),
          Map.entry("F8_E5M2", 8),
          Map.entry("F8_E4M3", 8),
          Map.entry("F8_E8M0", 8),
          Map.entry("I16", 16),
          Map.entry("U16", 16),
          Map.entry("F16", 16),
          Map.entry("BF16", 16),
          Map.entry("I32", 32),
          Map.entry("U32", 32),
          Map.entry("F32", 32),
          Map.entry("C64", 64),
          Map.entry("F64", 64),
          Map.entry("I64", 64),
          Map.entry("U64", 64));

  private final Path file;
  private final long dataStart;
  private final long dataBytes;
  private final Map<String, String> metadata;
  private final Map<String, Entry> entries;

  private SafetensorsHeader(
      Path file,
      long dataStart,
      long dataBytes,
      Map<String, String> metadata,
      Map<String, Entry> entries) {
    this.file = file;
    this.dataStart = dataStart;
    this.dataBytes = dataBytes;
    this.metadata = metadata;
    this.entries = entries;
  }

  /** Where one tensor lies: bytes {@code begin..end} of the data. */
  record Entry(String name, String dtype, long[] shape, long begin, long end) {
    long bytes() {
      return end - begin;
    }
  }

  /** Offset of the data in the file, in bytes. */
  long dataStart() {
    return dataStart;
  }

  /** Length of the data, in bytes: all of the file behind the header. */
  long dataBytes() {
    return dataBytes;
  }

  Map<String, String> metadata() {
    return metadata;
  }

  /** Tensors by name, in the order of their data. */
  Map<String, Entry> entries() {
    return entries;
  }

  /** Reads and checks the header of a file. */
  static SafetensorsHeader read(Path file, FileChannel channel) throws IOException {
    long fileBytes = channel.size();
    if (fileBytes < LENGTH_BYTES) {
      throw new FormatException(
          file,
          "byte 0",
          "the file has " + fileBytes + " bytes, too few for the header's length",
          "restore the file: it is cut off or no safetensors file");
    }
    long length = read(file, channel, 0, LENGTH_BYTES).order(ByteOrder.LITTLE_ENDIAN).getLong();
    if (length < 0 || length > MAX_BYTES || length > fileBytes - LENGTH_BYTES) {
      throw new FormatException(
          file,
          "byte 0",
          "the header is said to have "
              + Long.toUnsignedString(length)
              + " bytes, in a file of "
              + fileBytes
              + " (at most "
              + MAX_BYTES
              + " allowed)",
          "restore the file: it is cut off or no safetensors file");
    }
    byte[] bytes = read(file, channel, LENGTH_BYTES, (int) length).array();
    if (length == 0 || bytes[0] != '{') {
      throw new FormatException(
          file, "byte 8", "the header does not start with '{'", "give a safetensors file");
    }
    String where = file + " header";
    JsonObject json = JsonObject.of(Json.parse(Json.utf8(bytes, where), where), where);
    long dataStart = LENGTH_BYTES + length;
    return new SafetensorsHeader(
        file,
        dataStart,
        fileBytes - dataStart,
        metadata(json),
        entries(where, json, fileBytes - dataStart));
  }

  private static ByteBuffer read(Path file, FileChannel channel, long position, int bytes)
      throws IOException {
    ByteBuffer target = ByteBuffer.allocate(bytes);
    readFully(file, channel, position, target);
    return target.flip();
  }

  /** Fills {@code target} with the data from byte {@code offset} on. */
  void readData(FileChannel channel, long offset, MemorySegment target) throws IOException {
    long step = 1 << 30; // a ByteBuffer counts in int
    for (long done = 0; done < target.byteSize(); done += step) {
      ByteBuffer part =
          target.asSlice(done, Math.min(step, target.byteSize() - done)).asByteBuffer();
      readFully(file, channel, dataStart + offset + done, part);
    }
  }

  private static void readFully(Path file, FileChannel channel, long position, ByteBuffer target)
      throws IOException {
    while (target.hasRemaining()) {
      int n = channel.read(target, position);
      if (n < 0) {
        throw new FormatException(
            file,
            "byte " + position,
            "the file ends here, it was truncated while in use",
            "restore it, and replace files by renaming, never in place");
      }
      position += n;
    }
  }

  private static Map<String, String> metadata(JsonObject json) {
    Map<String, String> metadata = new LinkedHashMap<>();
    if (json.has(METADATA)) {
      JsonObject object = json.object(METADATA);
      for (String key : object.keys()) {
        metadata.put(key, object.string(key));
      }
    }
    return Collections.unmodifiableMap(metadata);
  }

  private static Map<String, Entry> entries(String where, JsonObject json, long dataBytes) {
    List<Entry> found = new ArrayList<>();
    for (String name : json.keys()) {
      if (!name.equals(METADATA)) {
        found.add(entry(json, name, dataBytes));
      }
    }
    found.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
    Map<String, Entry> entries = new LinkedHashMap<>();
    long covered = 0;
    for (Entry entry : found) {
      if (entry.begin() != covered) {
        throw json.refuse(
            entry.name(),
            "starts at byte "
                + entry.begin()
                + " of the data, "
                + (entry.begin() < covered ? "inside another tensor" : "behind a gap")
                + ": the tensors before it end at "
                + covered,
            "write the file again: tensors lie end to end");
      }
      covered = entry.end();
      entries.put(entry.name(), entry);
    }
    if (covered != dataBytes) {
      throw new FormatException(
          where,
          "data",
          "the tensors take " + covered + " bytes, the file has " + dataBytes,
          "restore the file: it has been cut off or added to");
    }
    return Collections.unmodifiableMap(entries);
  }

  private static Entry entry(JsonObject json, String name, long dataBytes) {
    if (!printable(name)) {
      throw json.refuse(name, "is no printable tensor name", "rename the tensor");
    }
    JsonObject object = json.object(name).only("dtype", "shape", "data_offsets");
    long[] shape = counts(object, "shape");
    long[] range = counts(object, "data_offsets");
    if (range.length != 2 || range[0] > range[1] || range[1] > dataBytes) {
      throw object.refuse(
          "data_offsets",
          "is " + Arrays.toString(range) + ", no range within the " + dataBytes + " data bytes",
          "restore the file: it is cut off or damaged");
    }
    String dtype = object.string("dtype");
    Integer bits = BITS.get(dtype);
    // The length of a type that is not known cannot be checked: it is listed, and refused on use.
    if (bits != null) {
      long wanted;
      try {
        wanted = Math.multiplyExact(product(shape), (long) bits);
      } catch (ArithmeticException e) {
        throw object.refuse(
            "shape", "is " + Arrays.toString(shape) + ", beyond 64 bits", "write the file again");
      }
      if (wanted % 8 != 0 || wanted / 8 != range[1] - range[0]) {
        throw object.refuse(
            "data_offsets",
            "is "
                + Arrays.toString(range)
                + ", but "
                + dtype
                + " "
                + Arrays.toString(shape)
                + " takes "
                + wanted
                + " bits",
            "write the file again");
      }
    }
    return new Entry(name, dtype, shape, range[0], range[1]);
  }

  private static long[] counts(JsonObject object, String key) {
    List<?> list = object.list(key);
    long[] counts = new long[list.size()];
    for (int i = 0; i < counts.length; i++) {
      if (!(list.get(i) instanceof Long count) || count < 0) {
        throw object.refuse(
            key + "[" + i + "]", "is " + list.get(i) + ", no count", "write the file again");
      }
      counts[i] = count;
    }
    return counts;
  }

  /** Exact, or an ArithmeticException. */
  private static long product(long[] shape) {
    long product = 1;
    for (long length : shape) {
      product = Math.multiplyExact(product, length);
    }
    return product;
  }

  private static boolean printable(String name) {
    return !name.isEmpty() && name.codePoints().allMatch(Quote::printable);
  }

  Entry entry(String name) {
    Entry entry = entries.get(name);
    if (entry == null) {
      String some = String.join(", ", entries.keySet().stream().limit(12).toList());
      throw new FormatException(
          file,
          "tensor " + Quote.of(name),
          "is missing",
          "the file holds "
              + (entries.isEmpty() ? "none" : some)
              + (entries.size() > 12 ? ", ... (" + entries.size() + " in all)" : ""));
    }
    return entry;
  }

  /** The element type, if the engine has it. */
  DType known(String name) {
    String dtype = entry(name).dtype();
    for (DType known : DType.values()) {
      if (known.name().equals(dtype)) {
        return known;
      }
    }
    throw new FormatException(
        file,
        "tensor " + Quote.of(name),
        "has elements of type " + Quote.of(dtype),
        "convert it to one of " + Arrays.toString(DType.values()));
  }

  /** The entry, if it has this type and shape. */
  Entry demand(String name, DType dtype, long[] shape) {
    known(name);
    return demand(name, Set.of(dtype.name()), shape);
  }

  /** The entry, if it has one of these types and this shape. */
  Entry demand(String name, Set<String> dtypes, long[] shape) {
    Entry entry = entry(name);
    if (!dtypes.contains(entry.dtype()) || !Arrays.equals(entry.shape(), shape)) {
      throw new FormatException(
          file,
          "tensor " + Quote.of(name),
          "is " + entry.dtype() + " " + Arrays.toString(entry.shape()),
          String.join(" or ", dtypes.stream().sorted().toList())
              + " "
              + Arrays.toString(shape)
              + " is wanted: take the file that fits this model");
    }
    return entry;
  }

  /** The tensors in the order of {@link Safetensors#write}. */
  static List<Safetensors.Tensor> order(List<Safetensors.Tensor> tensors) {
    List<Safetensors.Tensor> ordered = new ArrayList<>(tensors);
    ordered.sort(
        Comparator.comparingInt(
                (Safetensors.Tensor t) -> bytes(t) % ALIGNMENT == 0 ? 0 : 9 - t.stored().bytes())
            .thenComparing(Safetensors.Tensor::name));
    return ordered;
  }

  /** Length and header, filled up with spaces to a multiple of 64 bytes. */
  static byte[] encode(Map<String, String> metadata, List<Safetensors.Tensor> ordered) {
    Map<String, Object> json = new LinkedHashMap<>();
    if (!metadata.isEmpty()) {
      json.put(METADATA, new TreeMap<>(metadata));
    }
    long offset = 0;
    for (Safetensors.Tensor tensor : ordered) {
      require(tensor, !tensor.name().equals(METADATA), "this name is reserved");
      require(tensor, printable(tensor.name()), "a name is printable and not empty");
      require(tensor, shapeFits(tensor), "its shape does not match " + tensor.data());
      long end = Math.addExact(offset, bytes(tensor));
      Map<String, Object> entry = new LinkedHashMap<>();
      entry.put("dtype", tensor.stored().name());
      entry.put("shape", Arrays.stream(tensor.shape()).boxed().toList());
      entry.put("data_offsets", List.of(offset, end));
      require(tensor, json.put(tensor.name(), entry) == null, "this name is taken");
      offset = end;
    }
    byte[] text = Json.compact(json).getBytes(StandardCharsets.UTF_8);
    if (text.length > MAX_BYTES - ALIGNMENT) {
      throw new IllegalArgumentException("a header of " + text.length + " bytes is too long");
    }
    int blocks = Math.ceilDiv(LENGTH_BYTES + text.length, ALIGNMENT);
    byte[] head = new byte[blocks * ALIGNMENT];
    Arrays.fill(head, (byte) ' ');
    ByteBuffer.wrap(head)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(head.length - LENGTH_BYTES)
        .put(text);
    return head;
  }

  private static boolean shapeFits(Safetensors.Tensor tensor) {
    try {
      return Arrays.stream(tensor.shape()).allMatch(length -> length >= 0)
          && product(tensor.shape()) == tensor.data().count();
    } catch (ArithmeticException e) {
      return false;
    }
  }

  private static void require(Safetensors.Tensor tensor, boolean good, String reason) {
    if (!good) {
      throw new IllegalArgumentException(
          "tensor "
              + Quote.of(tensor.name())
              + " "
              + Arrays.toString(tensor.shape())
              + ": "
              + reason);
    }
  }

  private static long bytes(Safetensors.Tensor tensor) {
    return tensor.data().count() * tensor.stored().bytes();
  }
}
