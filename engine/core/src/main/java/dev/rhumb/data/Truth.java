package dev.rhumb.data;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * What was planted in a generated world: the interests of each item, and at each position of each
 * user the interests that the user held and the one that chose the item. {@link GeneratedWorld}
 * says how they arise.
 *
 * <p>Interests are 0..Z-1, a child always after its parent; an item of a child has the parent too.
 * Memory: 4 bytes for each interest of an item, on the heap, and 4 (1 + interests held) bytes for
 * each interaction, off it. Unchangeable, so any thread may read, until it is closed.
 */
public final class Truth implements AutoCloseable {
  /** Beside the files of the dataset. */
  private static final String FILE = "truth.safetensors";

  private static final String FORMAT = "rhumb-truth";
  private static final String VERSION = "1";
  private static final String MEND = "generate the world again";

  private final AutoCloseable memory;
  private final GeneratedWorld.Config config;
  private final long seed;
  // Item i has the interests values[starts[i - 1] .. starts[i]], ascending.
  private final int[] starts;
  private final int[] values;
  // User u's positions are ends[u] .. ends[u + 1].
  private final long[] ends;
  private final MemorySegment moods;
  private final MemorySegment held;
  private String fingerprint;
  private boolean closed;

  /**
   * Takes over the arrays and the memory.
   *
   * @param moods (N) int32
   * @param held (N, interests per user) int32
   */
  Truth(
      AutoCloseable memory,
      GeneratedWorld.Config config,
      long seed,
      int[] starts,
      int[] values,
      long[] ends,
      MemorySegment moods,
      MemorySegment held) {
    this.memory = memory;
    this.config = config;
    this.seed = seed;
    this.starts = starts;
    this.values = values;
    this.ends = ends;
    this.moods = moods;
    this.held = held;
  }

  /** Says of which dataset this is the truth. */
  void belongsTo(String fingerprint) {
    this.fingerprint = fingerprint;
  }

  /** What the world was made from. */
  public GeneratedWorld.Config config() {
    return config;
  }

  /** What the world was made from. */
  public long seed() {
    return seed;
  }

  /** Z: how many interests were planted. */
  public int interests() {
    return config.interests();
  }

  /** The name of {@code interest}, which items have as an attribute. */
  public String name(int interest) {
    Objects.checkIndex(interest, interests());
    int digits = Math.max(2, Integer.toString(interests() - 1).length());
    return "interest-" + String.format(Locale.ROOT, "%0" + digits + "d", interest);
  }

  /** The names of all interests, in their order. */
  public List<String> names() {
    return IntStream.range(0, interests()).mapToObj(this::name).toList();
  }

  /** The parent of {@code interest}; -1 where it has none. */
  public int parent(int interest) {
    return config.parent(Objects.checkIndex(interest, interests()));
  }

  /** The parent of each interest, by name; those without one are not in it. */
  public Map<String, String> parents() {
    Map<String, String> parents = new java.util.LinkedHashMap<>();
    for (int z = 0; z < interests(); z++) {
      if (parent(z) >= 0) {
        parents.put(name(z), name(parent(z)));
      }
    }
    return parents;
  }

  /** V: how many items there are. */
  public int items() {
    return starts.length - 1;
  }

  /** Whether {@code item} (1..V of the dataset) was given {@code interest}. */
  public boolean has(int item, int interest) {
    Objects.checkIndex(interest, interests());
    int row = Objects.checkIndex(item - 1, items());
    return Arrays.binarySearch(values, starts[row], starts[row + 1], interest) >= 0;
  }

  /** The interests of {@code item} (1..V), ascending, as a new array. */
  public int[] of(int item) {
    int row = Objects.checkIndex(item - 1, items());
    return Arrays.copyOfRange(values, starts[row], starts[row + 1]);
  }

  /**
   * The interest from which {@code user} took the item at {@code position} of the sequence. The
   * item has it, unless the user had all items of the interest already.
   */
  public int mood(int user, int position) {
    return moods.getAtIndex(JAVA_INT, at(user, position));
  }

  /** The interests that {@code user} held at {@code position}, ascending, without their parents. */
  public int[] held(int user, int position) {
    int slots = config.interestsPerUser();
    int[] interests = new int[slots];
    MemorySegment.copy(
        held, JAVA_INT, at(user, position) * slots * Integer.BYTES, interests, 0, slots);
    Arrays.sort(interests);
    return interests;
  }

  private long at(int user, int position) {
    Objects.checkIndex(user, ends.length - 1);
    return ends[user] + Objects.checkIndex((long) position, ends[user + 1] - ends[user]);
  }

  /** The interests of the items as attributes of the catalogue; what no item has is none. */
  Attributes attributes() {
    int[] items = new int[interests()];
    for (int z : values) {
      items[z]++;
    }
    int[] number = new int[interests()];
    List<String> names = new ArrayList<>();
    for (int z = 0; z < number.length; z++) {
      number[z] = names.size();
      if (items[z] > 0) {
        names.add(name(z));
      }
    }
    return new Attributes(names, starts, Arrays.stream(values).map(z -> number[z]).toArray());
  }

  /** Whether a folder holds a dataset's truth. */
  public static boolean isIn(Path folder) {
    return Files.exists(folder.resolve(FILE));
  }

  /**
   * Writes {@code truth.safetensors} beside the dataset: {@code parents} (Z), -1 where there is
   * none; {@code item_offsets} (V + 1) and {@code item_interests}, the interests of item i being
   * those from item_offsets[i - 1] to item_offsets[i]; {@code moods} (N) and {@code held} (N,
   * interests per user) for the N positions in the order of the dataset's sequences; all int32. The
   * header holds the dataset's fingerprint, the seed and the settings.
   *
   * @throws java.io.UncheckedIOException when it cannot be written; an earlier file then stays
   */
  public void save(Path folder) {
    try (Arena arena = Arena.ofShared()) {
      int[] parents = IntStream.range(0, interests()).map(this::parent).toArray();
      Safetensors.write(
          folder.resolve(FILE),
          Map.of(
              "format", FORMAT,
              "version", VERSION,
              "dataset", fingerprint,
              "seed", Long.toString(seed),
              "settings", Json.write(config.settings())),
          List.of(
              tensor("parents", arena.allocateFrom(JAVA_INT, parents)),
              tensor("item_offsets", arena.allocateFrom(JAVA_INT, starts)),
              tensor("item_interests", arena.allocateFrom(JAVA_INT, values)),
              tensor("moods", moods),
              new Safetensors.Tensor(
                  "held",
                  new long[] {ends[ends.length - 1], config.interestsPerUser()},
                  Buffer.wrap(DType.I32, held))));
    }
  }

  private static Safetensors.Tensor tensor(String name, MemorySegment memory) {
    Buffer data = Buffer.wrap(DType.I32, memory);
    return new Safetensors.Tensor(name, new long[] {data.count()}, data);
  }

  /**
   * Reads what {@link #save} wrote. The caller closes it.
   *
   * @param dataset that of the folder
   * @throws FormatException when the file is damaged, of another version or of another dataset
   * @throws java.io.UncheckedIOException when it cannot be read
   */
  public static Truth load(Path folder, Dataset dataset) {
    Path file = folder.resolve(FILE);
    Safetensors tensors = Safetensors.load(file);
    boolean good = false;
    try {
      Truth truth = read(file, tensors, dataset);
      good = true;
      return truth;
    } finally {
      if (!good) {
        tensors.close();
      }
    }
  }

  private static Truth read(Path file, Safetensors tensors, Dataset dataset) {
    Map<String, String> head = tensors.metadata();
    demand(file, "format", head, FORMAT, "give the file of a generated world");
    demand(file, "version", head, VERSION, MEND);
    demand(file, "dataset", head, dataset.fingerprint(), "take the dataset of the same folder");
    GeneratedWorld.Config config =
        GeneratedWorld.Config.read(
            JsonObject.of(
                Json.parse(head.getOrDefault("settings", ""), file + ": settings"),
                file + ": settings"));
    long seed;
    try {
      seed = Long.parseLong(head.getOrDefault("seed", ""));
    } catch (NumberFormatException e) {
      throw new FormatException(file, "seed", "is no whole number", MEND);
    }
    int interests = config.interests();
    int[] starts = ints(tensors, "item_offsets", dataset.items() + 1L);
    for (int i = 0; i < starts.length; i++) {
      if (starts[i] < (i == 0 ? 0 : starts[i - 1]) || i == 0 && starts[i] > 0) {
        throw new FormatException(file, "item_offsets[" + i + "]", "do not grow from 0", MEND);
      }
    }
    int[] values = ints(tensors, "item_interests", starts[starts.length - 1]);
    for (int item = 1; item < starts.length; item++) {
      for (int e = starts[item - 1]; e < starts[item]; e++) {
        int least = e == starts[item - 1] ? 0 : values[e - 1] + 1;
        if (values[e] < least || values[e] >= interests) {
          throw new FormatException(
              file, "item_interests[" + e + "]", values[e] + " is no interest in order", MEND);
        }
      }
    }
    int slots = config.interestsPerUser();
    long n = dataset.interactions();
    MemorySegment moods = tensors.tensor("moods", DType.I32, n).segment();
    MemorySegment held = tensors.tensor("held", DType.I32, n, slots).segment();
    requireInterests(file, "moods", moods, interests);
    requireInterests(file, "held", held, interests);
    long[] ends = new long[dataset.users() + 1];
    for (int user = 0; user < dataset.users(); user++) {
      ends[user + 1] = ends[user] + dataset.length(user);
    }
    Truth truth = new Truth(tensors, config, seed, starts, values, ends, moods, held);
    truth.belongsTo(dataset.fingerprint());
    return truth;
  }

  private static void demand(
      Path file, String key, Map<String, String> head, String wanted, String mend) {
    if (!wanted.equals(head.get(key))) {
      throw new FormatException(file, key, "is " + head.get(key) + ", not " + wanted, mend);
    }
  }

  private static int[] ints(Safetensors tensors, String name, long count) {
    return tensors.tensor(name, DType.I32, count).ints();
  }

  private static void requireInterests(
      Path file, String name, MemorySegment memory, int interests) {
    for (long at = 0; at < memory.byteSize() / Integer.BYTES; at++) {
      int interest = memory.getAtIndex(JAVA_INT, at);
      if (interest < 0 || interest >= interests) {
        throw new FormatException(
            file,
            name + "[" + at + "]",
            interest + " is no interest of 0.." + (interests - 1),
            MEND);
      }
    }
  }

  /** Frees the memory off the heap; closing again does nothing. */
  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      memory.close();
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new AssertionError("neither an arena nor a file in memory throws this", e);
    }
  }
}
