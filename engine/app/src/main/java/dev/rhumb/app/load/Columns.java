package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Finds columns by what the user names, or by the names that public data sets use. */
final class Columns {
  static final List<String> USER =
      List.of(
          "userid",
          "user",
          "uid",
          "visitorid",
          "reviewerid",
          "customerid",
          "memberid",
          "profileid",
          "accountid",
          "username",
          "sessionid",
          "session");
  static final List<String> ITEM =
      List.of(
          "itemid",
          "item",
          "iid",
          "movieid",
          "parentasin",
          "asin",
          "productid",
          "videoid",
          "businessid",
          "bookid",
          "gameid",
          "songid",
          "trackid",
          "artistid",
          "articleid",
          "newsid",
          "recipeid",
          "sku");
  static final List<String> TIME =
      List.of(
          "timestamp",
          "time",
          "unixreviewtime",
          "unixtime",
          "datetime",
          "date",
          "createdat",
          "eventtime",
          "reviewtime",
          "ts");
  static final List<String> RATING = List.of("rating", "overall", "stars", "score");
  static final List<String> ITEM_ID = Stream.concat(ITEM.stream(), Stream.of("id")).toList();
  static final List<String> TITLE =
      List.of("title", "name", "itemname", "movietitle", "productname", "booktitle");
  static final List<String> ATTRIBUTES = List.of("genres", "genre", "categories", "category");
  static final List<String> TAG = List.of("tag", "tags", "label", "keyword");

  private Columns() {}

  /** Whether a cell of a first line is a usual name of a column, and so no value. */
  static boolean isUsual(String cell) {
    String name = normal(cell);
    return Stream.of(USER, ITEM, TIME, RATING, TITLE, ATTRIBUTES, TAG)
        .anyMatch(names -> names.contains(name));
  }

  /**
   * The place of a column.
   *
   * @param option by which the user names it, for a refusal
   * @param given what the user named, a name or a number from 1; null to go by {@code usual}
   * @param usual names, the preferred first
   * @param needed whether there must be one
   * @return -1 where there is none and none is needed
   */
  static int find(
      TableFile table, String option, String given, List<String> usual, boolean needed) {
    List<String> columns = table.columns();
    if (given != null) {
      return named(table, option, given);
    }
    for (String name : usual) {
      for (int i = 0; i < columns.size(); i++) {
        if (normal(columns.get(i)).equals(name)) {
          return i;
        }
      }
    }
    if (needed) {
      throw new Refusal(
          table.source().file() + ", " + table.place(1),
          "no column has a usual name; there are " + String.join(", ", shown(columns)),
          "name the column with " + option);
    }
    return -1;
  }

  private static int named(TableFile table, String option, String given) {
    List<String> columns = table.columns();
    int exact = columns.indexOf(given);
    if (exact >= 0) {
      return exact;
    }
    int[] folded =
        IntStream.range(0, columns.size())
            .filter(i -> columns.get(i).equalsIgnoreCase(given))
            .toArray();
    if (folded.length == 1) {
      return folded[0];
    }
    if (given.matches("[1-9][0-9]{0,5}") && Integer.parseInt(given) <= columns.size()) {
      return Integer.parseInt(given) - 1;
    }
    throw new Refusal(
        table.source().file() + ", " + table.place(1),
        "there is no column " + given + "; there are " + String.join(", ", shown(columns)),
        "name one of them with " + option);
  }

  private static List<String> shown(List<String> columns) {
    return columns.size() <= 20
        ? columns
        : Stream.concat(columns.stream().limit(20), Stream.of("...")).toList();
  }

  /** Letters and digits in lower case, without the type that RecBole's files put behind a colon. */
  private static String normal(String name) {
    return name.strip()
        .replaceFirst(":(token|token_seq|float|float_seq)$", "")
        .toLowerCase(Locale.ROOT)
        .replaceAll("[^\\p{L}\\p{N}]", "");
  }
}
