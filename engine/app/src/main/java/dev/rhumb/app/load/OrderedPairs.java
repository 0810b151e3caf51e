package dev.rhumb.app.load;

import dev.rhumb.app.load.DuckDb.Column;
import dev.rhumb.app.load.DuckDb.Type;
import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.data.DatasetBuilder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * ml-1m.txt, the edition of MovieLens 1M that sequential recommendation reports on (Kang, McAuley
 * 2018): {@code user item} on each line, a user's lines in time order, ids of its own.
 *
 * <p>Where sas_to_original_items.txt and sas_to_original_users.txt lie beside it, external ids are
 * MovieLens's own; with them movies.dat gives titles and genres. The file has no times; MovieLens
 * gave out user ids against the order of joining, so a user with a smaller original id counts as
 * newer.
 */
final class OrderedPairs implements Layout {
  private static final String FILE = "ml-1m.txt";
  private static final String ITEMS = "sas_to_original_items.txt";
  private static final String USERS = "sas_to_original_users.txt";
  private static final DuckDb.Text PAIRS =
      new DuckDb.Text(
          " ",
          false,
          false,
          StandardCharsets.UTF_8,
          List.of(new Column("first", Type.WHOLE), new Column("second", Type.WHOLE)));

  @Override
  public String name() {
    return "MovieLens 1M, sequential edition (ml-1m.txt)";
  }

  @Override
  public boolean isIn(Path folder) {
    return Files.isRegularFile(folder.resolve(FILE));
  }

  @Override
  public void read(Path folder, DuckDb db, DatasetBuilder into, Dropped dropped) {
    Map<String, String> items = mapping(folder.resolve(ITEMS), db);
    Map<String, String> users = mapping(folder.resolve(USERS), db);
    if (!items.isEmpty() && Files.isRegularFile(folder.resolve("movies.dat"))) {
      MovieLensDat.movies(folder, db, into, dropped);
    }
    Set<String> known = new HashSet<>();
    long[] line = {0};
    db.read(
        folder.resolve(FILE),
        PAIRS,
        row -> {
          String user = original(users, row.getString(1), USERS);
          String item = original(items, row.getString(2), ITEMS);
          Movies.rating(user, item, line[0]++, into, dropped);
          if (user != null && !users.isEmpty() && known.add(user)) {
            into.userTime(user, -Long.parseLong(user));
          }
        });
  }

  /** The original id; the id itself where there is no mapping. */
  private static String original(Map<String, String> mapping, String id, String file) {
    if (id == null || mapping.isEmpty()) {
      return id;
    }
    String original = mapping.get(id);
    if (original == null) {
      throw new Refusal(
          file, "the id " + id + " of " + FILE + " is missing there", "take both from one edition");
    }
    return original;
  }

  private static Map<String, String> mapping(Path file, DuckDb db) {
    Map<String, String> mapping = new HashMap<>();
    if (Files.isRegularFile(file)) {
      db.read(file, PAIRS, row -> mapping.put(row.getString(1), row.getString(2)));
    }
    return mapping;
  }
}
