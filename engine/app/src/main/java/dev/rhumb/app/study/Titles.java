package dev.rhumb.app.study;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.data.Attributes;
import dev.rhumb.data.Catalogue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** Finds items of a catalogue by what people write, and tells of items in words. */
public final class Titles {
  private static final int OFFERED = 3;
  private static final String YEAR = "\\s*\\(\\d{4}\\)$";

  private Titles() {}

  /**
   * The item of an external id or title; case does not matter, and neither does the year at the end
   * of a title where only one item is meant.
   *
   * @throws Refusal when there is none, or more than one; it offers the nearest titles
   */
  public static int find(Catalogue catalogue, String text) {
    int byId = catalogue.itemOf(text);
    if (byId != 0) {
      return byId;
    }
    String wanted = text.strip().toLowerCase(Locale.ROOT);
    int[] exact = items(catalogue, wanted, "");
    int[] found = exact.length > 0 ? exact : items(catalogue, wanted, YEAR);
    if (found.length == 1) {
      return found[0];
    }
    if (found.length > 1) {
      throw new Refusal(
          "item '" + text + "'",
          "is the title of several: "
              + String.join(
                  ", ",
                  Arrays.stream(found)
                      .limit(OFFERED)
                      .mapToObj(i -> catalogue.title(i) + " (id " + catalogue.id(i) + ")")
                      .toList()),
          "give the id");
    }
    List<String> titles =
        IntStream.rangeClosed(1, catalogue.items())
            .mapToObj(i -> catalogue.title(i).replaceAll(YEAR, ""))
            .toList();
    throw new Refusal(
        "item '" + text + "'",
        "is neither an id nor a title of the catalogue",
        "the nearest are " + Attributes.nearest(titles, text));
  }

  private static int[] items(Catalogue catalogue, String wanted, String cut) {
    return IntStream.rangeClosed(1, catalogue.items())
        .filter(i -> catalogue.title(i).toLowerCase(Locale.ROOT).replaceAll(cut, "").equals(wanted))
        .toArray();
  }

  /** The names of an item's attributes. */
  public static List<String> attributes(Catalogue catalogue, int item) {
    List<String> names = new ArrayList<>();
    for (int attribute : catalogue.attributes().of(item)) {
      names.add(catalogue.attributes().names().get(attribute));
    }
    return names;
  }

  /** An item in words: its title, and its attributes between bars. */
  public static String words(Catalogue catalogue, int item) {
    String attributes = String.join("|", attributes(catalogue, item));
    return catalogue.title(item) + (attributes.isEmpty() ? "" : "  [" + attributes + "]");
  }
}
