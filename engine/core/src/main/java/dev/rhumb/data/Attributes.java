package dev.rhumb.data;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
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

  /** Gathers the attributes of one item after another, as numbers: millions of items fit. */
  static final class Builder {
    private final Map<String, Integer> numbers = new HashMap<>();
    private int[] starts = new int[1024];
    private int[] values = new int[1024];
    private int items;
    private int n;

    /** Adds the attributes of the next item, from 1 on; what is named twice counts once. */
    void add(Collection<String> ofItem) {
      starts = room(starts, items + 2);
      values = room(values, Math.addExact(n, ofItem.size()));
      for (String name : ofItem) {
        if (name.isEmpty()) {
          throw new IllegalArgumentException("an attribute needs a name that is not empty");
        }
        Integer number = numbers.get(name);
        if (number == null) {
          number = numbers.size();
          numbers.put(name, number);
        }
        values[n++] = number;
      }
      starts[++items] = n;
    }

    /** Numbers the attributes by their names. Ends the use of this. */
    Attributes build() {
      List<String> names = numbers.keySet().stream().sorted().toList();
      int[] place = new int[names.size()];
      for (int i = 0; i < place.length; i++) {
        place[numbers.get(names.get(i))] = i;
      }
      int from = 0;
      int kept = 0;
      for (int item = 1; item <= items; item++) {
        int to = starts[item];
        for (int e = from; e < to; e++) {
          values[e] = place[values[e]];
        }
        Arrays.sort(values, from, to);
        int first = kept;
        for (int e = from; e < to; e++) {
          if (kept == first || values[kept - 1] != values[e]) {
            values[kept++] = values[e];
          }
        }
        starts[item] = kept;
        from = to;
      }
      return new Attributes(names, Arrays.copyOf(starts, items + 1), Arrays.copyOf(values, kept));
    }

    private static int[] room(int[] array, int count) {
      return count <= array.length
          ? array
          : Arrays.copyOf(
              array, (int) Math.min(Integer.MAX_VALUE - 8, Math.max(count, 2L * array.length)));
    }
  }

  /** {@code ofItems.get(i - 1)} holds the attributes of item i. */
  static Attributes of(List<? extends Collection<String>> ofItems) {
    Builder builder = new Builder();
    ofItems.forEach(builder::add);
    return builder.build();
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
