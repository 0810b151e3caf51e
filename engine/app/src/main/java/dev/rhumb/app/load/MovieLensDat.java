package dev.rhumb.app.load;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** ratings.dat and movies.dat, as MovieLens 1M and 10M have them. */
final class MovieLensDat implements Layout {
  @Override
  public String name() {
    return "MovieLens 1M (ratings.dat, movies.dat)";
  }

  @Override
  public boolean isIn(Path folder) {
    return Files.isRegularFile(folder.resolve("ratings.dat"));
  }

  @Override
  public Plan plan(Path folder) {
    return new Plan(
        Layout.name(folder),
        name(),
        new Plan.Log(
            List.of(dat(folder.resolve("ratings.dat"))),
            "1",
            "2",
            "4",
            "3",
            Plan.TimeUnit.S,
            null,
            true),
        movies(folder),
        null);
  }

  /** How movies.dat is read. */
  static Plan.Items movies(Path folder) {
    return new Plan.Items(dat(folder.resolve("movies.dat")), "1", "2", List.of("3"), "|", 0);
  }

  private static Source dat(Path file) {
    return Source.text(file, "::", false, false, StandardCharsets.ISO_8859_1);
  }
}
