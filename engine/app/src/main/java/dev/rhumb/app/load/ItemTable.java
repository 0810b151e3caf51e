package dev.rhumb.app.load;

import dev.rhumb.data.Catalogue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;

/**
 * What is known of items, for those that are in the log.
 *
 * <p>A column whose every value is a number is one of numbers: parted into quantile bins, or taken
 * as it is where it has no more values than bins; its attributes are called {@code year 1990-1999}.
 * Other columns hold texts: an attribute is called as the text is, or, where there are several such
 * columns, {@code brand Acme}. A tag is called {@code tag space opera}, in lower case.
 */
final class ItemTable {
  private static final String ROWS = "item";
  private static final String TAG_ROWS = "tag";

  /** What MovieLens writes for no genre. */
  private static final String NONE = "(no genres listed)";

  private static final String LIST = String.valueOf(TableFile.LIST);

  private final DuckDb db;
  private final Dropped dropped;
  private final List<String> ids;
  private final Map<String, Integer> places;
  private final String[] titles;
  private final List<Set<String>> attributes = new ArrayList<>();
  private final Map<String, String> columns = new LinkedHashMap<>();

  /** Items with these external ids, of which nothing is known yet. */
  ItemTable(DuckDb db, List<String> ids, Dropped dropped) {
    this.db = db;
    this.ids = ids;
    this.dropped = dropped;
    places = HashMap.newHashMap(ids.size());
    titles = new String[ids.size()];
    for (int i = 0; i < ids.size(); i++) {
      places.put(ids.get(i), i);
      attributes.add(new TreeSet<>());
    }
  }

  /** Which column serves as what. */
  Map<String, String> columns() {
    return columns;
  }

  /** How many items have no attribute. */
  long withoutAttributes() {
    return attributes.stream().filter(Set::isEmpty).count();
  }

  /** The items. */
  Catalogue catalogue() {
    List<Catalogue.Item> items = new ArrayList<>(ids.size());
    for (int i = 0; i < titles.length; i++) {
      items.add(
          new Catalogue.Item(ids.get(i), titles[i] == null ? "" : titles[i], attributes.get(i)));
    }
    return new Catalogue(items);
  }

  /** Reads titles and attributes. */
  void describe(Plan.Items plan) {
    Set<String> names = new HashSet<>();
    for (String name : plan.attributes()) {
      names.add(name.toLowerCase(Locale.ROOT));
    }
    TableFile file = TableFile.open(plan.file(), names, db);
    List<Integer> wanted = new ArrayList<>();
    wanted.add(Columns.find(file, "--item-id", plan.id(), Columns.ITEM_ID, true));
    int title = Columns.find(file, "--title", plan.title(), Columns.TITLE, false);
    // The id stands in for a title that is not there, so that the columns have fixed places.
    wanted.add(title < 0 ? wanted.getFirst() : title);
    if (plan.attributes().isEmpty()) {
      int usual = Columns.find(file, "--attributes", null, Columns.ATTRIBUTES, false);
      if (usual >= 0) {
        wanted.add(usual);
      }
    }
    for (String name : plan.attributes()) {
      wanted.add(Columns.find(file, "--attributes", name, List.of(), true));
    }
    columns.put("item-id", file.columns().get(wanted.getFirst()));
    if (title >= 0) {
      columns.put("title", file.columns().get(title));
    }
    List<String> named = wanted.stream().skip(2).map(file.columns()::get).toList();
    if (!named.isEmpty()) {
      columns.put("attributes", String.join(", ", named));
    }
    stage(file, wanted, ROWS);

    List<Map<Integer, String>> values = new ArrayList<>();
    named.forEach(name -> values.add(new TreeMap<>()));
    Map<Integer, List<String>> seen = new HashMap<>();
    Set<String> unknown = new HashSet<>();
    db.query(
        "SELECT * FROM staged ORDER BY line",
        row -> {
          String id = row.getString(2);
          Integer place = id == null ? null : places.get(id);
          if (id == null || id.isEmpty()) {
            fault(file, row.getLong(1), Fault.NO_ITEM);
          } else if (place == null) {
            unknown.add(id);
          } else {
            List<String> now = new ArrayList<>();
            for (int c = 0; c < wanted.size() - 1; c++) {
              now.add(row.getString(c + 3));
            }
            List<String> before = seen.putIfAbsent(place, now);
            if (before != null) {
              if (!before.equals(now)) {
                fault(file, row.getLong(1), Fault.DESCRIBED);
              }
              return;
            }
            titles[place] = title < 0 ? "" : now.getFirst();
            for (int c = 0; c < named.size(); c++) {
              if (now.get(c + 1) != null) {
                values.get(c).put(place, now.get(c + 1));
              }
            }
          }
        });
    dropped.add("described items without an interaction", unknown.size());
    name(plan, named, values);
  }

  private void fault(TableFile file, long number, Fault fault) {
    if (dropped.refuses(fault)) {
      throw Dropped.refusal(file.source().file() + ", " + file.place(number), fault);
    }
    dropped.add(ROWS, fault, 1);
  }

  private void name(Plan.Items plan, List<String> columns, List<Map<Integer, String>> values) {
    List<Map<Integer, double[]>> numbers = new ArrayList<>();
    for (Map<Integer, String> column : values) {
      numbers.add(plan.bins() > 0 ? numbers(column) : null);
    }
    boolean prefix = numbers.stream().filter(n -> n == null).count() > 1;
    for (int c = 0; c < columns.size(); c++) {
      String name = columns.get(c);
      if (numbers.get(c) == null) {
        values
            .get(c)
            .forEach(
                (place, text) ->
                    split(text, plan.separator())
                        .forEach(
                            value ->
                                attributes.get(place).add(prefix ? name + " " + value : value)));
      } else if (!numbers.get(c).isEmpty()) {
        double[] all = numbers.get(c).values().stream().flatMapToDouble(Arrays::stream).toArray();
        boolean few = Arrays.stream(all).distinct().limit(plan.bins() + 1L).count() <= plan.bins();
        Bins bins = few ? null : new Bins(all, plan.bins());
        numbers
            .get(c)
            .forEach(
                (place, of) -> {
                  for (double value : of) {
                    attributes
                        .get(place)
                        .add(name + " " + (few ? Bins.text(value, 8) : bins.name(value)));
                  }
                });
      }
    }
  }

  /** The numbers of a column; null where one of its values is none. */
  private static Map<Integer, double[]> numbers(Map<Integer, String> column) {
    Map<Integer, double[]> numbers = new TreeMap<>();
    for (Map.Entry<Integer, String> entry : column.entrySet()) {
      List<String> texts = split(entry.getValue(), null);
      double[] values = new double[texts.size()];
      for (int i = 0; i < values.length; i++) {
        try {
          values[i] = Double.parseDouble(texts.get(i));
        } catch (NumberFormatException e) {
          return null;
        }
        if (!Double.isFinite(values[i])) {
          return null;
        }
      }
      numbers.put(entry.getKey(), values);
    }
    return numbers;
  }

  /** The values of a field: the elements of a list, else what a separator parts. */
  private static List<String> split(String text, String separator) {
    String[] parts =
        text.startsWith(LIST)
            ? text.substring(1).split(LIST)
            : separator == null || separator.isEmpty()
                ? new String[] {text}
                : text.split(Pattern.quote(separator));
    return Arrays.stream(parts)
        .map(String::strip)
        .filter(part -> !part.isEmpty() && !part.equals(NONE))
        .toList();
  }

  /** Reads tags. */
  void tag(Plan.Tags plan) {
    TableFile file = TableFile.open(plan.file(), Set.of(), db);
    int item = Columns.find(file, "--tag-item", plan.item(), Columns.ITEM, true);
    int tag = Columns.find(file, "--tag", plan.tag(), Columns.TAG, true);
    columns.put("tag-item", file.columns().get(item));
    columns.put("tag", file.columns().get(tag));
    stage(file, List.of(item, tag), TAG_ROWS);
    Map<String, Set<Integer>> items = new TreeMap<>();
    long[] incomplete = {0};
    Set<String> unknown = new HashSet<>();
    db.query(
        "SELECT * FROM staged",
        row -> {
          String id = row.getString(2);
          String text = row.getString(3) == null ? "" : row.getString(3);
          List<String> names = split(text.toLowerCase(Locale.ROOT), null);
          if (id == null || id.isEmpty() || names.isEmpty()) {
            incomplete[0]++;
          } else if (!places.containsKey(id)) {
            unknown.add(id);
          } else {
            for (String name : names) {
              items.computeIfAbsent(name, n -> new TreeSet<>()).add(places.get(id));
            }
          }
        });
    dropped.add("tag rows without item or tag", incomplete[0]);
    dropped.add("tagged items without an interaction", unknown.size());
    long rare = 0;
    for (Map.Entry<String, Set<Integer>> entry : items.entrySet()) {
      if (entry.getValue().size() < plan.least()) {
        rare++;
      } else {
        entry.getValue().forEach(place -> attributes.get(place).add("tag " + entry.getKey()));
      }
    }
    dropped.add("tags on fewer than " + plan.least() + " items", rare);
  }

  private void stage(TableFile file, List<Integer> wanted, String what) {
    StringBuilder sql = new StringBuilder("CREATE OR REPLACE TABLE staged (line BIGINT");
    for (int c = 0; c < wanted.size(); c++) {
      sql.append(", c").append(c).append(" VARCHAR");
    }
    db.execute(sql.append(")").toString());
    TableFile.BadRow bad = file.load(db, "staged", wanted, 0, what, dropped, n -> {});
    if (bad != null) {
      throw Dropped.refusal(file.source().file() + ", " + file.place(bad.number()), bad.fault());
    }
  }
}
