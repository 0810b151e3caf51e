package dev.rhumb.data;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * Makes a {@link Dataset} from interactions that arrive in any order. A user's items are sorted by
 * time; those of the same time stay in the order in which they arrived. Users and items are
 * numbered by ascending external id: as numbers where all ids of the kind are whole numbers of at
 * most 18 digits without sign or leading zeros, lexicographically otherwise. So the order of rows
 * matters only within one user and one time.
 *
 * <p>Only items with interactions enter the catalogue. What was left out is counted: {@link
 * #counts}. One thread at a time.
 */
public final class DatasetBuilder {
  private static final Pattern WHOLE = Pattern.compile("0|[1-9][0-9]{0,17}");
  private static final int MOST = Integer.MAX_VALUE - 8;

  /**
   * What became of the rows, users and items that were added.
   *
   * @param added interactions added
   * @param kept interactions in the dataset
   * @param repeats interactions removed because the user had the item already
   * @param shortUsers users removed for too few interactions (after removal of repeats)
   * @param shortUserInteractions interactions removed with them
   * @param unusedItems described items that no kept interaction has
   * @param undescribedItems items in the dataset that were never described: without a title
   */
  public record Counts(
      long added,
      long kept,
      long repeats,
      int shortUsers,
      long shortUserInteractions,
      int unusedItems,
      int undescribedItems) {}

  private final Map<String, Integer> users = new HashMap<>();
  private final Map<String, Integer> items = new HashMap<>();
  private final List<String> userKeys = new ArrayList<>();
  private final List<String> itemKeys = new ArrayList<>();
  private final Map<String, Long> userTimes = new HashMap<>();
  private final Map<String, Catalogue.Item> described = new HashMap<>();
  private boolean removeRepeats;
  private boolean keepTimes;
  private int minLength = 1;
  private Counts counts;

  private int rows;
  private int[] rowUser = new int[1024];
  private int[] rowItem = new int[1024];
  private long[] rowTime = new long[1024];

  /** A builder without any interaction. */
  public DatasetBuilder() {}

  /**
   * Adds one interaction.
   *
   * @param time any number that grows with time; only its order matters, unless {@link #keepTimes}
   *     says otherwise
   */
  public DatasetBuilder add(String user, String item, long time) {
    if (rows == rowUser.length) {
      grow();
    }
    rowUser[rows] = number(user, "user", users, userKeys);
    rowItem[rows] = number(item, "item", items, itemKeys);
    rowTime[rows] = time;
    rows++;
    return this;
  }

  /**
   * Describes an item; attributes named twice count once.
   *
   * @throws IllegalArgumentException when the item was described otherwise before
   */
  public DatasetBuilder item(String item, String title, String... attributes) {
    requireKey(item, "item");
    requireText(title, "the title of item " + item);
    TreeSet<String> names = new TreeSet<>(List.of(attributes));
    names.forEach(name -> requireKey(name, "attribute"));
    Catalogue.Item now = new Catalogue.Item(item, title, List.copyOf(names));
    Catalogue.Item before = described.putIfAbsent(item, now);
    if (before != null && !before.equals(now)) {
      throw new IllegalArgumentException(
          "item \"" + item + "\" is described twice and differently: " + before + ", " + now);
    }
    return this;
  }

  /** Sets when the user came, in place of the first interaction's time; larger is newer. */
  public DatasetBuilder userTime(String user, long time) {
    number(user, "user", users, userKeys);
    userTimes.put(user, time);
    return this;
  }

  /** Keeps only the first of a user's interactions with the same item; off unless asked for. */
  public DatasetBuilder removeRepeats(boolean remove) {
    removeRepeats = remove;
    return this;
  }

  /** Leaves out users with fewer interactions than this; 1 unless set. */
  public DatasetBuilder minLength(int interactions) {
    if (interactions < 1) {
      throw new IllegalArgumentException("a least length of " + interactions + " is below 1");
    }
    minLength = interactions;
    return this;
  }

  /**
   * Says that times are seconds since 1970 (UTC), to be kept in the dataset for splits by time;
   * without it only their order matters.
   */
  public DatasetBuilder keepTimes(boolean keep) {
    keepTimes = keep;
    return this;
  }

  /** What the last {@link #build} kept and left out. */
  public Counts counts() {
    if (counts == null) {
      throw new IllegalStateException("counts are known only after build");
    }
    return counts;
  }

  /** Makes the dataset, which the caller closes. The builder stays as it is. */
  public Dataset build(String name) {
    int[][] sequences = new int[userKeys.size()][];
    long[] firstTimes = new long[userKeys.size()];
    int[][] rowsOf = rowsOfUsers();
    BitSet seen = new BitSet();
    BitSet usedItems = new BitSet();
    long repeats = 0;
    long kept = 0;
    int shortUsers = 0;
    long shortUserInteractions = 0;
    for (int user = 0; user < sequences.length; user++) {
      int[] order = byTime(rowsOf[user]);
      seen.clear();
      int n = 0;
      int[] sequence = new int[order.length];
      for (int row : order) {
        if (removeRepeats && seen.get(rowItem[row])) {
          repeats++;
          continue;
        }
        seen.set(rowItem[row]);
        sequence[n++] = row;
      }
      if (n < minLength) {
        shortUsers++;
        shortUserInteractions += n;
        continue;
      }
      sequences[user] = Arrays.copyOf(sequence, n);
      usedItems.or(seen);
      firstTimes[user] = rowTime[order[0]];
      kept += n;
    }

    int[] keptUsers =
        ordered(IntStream.range(0, sequences.length).filter(u -> sequences[u] != null), userKeys);
    int[] keptItems = ordered(usedItems.stream(), itemKeys);
    int[] newItem = new int[itemKeys.size()];
    for (int i = 0; i < keptItems.length; i++) {
      newItem[keptItems[i]] = i + 1;
    }
    List<Catalogue.Item> catalogue = new ArrayList<>(keptItems.length);
    int undescribed = 0;
    for (int item : keptItems) {
      String key = itemKeys.get(item);
      Catalogue.Item entry = described.get(key);
      if (entry == null) {
        undescribed++;
        entry = new Catalogue.Item(key, "", List.of());
      }
      catalogue.add(entry);
    }
    counts =
        new Counts(
            rows,
            kept,
            repeats,
            shortUsers,
            shortUserInteractions,
            described.size() - (keptItems.length - undescribed),
            undescribed);

    long[] times = new long[keptUsers.length];
    List<String> ids = new ArrayList<>(keptUsers.length);
    for (int u = 0; u < keptUsers.length; u++) {
      String key = userKeys.get(keptUsers[u]);
      ids.add(key);
      times[u] = userTimes.getOrDefault(key, firstTimes[keptUsers[u]]);
    }
    return Dataset.of(
        name,
        new Catalogue(catalogue),
        ids,
        times,
        kept,
        keepTimes,
        sorted -> {
          for (int u = 0; u < keptUsers.length; u++) {
            for (int row : sequences[keptUsers[u]]) {
              sorted.add(u, newItem[rowItem[row]], rowTime[row]);
            }
          }
        });
  }

  /** Row numbers of each user, in order of arrival. */
  private int[][] rowsOfUsers() {
    int[] lengths = new int[userKeys.size()];
    for (int row = 0; row < rows; row++) {
      lengths[rowUser[row]]++;
    }
    int[][] rowsOf = new int[lengths.length][];
    Arrays.setAll(rowsOf, user -> new int[lengths[user]]);
    for (int row = rows - 1; row >= 0; row--) {
      rowsOf[rowUser[row]][--lengths[rowUser[row]]] = row;
    }
    return rowsOf;
  }

  private int[] byTime(int[] rowsOfUser) {
    return Arrays.stream(rowsOfUser)
        .boxed()
        .sorted(Comparator.comparingLong(row -> rowTime[row]))
        .mapToInt(Integer::intValue)
        .toArray();
  }

  /** The numbers sorted by their keys, by the order that the class states. */
  private static int[] ordered(IntStream numbers, List<String> keys) {
    List<Integer> list = numbers.boxed().toList();
    Comparator<String> order = order(list.stream().map(keys::get).toList());
    return list.stream()
        .sorted(Comparator.comparing(keys::get, order))
        .mapToInt(Integer::intValue)
        .toArray();
  }

  /** The order by which these external ids, all of users or all of items, are numbered. */
  public static Comparator<String> order(Collection<String> ids) {
    return ids.stream().allMatch(id -> WHOLE.matcher(id).matches())
        ? Comparator.comparingLong(Long::parseLong)
        : Comparator.naturalOrder();
  }

  private static int number(
      String key, String kind, Map<String, Integer> numbers, List<String> keys) {
    Integer known = numbers.get(key);
    if (known != null) {
      return known;
    }
    requireKey(key, kind);
    numbers.put(key, keys.size());
    keys.add(key);
    return keys.size() - 1;
  }

  private static void requireKey(String key, String kind) {
    if (key == null || key.isEmpty()) {
      throw new IllegalArgumentException("each " + kind + " needs a name or id that is not empty");
    }
    requireText(key, kind + " " + key);
  }

  /** Half of a surrogate pair cannot be kept in any file. */
  private static void requireText(String text, String what) {
    if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
      throw new IllegalArgumentException(what + " holds half of a surrogate pair");
    }
  }

  private void grow() {
    if (rows == MOST) {
      throw new IllegalStateException("one builder takes at most " + MOST + " interactions");
    }
    int room = (int) Math.min(MOST, rows * 2L);
    rowUser = Arrays.copyOf(rowUser, room);
    rowItem = Arrays.copyOf(rowItem, room);
    rowTime = Arrays.copyOf(rowTime, room);
  }
}
