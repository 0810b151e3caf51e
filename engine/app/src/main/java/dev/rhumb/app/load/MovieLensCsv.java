package dev.rhumb.app.load;

import dev.rhumb.app.load.DuckDb.Column;
import dev.rhumb.app.load.DuckDb.Type;
import dev.rhumb.data.DatasetBuilder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** ratings.csv and movies.csv, as MovieLens latest, 20M, 25M and 32M have them. */
final class MovieLensCsv implements Layout {
  private static final DuckDb.Text RATINGS =
      new DuckDb.Text(
          ",",
          true,
          true,
          StandardCharsets.UTF_8,
          List.of(
              new Column("userId", Type.WHOLE),
              new Column("movieId", Type.WHOLE),
              new Column("rating", Type.NUMBER),
              new Column("timestamp", Type.WHOLE)));
  private static final DuckDb.Text MOVIES =
      new DuckDb.Text(
          ",",
          true,
          true,
          StandardCharsets.UTF_8,
          List.of(
              new Column("movieId", Type.WHOLE),
              new Column("title", Type.TEXT),
              new Column("genres", Type.TEXT)));

  @Override
  public String name() {
    return "MovieLens CSV (ratings.csv, movies.csv)";
  }

  @Override
  public boolean isIn(Path folder) {
    return Files.isRegularFile(folder.resolve("ratings.csv"));
  }

  @Override
  public void read(Path folder, DuckDb db, DatasetBuilder into, Dropped dropped) {
    db.read(
        folder.resolve("movies.csv"),
        MOVIES,
        row -> Movies.movie(row.getString(1), row.getString(2), row.getString(3), into, dropped));
    db.read(
        folder.resolve("ratings.csv"),
        RATINGS,
        row ->
            Movies.rating(
                row.getString(1), row.getString(2), (Long) row.getObject(4), into, dropped));
  }
}
