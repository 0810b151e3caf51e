package dev.rhumb.data;

import dev.rhumb.checkpoint.FormatException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.function.BiFunction;

/**
 * The items 1..V: their external ids, titles and attributes. Unchangeable, so any thread may read.
 */
public final class Catalogue {
  /**
   * One item.
   *
   * @param id its external id, not empty
   * @param title may be empty
   * @param attributes their names, each not empty and once
   */
  public record Item(String id, String title, Collection<String> attributes) {}

  private static final List<String> COLUMNS = List.of("item", "external_id", "title", "attributes");
  private static final String OWN_ID = "give each item an id of its own";

  private final List<String> ids;
  private final List<String> titles;
  private final Attributes attributes;
  // A hash table of items with linear probing, 0 where a place is free: millions of items fit.
  private final int[] byId;

  /**
   * {@code items.get(i - 1)} is item i.
   *
   * @throws IllegalArgumentException when two items have one external id
   */
  public Catalogue(List<Item> items) {
    this(
        items.stream().map(Item::id).toList(),
        items.stream().map(Item::title).toList(),
        Attributes.of(items.stream().map(Item::attributes).toList()));
  }

  /** Takes over lists that nobody changes: item i is at i - 1. */
  Catalogue(List<String> ids, List<String> titles, Attributes attributes) {
    this(
        ids,
        titles,
        attributes,
        (earlier, later) ->
            new IllegalArgumentException(
                "items " + earlier + " and " + later + " are both \"" + ids.get(later - 1) + "\""));
  }

  /** As above; {@code twice} makes what is thrown when two items have one external id. */
  private Catalogue(
      List<String> ids,
      List<String> titles,
      Attributes attributes,
      BiFunction<Integer, Integer, RuntimeException> twice) {
    this.ids = ids;
    this.titles = titles;
    this.attributes = attributes;
    byId = new int[Integer.highestOneBit(Math.max(1, ids.size())) * 4];
    for (int item = 1; item <= ids.size(); item++) {
      int place = place(ids.get(item - 1));
      if (byId[place] != 0) {
        throw twice.apply(byId[place], item);
      }
      byId[place] = item;
    }
  }

  /** Where the item of that id is in the table, or would be. */
  private int place(String id) {
    int place = id.hashCode() * 0x9E3779B9 >>> Integer.numberOfLeadingZeros(byId.length - 1);
    while (byId[place] != 0 && !ids.get(byId[place] - 1).equals(id)) {
      place = place + 1 & byId.length - 1;
    }
    return place;
  }

  /** V: how many items there are. */
  public int items() {
    return ids.size();
  }

  /** The external id of {@code item} (1..V). */
  public String id(int item) {
    return ids.get(row(item));
  }

  /** The title of {@code item} (1..V); its external id where it has no title. */
  public String title(int item) {
    String title = titles.get(row(item));
    return title.isEmpty() ? ids.get(item - 1) : title;
  }

  /** The item of that external id; 0 where there is none. */
  public int itemOf(String externalId) {
    return byId[place(externalId)];
  }

  /** The attributes of the items. */
  public Attributes attributes() {
    return attributes;
  }

  /**
   * Writes {@code items.tsv}: item, external id, title, and attributes parted by {@code |}; a
   * backslash, tab, newline or carriage return in a text is {@code \\ \t \n \r}, and a {@code |} in
   * an attribute is {@code \|}.
   *
   * @throws java.io.UncheckedIOException when it cannot be written; an earlier file then stays
   */
  public void save(Path file) {
    Tsv.write(
        file,
        COLUMNS,
        table -> {
          for (int item = 1; item <= items(); item++) {
            table.row(item, id(item), givenTitle(item), attributes.namesOf(item));
          }
        });
  }

  /**
   * {@link #load(Path)} of a file that is known to have so many items; other counts are read all
   * the same.
   *
   * @throws OutOfMemoryError when they do not fit into the heap, before they are read
   */
  public static Catalogue load(Path file, int items) {
    Tsv.requireHeap(file, items);
    return load(file);
  }

  /**
   * Reads what {@link #save} wrote.
   *
   * @throws FormatException when the file is no such table; it names the line
   * @throws java.io.UncheckedIOException when the file cannot be read
   */
  public static Catalogue load(Path file) {
    List<String> ids = new ArrayList<>();
    List<String> titles = new ArrayList<>();
    Attributes.Builder attributes = new Attributes.Builder();
    try (Tsv.Reader table = new Tsv.Reader(file, COLUMNS)) {
      while (table.next()) {
        if (table.whole(0) != ids.size() + 1) {
          throw table.refuse(
              "item is " + table.text(0) + ", next in turn is " + (ids.size() + 1),
              "keep the rows in the order of items, without a gap");
        }
        String id = table.text(1);
        if (id.isEmpty()) {
          throw table.refuse("external_id is empty", OWN_ID);
        }
        ids.add(id);
        titles.add(table.text(2));
        attributes.add(table.list(3));
      }
    }
    return new Catalogue(
        ids,
        titles,
        attributes.build(),
        (earlier, later) ->
            new FormatException(
                file,
                "line " + (later + 1),
                "external_id is that of line " + (earlier + 1),
                OWN_ID));
  }

  /** The title as it was given, maybe empty. */
  String givenTitle(int item) {
    return titles.get(row(item));
  }

  private int row(int item) {
    if (item < 1 || item > ids.size()) {
      throw new IndexOutOfBoundsException("item " + item + " is not in 1.." + ids.size());
    }
    return item - 1;
  }
}
