package dev.rhumb.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.StringLength;
import org.junit.jupiter.api.Test;

class AttributesTest {
  private final Attributes genres =
      Attributes.of(
          List.of(
              List.of("Drama", "Sci-Fi"), List.of(), List.of("Western", "Sci-Fi", "Film-Noir")));

  @Test
  void readsBack() {
    assertEquals(List.of("Drama", "Film-Noir", "Sci-Fi", "Western"), genres.names());
    assertArrayEquals(new int[] {0, 2}, genres.of(1));
    assertArrayEquals(new int[0], genres.of(2));
    assertArrayEquals(new int[] {1, 2, 3}, genres.of(3));
    assertTrue(genres.has(1, 0));
    assertFalse(genres.has(1, 1));
    assertFalse(genres.has(2, 0));
    assertEquals(2, genres.itemsWith(genres.find("Sci-Fi")));
    assertThrows(IndexOutOfBoundsException.class, () -> genres.has(1, 4));
    assertThrows(IndexOutOfBoundsException.class, () -> genres.has(4, 0));
  }

  @Test
  void manyItemsAgainstSets() {
    Random random = new Random(3);
    List<List<String>> items = new ArrayList<>();
    for (int item = 0; item < 3_000; item++) {
      List<String> names = new ArrayList<>();
      for (int n = random.nextInt(5); n > 0; n--) {
        names.add("a" + random.nextInt(300));
      }
      items.add(names);
    }
    Attributes found = Attributes.of(items);
    assertEquals(items.stream().flatMap(List::stream).distinct().sorted().toList(), found.names());
    for (int item = 1; item <= items.size(); item++) {
      assertEquals(List.copyOf(new TreeSet<>(items.get(item - 1))), found.namesOf(item));
    }
    for (int a = 0; a < found.count(); a++) {
      String name = found.names().get(a);
      assertEquals(items.stream().filter(of -> of.contains(name)).count(), found.itemsWith(a));
    }
    assertThrows(IllegalArgumentException.class, () -> Attributes.of(List.of(List.of("a", ""))));
  }

  @Test
  void findsWhateverTheCaseAndOffersTheNearest() {
    assertEquals(2, genres.find("sci-fi"));
    String message =
        assertThrows(IllegalArgumentException.class, () -> genres.find("SciFy")).getMessage();
    assertTrue(message.contains("\"SciFy\""), message);
    assertTrue(message.contains("the nearest are \"Sci-Fi\""), message);
    Attributes none = Attributes.of(List.of(List.of()));
    assertThrows(IllegalArgumentException.class, () -> none.find("Drama"));
  }

  @Test
  void aNameThatOnlyCaseTellsApartMustBeExact() {
    Attributes two = Attributes.of(List.of(List.of("War", "WAR")));
    assertEquals(0, two.find("WAR"));
    assertEquals(1, two.find("War"));
    assertThrows(IllegalArgumentException.class, () -> two.find("war"));
  }

  @Test
  void knownDistances() {
    assertEquals(3, Attributes.distance("kitten", "sitting"));
    assertEquals(3, Attributes.distance("", "abc"));
    assertEquals(2, Attributes.distance("flaw", "lawn"));
  }

  @Property(tries = 100)
  void distanceIsAMetric(
      @ForAll @StringLength(max = 8) String a,
      @ForAll @StringLength(max = 8) String b,
      @ForAll @StringLength(max = 8) String c) {
    int ab = Attributes.distance(a, b);
    assertEquals(ab, Attributes.distance(b, a));
    assertEquals(a.equals(b), ab == 0);
    assertTrue(ab <= Attributes.distance(a, c) + Attributes.distance(c, b));
  }
}
