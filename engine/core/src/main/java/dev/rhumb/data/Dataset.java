package dev.rhumb.data;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;

/**
 * Each user's items in time order. The sequences lie off-heap in host memory that this object owns;
 * close it after the last {@link Sequences} and {@link Cases} over it. Nothing changes after it is
 * made, so any thread may read.
 */
public final class Dataset implements AutoCloseable {
  private final String name;
  private final Catalogue catalogue;
  private final List<String> userIds;
  private final long[] userTimes;
  private final Arena arena;
  // User u's items are items[offsets[u] .. offsets[u + 1]].
  private final MemorySegment offsets;
  private final MemorySegment items;
  // Seconds since 1970 of each interaction, or null.
  private final MemorySegment times;
  private final Digests digests;

  /** Puts content into zeroed memory. */
  interface Filler {
    /**
     * Fills in the sequences.
     *
     * @param offsets (users + 1) int64, from 0 up to the number of interactions
     * @param items (interactions) int32
     * @param times (interactions) int64, or null where the dataset keeps none
     */
    void fill(MemorySegment offsets, MemorySegment items, MemorySegment times);
  }

  /** Allocates and has {@code filler} fill; frees again if that throws. */
  Dataset(
      String name,
      Catalogue catalogue,
      List<String> userIds,
      long[] userTimes,
      long interactions,
      boolean hasTimes,
      Filler filler) {
    this.name = Objects.requireNonNull(name, "name");
    this.catalogue = catalogue;
    this.userIds = userIds;
    this.userTimes = userTimes;
    arena = Arena.ofShared();
    boolean filled = false;
    try {
      offsets = arena.allocate(JAVA_LONG, userIds.size() + 1L);
      items = arena.allocate(JAVA_INT, interactions);
      times = hasTimes ? arena.allocate(JAVA_LONG, interactions) : null;
      filler.fill(offsets, items, times);
      digests = Digests.of(this);
      filled = true;
    } finally {
      if (!filled) {
        arena.close();
      }
    }
  }

  /**
   * Makes a dataset of rows that come numbered and sorted, straight into its memory; {@link
   * DatasetBuilder} numbers and sorts where that is not done yet. The caller closes the dataset.
   *
   * @param name what the user calls it
   * @param catalogue the items 1..V
   * @param userIds the external ids of users 0, 1, ...; distinct and not empty
   * @param userTimes when each user came: larger is newer
   * @param interactions how many rows will come
   * @param hasTimes whether the rows' times are seconds since 1970 (UTC) and are kept
   * @param rows adds all rows
   * @throws IllegalArgumentException when the rows are not those that were announced, or not sorted
   */
  public static Dataset of(
      String name,
      Catalogue catalogue,
      List<String> userIds,
      long[] userTimes,
      long interactions,
      boolean hasTimes,
      Consumer<SortedRows> rows) {
    if (userTimes.length != userIds.size()) {
      throw new IllegalArgumentException(
          userTimes.length + " times of " + userIds.size() + " users");
    }
    return new Dataset(
        name,
        catalogue,
        List.copyOf(userIds),
        userTimes.clone(),
        interactions,
        hasTimes,
        (offsets, items, times) -> {
          SortedRows sink = new SortedRows(offsets, items, times, catalogue.items());
          rows.accept(sink);
          sink.finish();
        });
  }

  /** What the user called it. */
  public String name() {
    return name;
  }

  /**
   * SHA-256, in hexadecimal, over users, items and sequences: two datasets with the same
   * fingerprint give the same model. Neither the name nor the times of single interactions enter
   * it: these say nothing that the order of the sequences and a split's name do not say.
   */
  public String fingerprint() {
    return digests.fingerprint();
  }

  /** How many users there are; they are 0..users-1. */
  public int users() {
    return userIds.size();
  }

  /** V: how many items there are; they are 1..V. */
  public int items() {
    return catalogue.items();
  }

  /** The length of all sequences together. */
  public long interactions() {
    return items.byteSize() / Integer.BYTES;
  }

  /** How many items {@code user} has; at least 1. */
  public int length(int user) {
    return (int) (offset(user + 1) - offset(user));
  }

  /** The item at {@code position} of {@code user}'s sequence. */
  public int item(int user, int position) {
    Objects.checkIndex(position, length(user));
    return items.getAtIndex(JAVA_INT, offset(user) + position);
  }

  /**
   * Copies the {@code n} items of {@code user} from position {@code from} on to {@code
   * target[at..]}.
   */
  public void copy(int user, int from, int n, int[] target, int at) {
    Objects.checkFromIndexSize(from, n, length(user));
    MemorySegment.copy(items, JAVA_INT, (offset(user) + from) * Integer.BYTES, target, at, n);
  }

  /** Whether the time of each interaction is known; a split by time needs them. */
  public boolean hasTimes() {
    return times != null;
  }

  /**
   * When {@code user} had the item at {@code position}, in seconds since 1970 (UTC); it does not
   * fall along a sequence.
   *
   * @throws IllegalStateException when the dataset keeps no times
   */
  public long time(int user, int position) {
    if (times == null) {
      throw new IllegalStateException("dataset " + name + " keeps no times");
    }
    Objects.checkIndex(position, length(user));
    return times.getAtIndex(JAVA_LONG, offset(user) + position);
  }

  /** When the user came, by the first interaction or a key of order: larger is newer. */
  public long userTime(int user) {
    return userTimes[user];
  }

  /** The external id of {@code user}. */
  public String userId(int user) {
    return userIds.get(user);
  }

  /** The external id of {@code item} (1..V). */
  public String itemId(int item) {
    return catalogue.id(item);
  }

  /** The title of {@code item} (1..V); its external id where it has no title. */
  public String title(int item) {
    return catalogue.title(item);
  }

  /** The item of that external id; 0 where there is none. */
  public int itemOf(String externalId) {
    return catalogue.itemOf(externalId);
  }

  /** The attributes of the items. */
  public Attributes attributes() {
    return catalogue.attributes();
  }

  /** The items with their ids, titles and attributes. It stays usable when this is closed. */
  public Catalogue catalogue() {
    return catalogue;
  }

  /**
   * Writes the dataset to a folder, which is made if need be: {@code dataset.json}, {@code
   * sequences.safetensors}, {@code items.tsv} and {@code users.tsv}. Each file is replaced whole;
   * the first comes last, and a folder that was left between two datasets does not load.
   *
   * @throws java.io.UncheckedIOException when the file system fails
   */
  public void save(Path folder) {
    DatasetFolder.save(this, folder);
  }

  /**
   * Reads what {@link #save} wrote into memory of its own, and holds it against the fingerprint.
   * The caller closes it. Heap: some 130 bytes for each item and user, and the size of their tables
   * (10 million items: 2 GB); the sequences lie off it.
   *
   * @throws dev.rhumb.checkpoint.FormatException when a file is damaged or of another version; it
   *     names file and place
   * @throws java.io.UncheckedIOException when a file cannot be read
   * @throws OutOfMemoryError when the tables do not fit into the heap, before they are read
   */
  public static Dataset load(Path folder) {
    return DatasetFolder.load(folder);
  }

  /** Frees the sequences; closing again does nothing. */
  @Override
  public synchronized void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }

  @Override
  public String toString() {
    return name
        + ": "
        + users()
        + " users, "
        + items()
        + " items, "
        + interactions()
        + " interactions";
  }

  Digests digests() {
    return digests;
  }

  /** Offsets (users + 1), int64. */
  MemorySegment offsets() {
    return offsets;
  }

  /** Items of all users, one sequence after another, int32. */
  MemorySegment sequenceItems() {
    return items;
  }

  /** Times of all users' interactions, int64, or null. */
  MemorySegment times() {
    return times;
  }

  private long offset(int user) {
    return offsets.getAtIndex(JAVA_LONG, user);
  }
}
