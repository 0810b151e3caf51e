package dev.rhumb.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class DatasetBuilderTest {
  private record Row(String user, String item, long time) {}

  static int[] sequence(Dataset d, int user) {
    int[] all = new int[d.length(user)];
    d.copy(user, 0, all.length, all, 0);
    return all;
  }

  @Property(tries = 60)
  void theOrderOfRowsDoesNotMatter(
      @ForAll @IntRange(min = 0, max = 300) int rows, @ForAll boolean words, @ForAll long seed) {
    Random random = new Random(seed);
    List<Row> log = new ArrayList<>();
    for (int i = 0; i < rows; i++) {
      String item = (words ? "i" : "") + random.nextInt(40);
      log.add(new Row((words ? "u" : "") + random.nextInt(12), item, i * 3L - 100));
    }
    String expected = null;
    for (int shuffle = 0; shuffle < 3; shuffle++) {
      DatasetBuilder builder = new DatasetBuilder().removeRepeats(true).minLength(2);
      List<Integer> items = new ArrayList<>(IntStream.range(0, 40).boxed().toList());
      Collections.shuffle(items, random);
      for (int i : items) {
        builder.item((words ? "i" : "") + i, "title " + i, "a" + i % 3, "b" + i % 2);
      }
      log.forEach(row -> builder.add(row.user(), row.item(), row.time()));
      try (Dataset d = builder.build("x")) {
        if (expected == null) {
          expected = d.fingerprint();
        }
        assertEquals(expected, d.fingerprint());
        assertEquals(rows, builder.counts().added());
        assertEquals(
            rows,
            builder.counts().kept()
                + builder.counts().repeats()
                + builder.counts().shortUserInteractions());
        assertEquals(d.interactions(), builder.counts().kept());
      }
      Collections.shuffle(log, random);
    }
  }

  @Test
  void usersAndItemsAreNumberedByIdAndSortedByTime() {
    DatasetBuilder builder =
        new DatasetBuilder()
            .add("10", "30", 5)
            .add("9", "100", 7)
            .add("10", "4", 1)
            .add("10", "100", 5)
            .add("9", "4", -2)
            .item("4", "Four", "odd", "even", "odd")
            .item("30", "")
            .item("77", "nobody's");
    try (Dataset d = builder.build("small")) {
      assertEquals("small: 2 users, 3 items, 5 interactions", d.toString());
      assertEquals(List.of("9", "10"), List.of(d.userId(0), d.userId(1)));
      assertEquals(List.of("4", "30", "100"), List.of(d.itemId(1), d.itemId(2), d.itemId(3)));
      assertArrayEquals(new int[] {1, 3}, sequence(d, 0));
      // 30 and 100 came at the same time: as they arrived.
      assertArrayEquals(new int[] {1, 2, 3}, sequence(d, 1));
      assertEquals(-2, d.userTime(0));
      assertEquals(1, d.userTime(1));
      assertEquals("Four", d.title(1));
      assertEquals("30", d.title(2));
      assertEquals("100", d.title(3));
      assertEquals(2, d.itemOf("30"));
      assertEquals(0, d.itemOf("77"));
      assertEquals(List.of("even", "odd"), d.attributes().names());
      assertArrayEquals(new int[] {0, 1}, d.attributes().of(1));
      assertEquals(new DatasetBuilder.Counts(5, 5, 0, 0, 0, 1, 1), builder.counts());
    }
  }

  @Test
  void oneIdThatIsNoNumberMakesTheOrderLexicographic() {
    DatasetBuilder builder = new DatasetBuilder();
    for (String item : List.of("9", "10", "x", "010", "1234567890123456789")) {
      builder.add("u", item, 0);
    }
    try (Dataset d = builder.build("x")) {
      assertEquals(
          List.of("010", "10", "1234567890123456789", "9", "x"),
          List.of(d.itemId(1), d.itemId(2), d.itemId(3), d.itemId(4), d.itemId(5)));
    }
  }

  @Test
  void whatIsLeftOutIsCounted() {
    DatasetBuilder builder =
        new DatasetBuilder()
            .removeRepeats(true)
            .minLength(2)
            .add("a", "x", 1)
            .add("a", "y", 2)
            .add("a", "x", 3)
            .add("b", "z", 1)
            .add("b", "z", 2)
            .userTime("nobody", 3)
            .userTime("a", 99)
            .item("z", "only b had it");
    try (Dataset d = builder.build("x")) {
      assertEquals(1, d.users());
      assertEquals(2, d.items());
      assertEquals(99, d.userTime(0));
      assertArrayEquals(new int[] {1, 2}, sequence(d, 0));
    }
    assertEquals(new DatasetBuilder.Counts(5, 2, 2, 2, 1, 1, 2), builder.counts());
  }

  @Test
  void nobodyAndOneUserWithOneItem() {
    try (Dataset d = new DatasetBuilder().build("empty")) {
      assertEquals(0, d.users());
      assertEquals(0, d.items());
      assertEquals(0, d.interactions());
      assertEquals(0, d.attributes().count());
    }
    try (Dataset d = new DatasetBuilder().add("u", "i", 0).build("one")) {
      assertEquals(1, d.item(0, 0));
      assertEquals(1, d.interactions());
      assertThrows(IndexOutOfBoundsException.class, () -> d.item(0, 1));
      assertThrows(IndexOutOfBoundsException.class, () -> d.itemId(0));
      assertThrows(IndexOutOfBoundsException.class, () -> d.title(2));
      assertThrows(IndexOutOfBoundsException.class, () -> d.attributes().of(0));
      assertThrows(IndexOutOfBoundsException.class, () -> d.copy(0, 0, 2, new int[2], 0));
      assertThrows(IndexOutOfBoundsException.class, () -> d.length(1));
    }
  }

  @Test
  void theFingerprintSeesEveryPart() {
    String base = fingerprint("u", "i", 1, "t", "a");
    assertEquals(base, fingerprint("u", "i", 1, "t", "a"));
    assertNotEquals(base, fingerprint("v", "i", 1, "t", "a"));
    assertNotEquals(base, fingerprint("u", "j", 1, "t", "a"));
    assertNotEquals(base, fingerprint("u", "i", 2, "t", "a"));
    assertNotEquals(base, fingerprint("u", "i", 1, "s", "a"));
    assertNotEquals(base, fingerprint("u", "i", 1, "t", "b"));
    try (Dataset one = new DatasetBuilder().add("u", "i", 0).add("u", "j", 1).build("x");
        Dataset two = new DatasetBuilder().add("u", "j", 0).add("u", "i", 1).build("x")) {
      assertNotEquals(one.fingerprint(), two.fingerprint());
    }
  }

  private static String fingerprint(String user, String item, long time, String title, String of) {
    try (Dataset d = new DatasetBuilder().add(user, item, time).item(item, title, of).build("x")) {
      return d.fingerprint();
    }
  }

  @Test
  void refusals() {
    DatasetBuilder builder = new DatasetBuilder().item("i", "one");
    assertThrows(IllegalStateException.class, builder::counts);
    assertThrows(IllegalArgumentException.class, () -> builder.item("i", "two"));
    assertThrows(IllegalArgumentException.class, () -> builder.item("j", "x", ""));
    assertThrows(IllegalArgumentException.class, () -> builder.add("", "i", 0));
    assertThrows(IllegalArgumentException.class, () -> builder.add("u", null, 0));
    assertThrows(IllegalArgumentException.class, () -> builder.minLength(0));
  }

  @Test
  void closingTwiceIsHarmlessAndReadingAfterwardsIsRefused() {
    Dataset d = new DatasetBuilder().add("u", "i", 0).build("x");
    d.close();
    d.close();
    assertThrows(IllegalStateException.class, () -> d.item(0, 0));
  }
}
