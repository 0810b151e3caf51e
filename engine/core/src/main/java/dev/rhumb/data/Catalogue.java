package dev.rhumb.data;

import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The items 1..V: their external ids, titles and attributes. Unchangeable, so any thread may read.
 */
public final class Catalogue {
  /** One item; {@code title} may be empty. */
  record Item(String id, String title, Collection<String> attributes) {}

  private final List<String> ids;
  private final List<String> titles;
  private final Attributes attributes;
  private final Map<String, Integer> byId;

  /**
   * {@code items.get(i - 1)} is item i.
   *
   * @throws IllegalArgumentException when two items have one external id
   */
  Catalogue(List<Item> items) {
    ids = items.stream().map(Item::id).toList();
    titles = items.stream().map(Item::title).toList();
    attributes = new Attributes(items.stream().map(Item::attributes).toList());
    byId = HashMap.newHashMap(items.size());
    for (int i = 0; i < ids.size(); i++) {
      Integer earlier = byId.putIfAbsent(ids.get(i), i + 1);
      if (earlier != null) {
        throw new IllegalArgumentException(
            "items " + earlier + " and " + (i + 1) + " are both \"" + ids.get(i) + "\"");
      }
    }
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
    return byId.getOrDefault(externalId, 0);
  }

  /** The attributes of the items. */
  public Attributes attributes() {
    return attributes;
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
