package dev.rhumb.data;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;

/**
 * Takes a dataset's interactions one after another: those of user 0 first, each user's from the
 * oldest to the newest. It refuses rows out of that order, so that what it took is a dataset. One
 * thread at a time.
 */
public final class SortedRows {
  private final MemorySegment offsets;
  private final MemorySegment items;
  private final MemorySegment times;
  private final long users;
  private final long rows;
  private final int mostItem;
  private long at;
  private int user = -1;
  private long time;

  /** Writes into the memory of a dataset; {@code times} may be null. */
  SortedRows(MemorySegment offsets, MemorySegment items, MemorySegment times, int mostItem) {
    this.offsets = offsets;
    this.items = items;
    this.times = times;
    this.mostItem = mostItem;
    users = offsets.byteSize() / Long.BYTES - 1;
    rows = items.byteSize() / Integer.BYTES;
  }

  /**
   * Adds the next interaction.
   *
   * @param user that of the row before, or the next one
   * @param item 1..V
   * @param time not before that of the user's row before
   * @throws IllegalArgumentException when the row cannot stand here
   */
  public void add(int user, int item, long time) {
    boolean sameUser = user == this.user;
    if (at == rows
        || user >= users
        || !(sameUser || user == this.user + 1)
        || sameUser && time < this.time
        || item < 1
        || item > mostItem) {
      throw new IllegalArgumentException(
          "row "
              + at
              + " of "
              + rows
              + " (user "
              + user
              + " of "
              + users
              + ", item "
              + item
              + " of "
              + mostItem
              + ", time "
              + time
              + ") cannot follow user "
              + this.user
              + " at time "
              + this.time);
    }
    this.user = user;
    this.time = time;
    items.setAtIndex(JAVA_INT, at, item);
    if (times != null) {
      times.setAtIndex(JAVA_LONG, at, time);
    }
    at++;
    offsets.setAtIndex(JAVA_LONG, user + 1L, at);
  }

  /** Refuses if fewer rows came than were announced. */
  void finish() {
    if (at != rows || user != users - 1) {
      throw new IllegalArgumentException(
          "there are " + at + " rows up to user " + user + ", not " + rows + " of " + users);
    }
  }
}
