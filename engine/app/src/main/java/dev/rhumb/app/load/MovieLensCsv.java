package dev.rhumb.app.load;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** ratings.csv and movies.csv, as MovieLens latest, 20M, 25M and 32M have them. */
final class MovieLensCsv implements Layout {
  @Override
  public String name() {
    return "MovieLens CSV (ratings.csv, movies.csv)";
  }

  @Override
  public boolean isIn(Path folder) {
    return Files.isRegularFile(folder.resolve("ratings.csv"));
  }

  @Override
  public Plan plan(Path folder) {
    return new Plan(
        Layout.name(folder),
        name(),
        new Plan.Log(
            List.of(csv(folder.resolve("ratings.csv"))),
            "userId",
            "movieId",
            "timestamp",
            "rating",
            Plan.TimeUnit.S,
            null,
            true),
        new Plan.Items(
            csv(folder.resolve("movies.csv")), "movieId", "title", List.of("genres"), "|", 0),
        null);
  }

  private static Source csv(Path file) {
    return Source.text(file, ",", true, true, StandardCharsets.UTF_8);
  }
}
