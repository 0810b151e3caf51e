package dev.rhumb.app.load;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import java.nio.file.Path;
import java.util.Map;

/**
 * A dataset made from files of a known layout.
 *
 * @param dataset the caller closes it
 * @param layout what the files were
 * @param dropped what was left out, by reason; zeros included
 */
public record Import(Dataset dataset, String layout, Map<String, Long> dropped) {
  /** Imports a folder. */
  public static Import of(Path folder, Layout layout, int minLength) {
    DatasetBuilder builder = new DatasetBuilder().minLength(minLength);
    Dropped dropped = new Dropped();
    dropped.add(Movies.INCOMPLETE, 0);
    dropped.add(Movies.INCOMPLETE_MOVIE, 0);
    try (DuckDb db = new DuckDb()) {
      layout.read(folder, db, builder, dropped);
    }
    Dataset dataset = builder.build(folder.toAbsolutePath().normalize().getFileName().toString());
    DatasetBuilder.Counts counts = builder.counts();
    if (minLength > 1) {
      dropped.add("ratings of users with fewer than " + minLength, counts.shortUserInteractions());
    }
    dropped.add("movies that nobody rated", counts.unusedItems());
    return new Import(dataset, layout.name(), dropped.counts());
  }
}
