package dev.rhumb.data;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * What is known of items by name, such as genres: each item has any number of attributes. An
 * attribute is an index into {@link #names}, which are in lexicographic order. Unchangeable, so any
 * thread may read.
 */
public final class Attributes {
  private static final int OFFERED = 3;

  private final List<String> names;
  // The attributes of item i, ascending, are values[starts[i - 1] .. starts[i]].
  private final int[] starts;
  private final int[] values;
  private final int[] items;

  /** {@code ofItems.get(i - 1)} holds the attributes of item i. */
  Attributes(List<? extends Collection<String>> ofItems) {
    TreeSet<String> distinct = new TreeSet<>();
    ofItems.forEach(distinct::addAll);
    if (distinct.contains("")) {
      throw new IllegalArgumentException("an attribute needs a name that is not empty");
    }
    names = List.copyOf(distinct);
    items = new int[names.size()];
    starts = new int[ofItems.size() + 1];
    int[][] rows = new int[ofItems.size()][];
    for (int i = 0; i < rows.length; i++) {
      rows[i] =
          ofItems.get(i).stream()
              .mapToInt(name -> Collections.binarySearch(names, name))
              .sorted()
              .distinct()
              .toArray();
      starts[i + 1] = Math.addExact(starts[i], rows[i].length);
    }
    values = Arrays.stream(rows).flatMapToInt(Arrays::stream).toArray();
    for (int attribute : values) {
      items[attribute]++;
    }
  }

  /**
   * Takes over arrays of names in lexicographic order, each of which an item has: the attributes of
   * item i are {@code values[starts[i - 1] .. starts[i]]}, ascending.
   */
  Attributes(List<String> names, int[] starts, int[] values) {
    this.names = List.copyOf(names);
    this.starts = starts;
    this.values = values;
    items = new int[names.size()];
    for (int attribute : values) {
      items[attribute]++;
    }
  }

  /** The names, in lexicographic order. */
  public List<String> names() {
    return names;
  }

  /** How many attributes there are. */
  public int count() {
    return names.size();
  }

  /** Whether {@code item} (1..V) has {@code attribute}. */
  public boolean has(int item, int attribute) {
    Objects.checkIndex(attribute, names.size());
    int row = row(item);
    return Arrays.binarySearch(values, starts[row], starts[row + 1], attribute) >= 0;
  }

  /** The attributes of {@code item} (1..V), ascending, as a new array. */
  public int[] of(int item) {
    int row = row(item);
    return Arrays.copyOfRange(values, starts[row], starts[row + 1]);
  }

  /** How many items have {@code attribute}. */
  public int itemsWith(int attribute) {
    return items[attribute];
  }

  /**
   * The attribute of that name; where none is spelt exactly so, the only one that differs in case
   * alone.
   *
   * @throws IllegalArgumentException when there is none; the message offers the nearest names
   */
  public int find(String name) {
    int exact = names.indexOf(name);
    if (exact >= 0) {
      return exact;
    }
    int[] folded =
        IntStream.range(0, names.size()).filter(i -> names.get(i).equalsIgnoreCase(name)).toArray();
    if (folded.length == 1) {
      return folded[0];
    }
    throw new IllegalArgumentException(
        "no attribute \""
            + name
            + "\" is known; "
            + (names.isEmpty()
                ? "the items have none"
                : "the nearest are " + nearest(names, name)));
  }

  /**
   * The few of {@code names} that are spelt most like {@code name}, quoted, for an error message.
   */
  public static String nearest(Collection<String> names, String name) {
    String wanted = name.toLowerCase(Locale.ROOT);
    return names.stream()
        .sorted(
            Comparator.<String>comparingInt(
                    known -> distance(wanted, known.toLowerCase(Locale.ROOT)))
                .thenComparing(Comparator.naturalOrder()))
        .limit(OFFERED)
        .map(known -> '"' + known + '"')
        .collect(Collectors.joining(", "));
  }

  /** Levenshtein's distance, counted in UTF-16 units. */
  static int distance(String a, String b) {
    int[] above = IntStream.rangeClosed(0, b.length()).toArray();
    int[] row = new int[b.length() + 1];
    for (int i = 1; i <= a.length(); i++) {
      row[0] = i;
      for (int j = 1; j <= b.length(); j++) {
        int swap = above[j - 1] + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        row[j] = Math.min(swap, 1 + Math.min(above[j], row[j - 1]));
      }
      int[] done = row;
      row = above;
      above = done;
    }
    return above[b.length()];
  }

  List<String> namesOf(int item) {
    List<String> found = new ArrayList<>();
    for (int attribute : of(item)) {
      found.add(names.get(attribute));
    }
    return found;
  }

  private int row(int item) {
    if (item < 1 || item >= starts.length) {
      throw new IndexOutOfBoundsException("item " + item + " is not in 1.." + (starts.length - 1));
    }
    return item - 1;
  }
}
