package dev.rhumb.app.load;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** An arrangement of files that is known by name. */
public interface Layout {
  /** All that are known. */
  List<Layout> ALL = List.of(new MovieLensCsv(), new MovieLensDat(), new OrderedPairs());

  /** The layout of the files in a folder. */
  static Optional<Layout> of(Path folder) {
    return ALL.stream().filter(layout -> layout.isIn(folder)).findFirst();
  }

  /** What it is called, with its files. */
  String name();

  /** Whether the files that make it out lie in a folder. */
  boolean isIn(Path folder);

  /** How the files in a folder are imported. */
  Plan plan(Path folder);

  /** The name of a folder, for the dataset. */
  static String name(Path folder) {
    return folder.toAbsolutePath().normalize().getFileName().toString();
  }
}
