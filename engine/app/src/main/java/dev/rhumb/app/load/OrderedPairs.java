package dev.rhumb.app.load;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

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

  @Override
  public String name() {
    return "MovieLens 1M, sequential edition (ml-1m.txt)";
  }

  @Override
  public boolean isIn(Path folder) {
    return Files.isRegularFile(folder.resolve(FILE));
  }

  @Override
  public Plan plan(Path folder) {
    Source users = ifThere(folder.resolve(USERS));
    Source items = ifThere(folder.resolve(ITEMS));
    return new Plan(
        Layout.name(folder),
        name(),
        new Plan.Log(
            List.of(pairs(folder.resolve(FILE))),
            "1",
            "2",
            null,
            null,
            null,
            new Plan.Edition(users, items),
            true),
        items != null && Files.isRegularFile(folder.resolve("movies.dat"))
            ? MovieLensDat.movies(folder)
            : null,
        null);
  }

  private static Source ifThere(Path file) {
    return Files.isRegularFile(file) ? pairs(file) : null;
  }

  private static Source pairs(Path file) {
    return Source.text(file, " ", false, false, StandardCharsets.UTF_8);
  }
}
