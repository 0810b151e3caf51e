package dev.rhumb.app.load;

import dev.rhumb.data.DatasetBuilder;

/** Rows of MovieLens: ratings and movies. */
final class Movies {
  private static final String NO_GENRE = "(no genres listed)";
  static final String INCOMPLETE = "ratings without user, item or time";
  static final String INCOMPLETE_MOVIE = "movies without id";

  private Movies() {}

  /** Adds a rating; a missing time arrives as null. */
  static void rating(String user, String movie, Long time, DatasetBuilder into, Dropped dropped) {
    if (user == null || movie == null || time == null) {
      dropped.add(INCOMPLETE, 1);
    } else {
      into.add(user, movie, time);
    }
  }

  /** Describes a movie by its title and genres between bars. */
  static void movie(String id, String title, String genres, DatasetBuilder into, Dropped dropped) {
    if (id == null) {
      dropped.add(INCOMPLETE_MOVIE, 1);
      return;
    }
    String[] names =
        genres == null || genres.equals(NO_GENRE) ? new String[0] : genres.split("\\|");
    into.item(id, title == null ? "" : title, names);
  }
}
