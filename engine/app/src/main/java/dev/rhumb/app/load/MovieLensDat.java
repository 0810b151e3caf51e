package dev.rhumb.app.load;

import dev.rhumb.app.load.DuckDb.Column;
import dev.rhumb.app.load.DuckDb.Type;
import dev.rhumb.data.DatasetBuilder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** ratings.dat and movies.dat, as MovieLens 1M and 10M have them. */
final class MovieLensDat implements Layout {
  private static final DuckDb.Text RATINGS =
      new DuckDb.Text(
          "::",
          false,
          false,
          StandardCharsets.ISO_8859_1,
          List.of(
              new Column("user", Type.WHOLE),
              new Column("movie", Type.WHOLE),
              new Column("rating", Type.NUMBER),
              new Column("timestamp", Type.WHOLE)));
  private static final DuckDb.Text MOVIES =
      new DuckDb.Text(
          "::",
          false,
          false,
          StandardCharsets.ISO_8859_1,
          List.of(
              new Column("movie", Type.WHOLE),
              new Column("title", Type.TEXT),
              new Column("genres", Type.TEXT)));

  @Override
  public String name() {
    return "MovieLens 1M (ratings.dat, movies.dat)";
  }

  @Override
  public boolean isIn(Path folder) {
    return Files.isRegularFile(folder.resolve("ratings.dat"));
  }

  @Override
  public void read(Path folder, DuckDb db, DatasetBuilder into, Dropped dropped) {
    movies(folder, db, into, dropped);
    db.read(
        folder.resolve("ratings.dat"),
        RATINGS,
        row ->
            Movies.rating(
                row.getString(1), row.getString(2), (Long) row.getObject(4), into, dropped));
  }

  /** Reads movies.dat alone. */
  static void movies(Path folder, DuckDb db, DatasetBuilder into, Dropped dropped) {
    db.read(
        folder.resolve("movies.dat"),
        MOVIES,
        row -> Movies.movie(row.getString(1), row.getString(2), row.getString(3), into, dropped));
  }
}
