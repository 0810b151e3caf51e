package dev.rhumb.serve;

import java.util.Arrays;

/**
 * Which items a request may answer with, beside its history's own items, which never are in the
 * answer. Cannot be changed: any number of requests and threads may share one.
 *
 * <p>Items are numbers of the catalogue, 1 to V; {@link dev.rhumb.data.Catalogue#itemOf} gives that
 * of an external id.
 */
public final class Filter {
  private static final Filter NONE = new Filter(false, new int[0]);

  private final boolean allows;
  private final int[] items;

  private Filter(boolean allows, int[] items) {
    this.allows = allows;
    this.items = items;
  }

  /** Every item of the catalogue. */
  public static Filter none() {
    return NONE;
  }

  /**
   * Every item of the catalogue but these.
   *
   * @param items in any order, repeats allowed
   * @throws IllegalArgumentException when one is below 1
   */
  public static Filter deny(int... items) {
    return new Filter(false, ascending(items));
  }

  /**
   * These items alone: only they are scored, so that a short list costs less than the catalogue.
   *
   * @param items in any order, repeats allowed; of none, no item is left to answer with
   * @throws IllegalArgumentException when one is below 1
   */
  public static Filter allow(int... items) {
    return new Filter(true, ascending(items));
  }

  private static int[] ascending(int[] items) {
    int[] sorted = items.clone();
    Arrays.sort(sorted);
    int n = 0;
    for (int item : sorted) {
      if (item < 1) {
        throw new IllegalArgumentException("filter: item " + item + " must be 1 or more");
      }
      if (n == 0 || item != sorted[n - 1]) {
        sorted[n++] = item;
      }
    }
    return Arrays.copyOf(sorted, n);
  }

  /** Whether the items are those allowed, not those denied. */
  boolean allows() {
    return allows;
  }

  /** The items, ascending without repeats; not to be changed. */
  int[] items() {
    return items;
  }

  /** Refuses an item that a catalogue of so many lacks. */
  void requireIn(int catalogue) {
    if (items.length > 0 && items[items.length - 1] > catalogue) {
      throw new IllegalArgumentException(
          "filter: item "
              + items[items.length - 1]
              + " is not in the catalogue, whose items are 1 to "
              + catalogue);
    }
  }

  @Override
  public String toString() {
    return (allows ? "allow " : "deny ") + items.length + " items";
  }
}
