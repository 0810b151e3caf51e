package dev.rhumb.app.load;

import dev.rhumb.app.load.Plan.Repeats;
import dev.rhumb.app.load.Plan.Rules;
import dev.rhumb.app.load.Plan.TimeUnit;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.data.Catalogue;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.LongConsumer;
import java.util.stream.IntStream;

/**
 * The interactions within the database: first as text, then numbered, then filtered, at last in the
 * order of a {@link Dataset}. Tables: {@code raw} (seq, user_id, item_id, time, rating), then
 * {@code users} and {@code items} (n, id) and {@code log} (seq, u, i, t in microseconds since 1970,
 * or the row where there are no times). The number seq of a row is its file's place times {@link
 * #FILE} plus its line: it breaks ties of time.
 */
final class LogTable {
  private static final long FILE = 1L << 40;
  private static final long END_SECONDS = 4_102_444_800L; // 2100-01-01
  private static final long MICROS = 1_000_000;
  private static final String ROWS = "interaction";

  private final DuckDb db;
  private final Plan.Log plan;
  private final Rules rules;
  private final Dropped dropped;
  private final List<TableFile> files = new ArrayList<>();
  private final Map<String, String> columns = new LinkedHashMap<>();
  private boolean timed;
  private TimeUnit unit;
  private long read;
  private String[] itemIds;
  private int[] itemNumbers;

  /** Reads, numbers and filters. */
  LogTable(DuckDb db, Plan.Log plan, Rules rules, Dropped dropped, LongConsumer onBytes) {
    this.db = db;
    this.plan = plan;
    this.rules = rules;
    this.dropped = dropped;
    TableFile.BadRow bad = read(onBytes);
    number();
    judge(bad);
    rename(plan.edition());
    repeats();
    lengths();
    core();
  }

  /** How the files were read, in a few words, by file. */
  String description() {
    String time =
        !timed
            ? ", no times: rows are in the order of time"
            : unit == null ? "" : ", times in " + unit;
    List<String> shown = new ArrayList<>();
    columns.forEach((role, column) -> shown.add(role + " = " + column));
    return files.getFirst().description() + "; " + String.join(", ", shown) + time;
  }

  /** Which column serves as what. */
  Map<String, String> columns() {
    return columns;
  }

  /** How many rows were read, those left out included. */
  long read() {
    return read;
  }

  private TableFile.BadRow read(LongConsumer onBytes) {
    Set<String> names = new HashSet<>();
    for (String given : new String[] {plan.user(), plan.item(), plan.time(), plan.rating()}) {
      if (given != null && !given.matches("[0-9]+")) {
        names.add(given.toLowerCase(Locale.ROOT));
      }
    }
    for (Source source : plan.files()) {
      TableFile file = TableFile.open(source, names, db);
      int user = Columns.find(file, "--user", plan.user(), Columns.USER, true);
      int item = Columns.find(file, "--item", plan.item(), Columns.ITEM, true);
      boolean first = files.isEmpty();
      int time = Columns.find(file, "--time", plan.time(), Columns.TIME, !first && timed);
      int rating = -1;
      if (rules.minRating() != null) {
        rating = Columns.find(file, "--rating", plan.rating(), Columns.RATING, true);
      }
      List<Integer> wanted = new ArrayList<>(List.of(user, item));
      if (first) {
        timed = time >= 0;
        columns.put("user", file.columns().get(user));
        columns.put("item", file.columns().get(item));
        db.execute(
            "CREATE TABLE raw (seq BIGINT, user_id VARCHAR, item_id VARCHAR"
                + (timed ? ", time VARCHAR" : "")
                + (rating >= 0 ? ", rating VARCHAR" : "")
                + ")");
      }
      if (timed) {
        wanted.add(time);
        columns.put("time", file.columns().get(time));
      }
      if (rating >= 0) {
        wanted.add(rating);
        columns.put("rating", file.columns().get(rating));
      }
      if (new HashSet<>(wanted).size() < wanted.size()) {
        throw new Refusal(
            source.file().toString(),
            "one column serves as two: " + columns,
            "name them with --user, --item, --time and --rating");
      }
      long base = files.size() * FILE;
      files.add(file);
      TableFile.BadRow bad = file.load(db, "raw", wanted, base, ROWS, dropped, onBytes);
      if (bad != null) {
        return new TableFile.BadRow(base + bad.number(), bad.fault());
      }
    }
    return null;
  }

  /** Puts numbers in place of ids, and beside each row what is wrong with it. */
  private void number() {
    read = db.number("SELECT count(*) FROM raw");
    dropped.counts().values().forEach(n -> read += n);
    unit = timed ? unit() : null;
    for (String kind : List.of("user", "item")) {
      db.execute(
          ("CREATE TABLE %ss AS SELECT id, CAST(row_number() OVER () - 1 AS INTEGER) AS n FROM"
                  + " (SELECT DISTINCT %s_id AS id FROM raw)")
              .formatted(kind, kind));
    }
    String readings =
        (timed
                ? ", TRY_CAST(time AS DOUBLE) AS d"
                    + ", CASE WHEN d IS NULL THEN TRY_CAST(time AS TIMESTAMPTZ) END AS iso"
                : "")
            + (rules.minRating() != null ? ", TRY_CAST(rating AS DOUBLE) AS r" : "");
    db.execute(
        ("CREATE TABLE log AS SELECT seq, users.n AS u, items.n AS i, t, fault FROM"
                + " (SELECT *, %s AS t, %s AS fault FROM (SELECT *%s FROM raw))"
                + " LEFT JOIN users ON user_id = users.id LEFT JOIN items ON item_id = items.id")
            .formatted(time(), fault(), readings));
    db.execute("DROP TABLE raw");
  }

  /** Counts the faulty rows and leaves them out, or refuses the first that is to be refused. */
  private void judge(TableFile.BadRow stoppedAt) {
    TableFile.BadRow[] first = {stoppedAt};
    db.query(
        "SELECT fault, count(*), min(seq) FROM log WHERE fault IS NOT NULL GROUP BY fault"
            + " ORDER BY fault",
        row -> {
          int code = row.getInt(1);
          if (code < 0) {
            dropped.add("ratings below " + rules.minRating(), row.getLong(2));
            return;
          }
          Fault fault = Fault.values()[code];
          dropped.add(ROWS, fault, row.getLong(2));
          long seq = row.getLong(3);
          if (dropped.refuses(fault) && (first[0] == null || seq < first[0].number())) {
            first[0] = new TableFile.BadRow(seq, fault);
          }
        });
    if (first[0] != null) {
      TableFile file = files.get((int) (first[0].number() / FILE));
      throw Dropped.refusal(
          file.source().file() + ", " + file.place(first[0].number() % FILE), first[0].fault());
    }
    db.execute("DELETE FROM log WHERE fault IS NOT NULL");
    db.execute("ALTER TABLE log DROP COLUMN fault");
  }

  /** The unit in which most of the numbers lie between 1970 and 2100; null where none is one. */
  private TimeUnit unit() {
    if (plan.unit() != null) {
      return plan.unit();
    }
    StringBuilder counts = new StringBuilder();
    long least = 0;
    for (TimeUnit u : TimeUnit.values()) {
      double end = (double) END_SECONDS * u.perSecond();
      counts.append(
          (counts.isEmpty() ? "" : ", ")
              + "count(*) FILTER (d >= %s AND d < %s)".formatted((double) least, end));
      least = Math.round(end);
    }
    TimeUnit[] best = {null};
    long[] most = {0};
    db.query(
        "SELECT " + counts + " FROM (SELECT TRY_CAST(time AS DOUBLE) AS d FROM raw)",
        row -> {
          for (TimeUnit u : TimeUnit.values()) {
            if (row.getLong(u.ordinal() + 1) > most[0]) {
              most[0] = row.getLong(u.ordinal() + 1);
              best[0] = u;
            }
          }
        });
    return best[0];
  }

  /** The time in microseconds, null where it cannot be used; d and iso are its two readings. */
  private String time() {
    if (!timed) {
      return "seq - 1";
    }
    long perSecond = (unit == null ? TimeUnit.S : unit).perSecond();
    String whole =
        perSecond > MICROS
            ? "TRY_CAST(time AS BIGINT) // " + perSecond / MICROS
            : "TRY_CAST(time AS BIGINT) * " + MICROS / perSecond;
    return ("CASE WHEN d IS NULL THEN CASE WHEN iso >= '1970-01-01' AND iso < '2100-01-01' THEN"
            + " epoch_us(iso) END WHEN isnan(d) OR d < 0 OR d >= %s THEN NULL"
            + " WHEN CAST(TRY_CAST(time AS BIGINT) AS DOUBLE) = d THEN %s"
            + " ELSE CAST(floor(d * %s) AS BIGINT) END")
        .formatted((double) END_SECONDS * perSecond, whole, (double) MICROS / perSecond);
  }

  /** The number of a row's fault, -1 for a low rating, null for a good row; r is the rating. */
  private String fault() {
    StringBuilder cases = new StringBuilder("CASE");
    when(cases, "coalesce(user_id, '') = ''", Fault.NO_USER);
    when(cases, "coalesce(item_id, '') = ''", Fault.NO_ITEM);
    if (plan.published()) {
      when(
          cases,
          "TRY_CAST(user_id AS BIGINT) IS NULL OR TRY_CAST(item_id AS BIGINT) IS NULL",
          Fault.BAD_ID);
    }
    if (timed) {
      double end = (double) END_SECONDS * (unit == null ? 1 : unit.perSecond());
      when(cases, "d IS NULL AND trim(coalesce(time, '')) = ''", Fault.NO_TIME);
      when(cases, "d IS NULL AND iso IS NULL OR isnan(d)", Fault.BAD_TIME);
      when(cases, "d < 0 OR iso < '1970-01-01'", Fault.BEFORE_1970);
      when(cases, "d >= " + end + " OR iso >= '2100-01-01'", Fault.AFTER_2099);
    }
    if (rules.minRating() != null) {
      when(cases, "r IS NULL AND trim(coalesce(rating, '')) = ''", Fault.NO_RATING);
      when(cases, "r IS NULL OR isnan(r)", Fault.BAD_RATING);
      cases.append(" WHEN r < ").append(rules.minRating()).append(" THEN -1");
    }
    return cases.append(" END").toString();
  }

  private static void when(StringBuilder cases, String condition, Fault fault) {
    cases.append(" WHEN ").append(condition).append(" THEN ").append(fault.ordinal());
  }

  /** Puts the original ids in place of an edition's. */
  private void rename(Plan.Edition edition) {
    if (edition != null) {
      rename("users", "u", edition.users());
      rename("items", "i", edition.items());
    }
  }

  private void rename(String table, String column, Source originals) {
    if (originals == null) {
      return;
    }
    TableFile file = TableFile.open(originals, Set.of(), db);
    db.execute("CREATE OR REPLACE TABLE originals (line BIGINT, id VARCHAR, original VARCHAR)");
    TableFile.BadRow bad =
        file.load(db, "originals", List.of(0, 1), 0, "mapping", dropped, n -> {});
    if (bad != null) {
      throw Dropped.refusal(originals.file() + ", line " + bad.number(), bad.fault());
    }
    db.query(
        "SELECT id FROM %s WHERE id NOT IN (SELECT id FROM originals) AND n IN (SELECT %s FROM log) ORDER BY n LIMIT 1"
            .formatted(table, column),
        row -> {
          throw new Refusal(
              originals.file().toString(),
              "the id "
                  + row.getString(1)
                  + " of "
                  + plan.files().getFirst().file()
                  + " is missing there",
              "take both from one edition");
        });
    db.execute(
        "UPDATE "
            + table
            + " SET id = original FROM originals WHERE originals.id = "
            + table
            + ".id");
  }

  private void repeats() {
    boolean exact = rules.repeats() == Repeats.DISTINCT;
    if (rules.repeats() == Repeats.KEEP || exact && !timed) {
      return;
    }
    String same = exact ? "u, i, t" : "u, i";
    String order = rules.repeats() == Repeats.LAST ? "t DESC, seq DESC" : "t, seq";
    db.execute(
        "CREATE TABLE repeated AS SELECT "
            + same
            + " FROM log GROUP BY "
            + same
            + " HAVING count(*) > 1");
    long n =
        db.update(
            ("DELETE FROM log WHERE seq IN (SELECT seq FROM (SELECT seq, row_number() OVER"
                    + " (PARTITION BY %s ORDER BY %s) AS place FROM log SEMI JOIN repeated USING"
                    + " (%s)) WHERE place > 1)")
                .formatted(same, order, same));
    dropped.add(exact ? "rows that are there twice" : "repeats of an item by a user", n);
    db.execute("DROP TABLE repeated");
  }

  private void lengths() {
    if (rules.maxLength() > 0) {
      dropped.add(
          "interactions older than a user's newest " + rules.maxLength(),
          db.update(
              "DELETE FROM log WHERE seq IN (SELECT seq FROM (SELECT seq, row_number() OVER"
                  + " (PARTITION BY u ORDER BY t DESC, seq DESC) AS place FROM log) WHERE place > "
                  + rules.maxLength()
                  + ")"));
    }
  }

  private void core() {
    int user = Math.max(rules.core(), rules.minLength());
    int item = rules.core();
    long ofUsers = 0;
    long ofItems = 0;
    long now;
    do {
      now = thin("u", user);
      ofUsers += now;
      if (item > 1) {
        long n = thin("i", item);
        ofItems += n;
        now = n;
      } else {
        now = 0;
      }
    } while (now > 0);
    if (user > 1) {
      dropped.add("interactions of users with fewer than " + user, ofUsers);
    }
    if (item > 1) {
      dropped.add("interactions of items with fewer than " + item, ofItems);
    }
  }

  private long thin(String column, int least) {
    return least <= 1
        ? 0
        : db.update(
            "DELETE FROM log WHERE %s IN (SELECT %s FROM log GROUP BY %s HAVING count(*) < %d)"
                .formatted(column, column, column, least));
  }

  /** The external ids of the items that are left, in the order of their numbers. */
  List<String> itemIds() {
    Ids ids = ids("items", "i");
    itemNumbers = ids.numbers;
    itemIds = ids.sorted;
    return List.of(itemIds);
  }

  /** Puts the rows in order into a dataset, which the caller closes. */
  Dataset dataset(String name, Catalogue catalogue) {
    Ids users = ids("users", "u");
    db.execute("CREATE TABLE user_numbers (u INTEGER, number INTEGER)");
    db.append(
        "user_numbers",
        rows -> {
          for (int u = 0; u < users.numbers.length; u++) {
            if (users.numbers[u] >= 0) {
              rows.add(u);
              rows.add(users.numbers[u]);
              rows.end();
            }
          }
        });
    long[] times = new long[users.sorted.length];
    boolean originals = plan.edition() != null && plan.edition().users() != null;
    db.query(
        "SELECT number, min(t) FROM log JOIN user_numbers USING (u) GROUP BY number",
        row -> {
          int user = row.getInt(1);
          times[user] =
              originals
                  ? -Long.parseLong(users.sorted[user])
                  : timed ? Math.floorDiv(row.getLong(2), MICROS) : row.getLong(2);
        });
    long interactions = db.number("SELECT count(*) FROM log");
    return Dataset.of(
        name,
        catalogue,
        List.of(users.sorted),
        times,
        interactions,
        timed,
        sorted ->
            db.query(
                "SELECT number, i, t FROM log JOIN user_numbers USING (u) ORDER BY number, t, seq",
                row ->
                    sorted.add(
                        row.getInt(1),
                        itemNumbers[row.getInt(2)] + 1,
                        Math.floorDiv(row.getLong(3), timed ? MICROS : 1))));
  }

  /** Ids in their order, and the place in it (from 0, -1 for none) of each number of a table. */
  private record Ids(String[] sorted, int[] numbers) {}

  private Ids ids(String table, String column) {
    int[] numbers = new int[(int) db.number("SELECT count(*) FROM " + table)];
    String[] byNumber = new String[numbers.length];
    List<String> left = new ArrayList<>();
    db.query(
        "SELECT n, id FROM %s WHERE n IN (SELECT DISTINCT %s FROM log)".formatted(table, column),
        row -> {
          byNumber[row.getInt(1)] = row.getString(2);
          left.add(row.getString(2));
        });
    Comparator<String> order = DatasetBuilder.order(left);
    int[] place =
        IntStream.range(0, numbers.length)
            .filter(n -> byNumber[n] != null)
            .boxed()
            .sorted(Comparator.comparing(n -> byNumber[n], order))
            .mapToInt(Integer::intValue)
            .toArray();
    Arrays.fill(numbers, -1);
    String[] sorted = new String[place.length];
    for (int p = 0; p < place.length; p++) {
      numbers[place[p]] = p;
      sorted[p] = byNumber[place[p]];
    }
    return new Ids(sorted, numbers);
  }
}
