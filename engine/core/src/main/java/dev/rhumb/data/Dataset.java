package dev.rhumb.data;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Objects;

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
  private final Digests digests;

  /** Takes over {@code arena}, in which {@code offsets} (users + 1) and {@code items} lie. */
  Dataset(
      String name,
      Catalogue catalogue,
      List<String> userIds,
      long[] userTimes,
      Arena arena,
      MemorySegment offsets,
      MemorySegment items) {
    this.name = name;
    this.catalogue = catalogue;
    this.userIds = userIds;
    this.userTimes = userTimes;
    this.arena = arena;
    this.offsets = offsets;
    this.items = items;
    this.digests = Digests.of(this);
  }

  /** What the user called it. */
  public String name() {
    return name;
  }

  /**
   * SHA-256, in hexadecimal, over all that the dataset holds but its name: two datasets with the
   * same fingerprint are the same.
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

  /** Frees the sequences; closing again does nothing. */
  @Override
  public void close() {
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

  private long offset(int user) {
    return offsets.getAtIndex(JAVA_LONG, user);
  }
}
