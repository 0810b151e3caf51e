package dev.rhumb.app.load;

import java.nio.file.Path;
import java.util.List;

/**
 * What is imported. Columns are named as {@code rhumb prepare} takes them: by name, by number, or
 * null to be found by their usual names.
 *
 * @param name of the dataset
 * @param layout what the files are, in a few words
 * @param log the interactions
 * @param items what is known of items, or null
 * @param tags more that is known of items, or null
 */
public record Plan(String name, String layout, Log log, Items items, Tags tags) {
  /**
   * Interactions.
   *
   * @param files one or more, with the same columns
   * @param user column of the external id
   * @param item column of the external id
   * @param time column of the time; without one, the order of rows is that of time
   * @param rating column of the rating
   * @param unit of times that are numbers; null to go by their size
   * @param edition where ids are those of an edition and the originals lie elsewhere, or null
   * @param published whether the files are of a known layout: ids are whole numbers, and a
   *     malformed line is refused rather than left out
   */
  public record Log(
      List<Source> files,
      String user,
      String item,
      String time,
      String rating,
      TimeUnit unit,
      Edition edition,
      boolean published) {
    /** Copies the list. */
    public Log {
      files = List.copyOf(files);
    }
  }

  /**
   * Ids of an edition and their originals, in two columns.
   *
   * @param users null where the edition's ids stand
   * @param items null where the edition's ids stand
   */
  record Edition(Source users, Source items) {}

  /**
   * Items.
   *
   * @param file a row for each item
   * @param id column of the external id
   * @param title column of the title
   * @param attributes columns of attributes; empty to go by usual names
   * @param separator between the values of one field
   * @param bins into how many an attribute of numbers is parted; 0 for none
   */
  public record Items(
      Source file, String id, String title, List<String> attributes, String separator, int bins) {
    /** Copies the list. */
    public Items {
      attributes = List.copyOf(attributes);
    }
  }

  /**
   * Tags that users gave to items.
   *
   * @param file a row for each tag of an item
   * @param item column of the external id
   * @param tag column of the tag
   * @param least items that a tag needs to count
   */
  public record Tags(Source file, String item, String tag, int least) {}

  /** Units of times that are numbers since 1970. */
  public enum TimeUnit {
    /** Seconds. */
    S("seconds", 1),
    /** Milliseconds. */
    MS("milliseconds", 1_000),
    /** Microseconds. */
    US("microseconds", 1_000_000),
    /** Nanoseconds. */
    NS("nanoseconds", 1_000_000_000);

    private final String label;
    private final long perSecond;

    TimeUnit(String label, long perSecond) {
      this.label = label;
      this.perSecond = perSecond;
    }

    @Override
    public String toString() {
      return label;
    }

    /** How many make a second. */
    long perSecond() {
      return perSecond;
    }
  }

  /** What to do with repeated rows. */
  public enum Repeats {
    /** Keep all. */
    KEEP,
    /** Keep one of those with the same user, item and time. */
    DISTINCT,
    /** Keep a user's first interaction with an item. */
    FIRST,
    /** Keep a user's last interaction with an item. */
    LAST
  }

  /**
   * Which interactions are kept, in the order in which it is decided.
   *
   * @param minRating least rating, or null
   * @param repeats what to do with repeated rows
   * @param maxLength most interactions of a user, the newest; 0 for any number
   * @param core least interactions of each user and each item, to a fixed point
   * @param minLength least interactions of each user
   * @param strict whether the first faulty row is refused instead of left out
   */
  public record Rules(
      Double minRating, Repeats repeats, int maxLength, int core, int minLength, boolean strict) {
    /** Nothing is left out but what cannot be used and exact repeats. */
    public static final Rules NONE = new Rules(null, Repeats.DISTINCT, 0, 1, 1, false);

    /** These with another least length. */
    public Rules withMinLength(int length) {
      return new Rules(minRating, repeats, maxLength, core, length, strict);
    }
  }

  /**
   * What the work may use.
   *
   * @param temp a folder for what does not fit into memory
   * @param memory limit of the database, as {@code 1500MB}; the heap comes on top
   */
  public record Room(Path temp, String memory) {
    /** The system's folder, and 1500 MB. */
    public static Room standard() {
      return new Room(Path.of(System.getProperty("java.io.tmpdir")), "1500MB");
    }
  }
}
