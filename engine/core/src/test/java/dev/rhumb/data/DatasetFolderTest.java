package dev.rhumb.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.FormatException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.CharRange;
import net.jqwik.api.constraints.NotEmpty;
import net.jqwik.api.constraints.Size;
import net.jqwik.api.constraints.StringLength;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class DatasetFolderTest {
  private static final List<String> FILES =
      List.of("dataset.json", "sequences.safetensors", "items.tsv", "users.tsv");

  @TempDir Path folder;

  @BeforeEach
  void save() {
    try (Dataset d = small()) {
      d.save(folder);
    }
  }

  private static Dataset small() {
    return new DatasetBuilder()
        .add("ann", "x", 10)
        .add("ann", "y\\", 20)
        .add("bob\t2", "x", 5)
        .add("bob\t2", "z", -6)
        .add("bob\t2", "y\\", 7)
        .item("x", "tab\there, newline\nhere, return\r, back\\slash, bar|, \\t", "a|b", "c\\")
        .item("y\\", "", "plain")
        .item("z", "Élan 日本 🎬")
        .build("small \"one\"");
  }

  private static void requireSame(Dataset a, Dataset b) {
    assertEquals(a.name(), b.name());
    assertEquals(a.fingerprint(), b.fingerprint());
    assertEquals(a.toString(), b.toString());
    for (int user = 0; user < a.users(); user++) {
      assertEquals(a.userId(user), b.userId(user));
      assertEquals(a.userTime(user), b.userTime(user));
      assertArrayEquals(DatasetBuilderTest.sequence(a, user), DatasetBuilderTest.sequence(b, user));
    }
    assertEquals(a.attributes().names(), b.attributes().names());
    for (int item = 1; item <= a.items(); item++) {
      assertEquals(a.itemId(item), b.itemId(item));
      assertEquals(a.title(item), b.title(item));
      assertEquals(item, b.itemOf(b.itemId(item)));
      assertArrayEquals(a.attributes().of(item), b.attributes().of(item));
    }
  }

  @Test
  void roundTrip() {
    try (Dataset a = small();
        Dataset b = Dataset.load(folder)) {
      requireSame(a, b);
      assertTrue(b.attributes().has(b.itemOf("x"), b.attributes().find("a|b")));
    }
  }

  @Test
  void timesComeBackAndAreNotOfTheFingerprint(@TempDir Path other) throws IOException {
    DatasetBuilder builder =
        new DatasetBuilder()
            .add("a", "x", 1_000_000_000)
            .add("a", "y", 1_000_000_000)
            .add("a", "x", 4_000_000_000L)
            .add("b", "y", 17);
    try (Dataset plain = builder.build("x");
        Dataset timed = builder.keepTimes(true).build("x")) {
      assertEquals(plain.fingerprint(), timed.fingerprint());
      assertThrows(IllegalStateException.class, () -> plain.time(0, 0));
      timed.save(other);
      try (Dataset back = Dataset.load(other)) {
        requireSame(timed, back);
        assertTrue(back.hasTimes());
        assertEquals(4_000_000_000L, back.time(0, 2));
        assertEquals(17, back.time(1, 0));
        assertThrows(IndexOutOfBoundsException.class, () -> back.time(1, 1));
      }
      Path file = other.resolve("sequences.safetensors");
      byte[] whole = Files.readAllBytes(file);
      for (int i = 0; i < whole.length; i++) {
        byte[] changed = whole.clone();
        changed[i] ^= 1;
        Files.write(file, changed);
        assertThrows(FormatException.class, () -> Dataset.load(other).close());
      }
      Files.write(file, whole);
      // Data prepared before times were kept, and with a program that keeps them.
      plain.save(other);
      try (Dataset back = Dataset.load(other)) {
        assertTrue(!back.hasTimes());
      }
    }
  }

  @Test
  void rowsOutOfOrderAreRefused() {
    Catalogue items =
        new Catalogue(
            List.of(
                new Catalogue.Item("x", "", List.of()), new Catalogue.Item("y", "", List.of())));
    int[][][] wrong = {
      {{0, 1, 5}, {1, 1, 5}, {0, 2, 6}},
      {{0, 1, 5}, {0, 2, 4}, {1, 1, 1}},
      {{0, 0, 1}, {0, 1, 1}, {1, 1, 1}},
      {{0, 3, 1}, {0, 1, 1}, {1, 1, 1}},
      {{0, 1, 1}, {1, 1, 1}},
      {{0, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
      {{0, 1, 1}, {0, 1, 1}, {0, 1, 1}},
      {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
      {{0, 1, 1}, {1, 1, 1}, {2, 1, 1}},
    };
    for (int[][] rows : wrong) {
      assertThrows(
          IllegalArgumentException.class,
          () ->
              Dataset.of(
                  "x",
                  items,
                  List.of("a", "b"),
                  new long[2],
                  3,
                  true,
                  sorted -> {
                    for (int[] row : rows) {
                      sorted.add(row[0], row[1], row[2]);
                    }
                  }));
    }
  }

  @Test
  void savingTwiceGivesTheSameBytes() throws IOException {
    for (String file : FILES) {
      byte[] before = Files.readAllBytes(folder.resolve(file));
      save();
      assertArrayEquals(before, Files.readAllBytes(folder.resolve(file)));
    }
    try (var files = Files.list(folder)) {
      assertEquals(FILES.size(), files.count());
    }
  }

  @Test
  void nobodyAndOneUserWithOneItem(@TempDir Path other) {
    for (DatasetBuilder builder :
        List.of(new DatasetBuilder(), new DatasetBuilder().add("u", "i", Long.MIN_VALUE))) {
      try (Dataset a = builder.build("")) {
        a.save(other.resolve("deep/er"));
        try (Dataset b = Dataset.load(other.resolve("deep/er"))) {
          requireSame(a, b);
        }
      }
    }
  }

  @Property(tries = 30)
  void anyTextComesBack(
      @ForAll @Size(max = 5)
          List<@NotEmpty @StringLength(max = 6) @CharRange(from = 0, to = 130) String> texts)
      throws IOException {
    DatasetBuilder builder = new DatasetBuilder().add("u", "i", 0);
    String[] names = texts.toArray(String[]::new);
    builder.item("i", String.join("|", names), names);
    texts.forEach(text -> builder.add(text, text, 1));
    Path other = Files.createTempDirectory("rhumb-dataset");
    try (Dataset a = builder.build("x")) {
      a.save(other);
      try (Dataset b = Dataset.load(other)) {
        requireSame(a, b);
      }
    } finally {
      for (String file : FILES) {
        Files.deleteIfExists(other.resolve(file));
      }
      Files.delete(other);
    }
  }

  private FormatException refused(String file) {
    FormatException e = assertThrows(FormatException.class, () -> Dataset.load(folder).close());
    assertTrue(e.file().contains(file), e.getMessage());
    return e;
  }

  @ParameterizedTest
  @ValueSource(strings = {"dataset.json", "sequences.safetensors", "items.tsv", "users.tsv"})
  void everyTruncationIsRefused(String name) throws IOException {
    Path file = folder.resolve(name);
    byte[] whole = Files.readAllBytes(file);
    // A missing last newline alone leaves the JSON whole.
    int shortest = name.equals("dataset.json") ? whole.length - 1 : whole.length;
    for (int n = 0; n < shortest; n++) {
      Files.write(file, Arrays.copyOf(whole, n));
      FormatException e = refused(name);
      if (name.endsWith(".tsv")) {
        assertTrue(e.where().matches("line \\d+"), e.getMessage());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"sequences.safetensors", "items.tsv", "users.tsv"})
  void everyChangedByteIsRefused(String name) throws IOException {
    Path file = folder.resolve(name);
    byte[] whole = Files.readAllBytes(file);
    for (int i = 0; i < whole.length; i++) {
      byte[] changed = whole.clone();
      changed[i] ^= 1;
      Files.write(file, changed);
      refused(name);
    }
  }

  /** What a save leaves that was killed before it came to a file. */
  @Test
  void aFolderBetweenTwoDatasetsIsRefused() throws IOException {
    for (String late : FILES) {
      save();
      byte[] old = Files.readAllBytes(folder.resolve(late));
      DatasetBuilder builder = new DatasetBuilder();
      // The same counts, so that only the content tells the two apart.
      for (int t = 0; t < 5; t++) {
        builder.add("user " + t % 2, "item " + t % 3, t);
      }
      try (Dataset other = builder.build("other")) {
        other.save(folder);
      }
      Dataset.load(folder).close();
      Files.write(folder.resolve(late), old);
      assertThrows(FormatException.class, () -> Dataset.load(folder).close());
    }
  }

  @Test
  void everyMissingFileIsNamed() throws IOException {
    for (String name : FILES) {
      save();
      Files.delete(folder.resolve(name));
      UncheckedIOException e = assertThrows(UncheckedIOException.class, () -> Dataset.load(folder));
      assertTrue(e.getMessage().contains(name), e.getMessage());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "rhumb-dataset; other-dataset; format",
        "\"version\": 1; \"version\": 2; version",
        "\"version\": 1; \"version\": \"1\"; version",
        "\"users\": 2; \"users\": -1; users",
        "\"users\": 2; \"users\": 2.5; users",
        "\"interactions\": 5; \"interactions\": 9223372036854775807; interactions",
        "\"users\": 2; \"extra\": 1, \"users\": 2; extra",
        "\"name\"; \"nome\"; nome",
        "\"fingerprint\": \"; \"fingerprint\": \"0; fingerprint",
      })
  void aChangedHeadIsRefusedByKey(String from, String to, String key) throws IOException {
    edit("dataset.json", from, to);
    assertEquals(key, refused("dataset.json").where());
  }

  @ParameterizedTest
  @CsvSource({
    "users, 1, users.tsv",
    "users, 3, users.tsv",
    "items, 2, items.tsv",
    "items, 4, items.tsv",
    "interactions, 4, sequences",
    "interactions, 600000000000000, sequences"
  })
  void aWrongCountIsRefused(String key, String count, String file) throws IOException {
    Path head = folder.resolve("dataset.json");
    Files.writeString(
        head,
        Files.readString(head).replaceFirst("\"" + key + "\": \\d+", "\"" + key + "\": " + count));
    refused(file);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "items.tsv; external_id; extern_id; line 1",
        "items.tsv; 2\ty; 3\ty; line 3",
        "items.tsv; 2\ty; +2\ty; line 3",
        "items.tsv; 3\tz; 3\tx; line 4",
        "items.tsv; 3\tz; 3\t; line 4",
        "items.tsv; 2\ty; 2y; line 3",
        "items.tsv; plain; plain|; line 3",
        "items.tsv; Élan; \\q; line 4",
        "items.tsv; plain; plain\\; line 3",
        "users.tsv; 0\tann; 0; line 2",
        "users.tsv; bob\\t2; ann; line 3",
        "users.tsv; \t10; \t1e1; line 2",
        "users.tsv; \t10; \t99999999999999999999; line 2",
        "users.tsv; bob\\t2; bob\\t3; content",
        "users.tsv; \t10; \t11; content",
        "items.tsv; Élan; Elan; content",
      })
  void aBadLineIsNamed(String file, String from, String to, String where) throws IOException {
    edit(file, from, to == null ? "" : to);
    assertEquals(where, refused(file).where());
  }

  @Test
  void aCarriageReturnAndBadUtf8AreNamed() throws IOException {
    edit("items.tsv", "plain\n", "plain\r\n");
    assertEquals("line 3", refused("items.tsv").where());
    save();
    byte[] bytes = Files.readAllBytes(folder.resolve("users.tsv"));
    bytes[bytes.length - 5] = (byte) 0xFF;
    Files.write(folder.resolve("users.tsv"), bytes);
    assertEquals("line 3", refused("users.tsv").where());
    save();
    Files.writeString(folder.resolve("users.tsv"), "u".repeat(Tsv.MOST + 2));
    assertEquals("line 1", refused("users.tsv").where());
  }

  @Test
  void swappedUsersAreRefused() throws IOException {
    Path file = folder.resolve("users.tsv");
    List<String> lines = Files.readAllLines(file);
    Files.writeString(
        file,
        List.of(lines.get(0), lines.get(2), lines.get(1)).stream()
            .collect(Collectors.joining("\n", "", "\n")));
    assertEquals("line 2", refused("users.tsv").where());
  }

  @Test
  void aCatalogueStandsAlone() {
    Catalogue items = Catalogue.load(folder.resolve("items.tsv"));
    items.save(folder.resolve("copy.tsv"));
    Catalogue copy = Catalogue.load(folder.resolve("copy.tsv"));
    assertEquals(3, copy.items());
    assertEquals("y\\", copy.title(2));
    assertEquals(3, copy.itemOf("z"));
    assertEquals("Élan 日本 🎬", copy.title(3));
  }

  @Test
  void aTableThatIsTooLargeForTheHeapIsRefusedUnread() throws IOException {
    try (RandomAccessFile file = new RandomAccessFile(folder.resolve("users.tsv").toFile(), "rw")) {
      file.setLength(Runtime.getRuntime().maxMemory() + 1); // Sparse: it takes no room.
    }
    String message = assertThrows(OutOfMemoryError.class, () -> Dataset.load(folder)).getMessage();
    assertTrue(message.contains("users.tsv takes some"), message);
    assertTrue(message.contains("-Xmx"), message);
  }

  @Test
  void linesOfAnyLengthComeBack() {
    Random random = new Random(2);
    List<Catalogue.Item> items = new ArrayList<>();
    for (int i = 0; i < 2_000; i++) {
      int length = random.nextInt(i % 500 == 0 ? 200_000 : 200);
      items.add(new Catalogue.Item("i" + i, "\u00E9\t|".repeat(length / 3), List.of("a|" + i % 7)));
    }
    Path file = folder.resolve("items.tsv");
    new Catalogue(items).save(file);
    Catalogue back = Catalogue.load(file);
    assertEquals(items.size(), back.items());
    for (int item = 1; item <= items.size(); item++) {
      assertEquals(items.get(item - 1).title(), back.givenTitle(item));
      assertEquals(items.get(item - 1).attributes(), back.attributes().namesOf(item));
    }
  }

  private void edit(String file, String from, String to) throws IOException {
    Path path = folder.resolve(file);
    String text = Files.readString(path);
    assertTrue(text.contains(from), text);
    int at = text.indexOf(from);
    Files.writeString(path, text.substring(0, at) + to + text.substring(at + from.length()));
  }
}
