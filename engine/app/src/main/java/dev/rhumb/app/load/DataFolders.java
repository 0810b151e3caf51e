package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.kernels.Settings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * Where data are looked for: what the user names, then the setting {@code rhumb.data}, then the
 * user's cache, then GroupLens's own address.
 *
 * <p>A place is a folder of a known layout, a prepared dataset, or a folder that holds such
 * folders.
 */
public final class DataFolders {
  /** The data set that is looked for where none is named. */
  public static final String DEFAULT = "ml-latest-small";

  private DataFolders() {}

  /** A place and what was found there. */
  public record Place(String name, Path path, List<Path> folders) {
    /** Copies the list. */
    public Place {
      folders = List.copyOf(folders);
    }
  }

  /** The outcome of a search: a folder, or the reasons why there is none. */
  public record Search(Path folder, List<String> reasons) {
    /** Copies the list. */
    public Search {
      reasons = List.copyOf(reasons);
    }

    /** The folder, or a refusal with every reason. */
    public Path orRefuse() {
      if (folder == null) {
        throw new Refusal(
            "data", String.join("; ", reasons), "name a folder of data with --data or RHUMB_DATA");
      }
      return folder;
    }
  }

  /** Whether data lie right in a folder. */
  public static boolean holdsData(Path folder) {
    return isPrepared(folder) || Layout.of(folder).isPresent();
  }

  /** Whether a folder is one that {@code rhumb prepare} wrote. */
  public static boolean isPrepared(Path folder) {
    return Files.isRegularFile(folder.resolve("dataset.json"));
  }

  /** Whether a dataset may go there: nothing is, or a dataset, maybe one that was cut short. */
  public static boolean takesDataset(Path folder) {
    if (!Files.exists(folder) || isPrepared(folder)) {
      return true;
    }
    if (!Files.isDirectory(folder)) {
      return false;
    }
    try (Stream<Path> inside = Files.list(folder)) {
      return inside
          .map(file -> file.getFileName().toString())
          .allMatch(name -> name.matches("[.]?(sequences|items|users|dataset)[.].*"));
    } catch (IOException e) {
      throw new Refusal(folder.toString(), "cannot be listed: " + e, "check its permissions", e);
    }
  }

  /** The places of this machine, without what a command names. */
  public static List<Place> places() {
    List<Place> places = new ArrayList<>();
    String setting = Settings.get("rhumb.data");
    if (setting != null) {
      Path path = Path.of(setting);
      places.add(new Place("RHUMB_DATA", path, folders(path)));
    }
    places.add(new Place("the cache", cache(), folders(cache())));
    return places;
  }

  /**
   * Looks for data.
   *
   * @param named what the user named: a folder, or the name of a data set in one of the places; may
   *     be null
   * @param wanted the name of the data set looked for where none is named
   */
  public static Search find(String named, String wanted) {
    if (named != null && Files.isDirectory(Path.of(named))) {
      Path path = Path.of(named);
      List<Path> folders = folders(path);
      Path folder =
          folders.size() == 1
              ? folders.getFirst()
              : choose(new Place(named, path, folders), wanted);
      if (folder == null) {
        throw new Refusal(
            named,
            "no data of a known layout are there",
            "known are a prepared dataset, "
                + String.join(", ", Layout.ALL.stream().map(Layout::name).toList()));
      }
      return new Search(folder, List.of());
    }
    if (named != null && Files.isRegularFile(Path.of(named))) {
      throw new Refusal(
          named,
          "this is a file, where a folder of data is wanted",
          "make one of it: `rhumb prepare --interactions " + named + " --out FOLDER`");
    }
    String name = named == null ? wanted : named;
    List<String> reasons = new ArrayList<>();
    for (Place place : places()) {
      Path folder = choose(place, name);
      if (folder != null) {
        return new Search(folder, List.of());
      }
      reasons.add("no " + name + " in " + place.name + " (" + place.path + ")");
    }
    if (Settings.get("rhumb.data") == null) {
      reasons.addFirst("RHUMB_DATA is not set");
    }
    if (!name.equals(DEFAULT)) {
      return new Search(null, reasons);
    }
    try {
      return new Search(GroupLens.fetch(cache().resolve(DEFAULT)), List.of());
    } catch (Refusal e) {
      reasons.add(e.getMessage());
      return new Search(null, reasons);
    }
  }

  /** Where downloads lie: the folder of the XDG base directory specification. */
  static Path cache() {
    String xdg = System.getenv("XDG_CACHE_HOME");
    Path base =
        xdg != null && Path.of(xdg).isAbsolute()
            ? Path.of(xdg)
            : Path.of(System.getProperty("user.home"), ".cache");
    return base.resolve("rhumb").resolve("data");
  }

  /** The folder itself if data lie right in it, otherwise those folders in it that hold data. */
  private static List<Path> folders(Path path) {
    if (!Files.isDirectory(path)) {
      return List.of();
    }
    if (holdsData(path)) {
      return List.of(path);
    }
    try (Stream<Path> inside = Files.list(path)) {
      return inside.filter(DataFolders::holdsData).sorted().toList();
    } catch (IOException e) {
      throw new Refusal(path.toString(), "cannot be listed: " + e, "check its permissions", e);
    }
  }

  /** The folder of that name, or the place itself where it is the data. */
  private static Path choose(Place place, String name) {
    for (Path folder : place.folders) {
      if (folder.equals(place.path)
          || folder.toAbsolutePath().normalize().getFileName().toString().equals(name)) {
        return folder;
      }
    }
    return null;
  }
}
