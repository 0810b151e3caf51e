package dev.rhumb.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class SplitsTest {
  /** Each interaction has an item of its own, so that an item tells where it came from. */
  private static Dataset dataset(int users, int longest, long seed) {
    Random random = new Random(seed);
    DatasetBuilder builder = new DatasetBuilder();
    int item = 1;
    for (int user = 0; user < users; user++) {
      int length = 1 + random.nextInt(longest);
      builder.userTime(Integer.toString(user), random.nextInt(20));
      for (int t = 0; t < length; t++) {
        builder.add(Integer.toString(user), Integer.toString(item++), t);
      }
    }
    return builder.build("random");
  }

  private static Set<Integer> itemsOf(Sequences sequences) {
    Set<Integer> items = new HashSet<>();
    for (int i = 0; i < sequences.count(); i++) {
      for (int t = 0; t < sequences.length(i); t++) {
        items.add(sequences.item(i, t));
      }
    }
    return items;
  }

  private static Set<Integer> usersOf(Sequences sequences) {
    Set<Integer> users = new HashSet<>();
    for (int i = 0; i < sequences.count(); i++) {
      assertTrue(users.add(sequences.user(i)), "a user is in a part once");
    }
    return users;
  }

  @Property(tries = 50)
  void leaveOneOutLeaksNothing(
      @ForAll @IntRange(min = 0, max = 40) int users,
      @ForAll @IntRange(min = 1, max = 9) int longest,
      @ForAll long seed) {
    try (Dataset d = dataset(users, longest, seed)) {
      Split split = Splits.leaveOneOut(d);
      Set<Integer> trained = itemsOf(split.train());
      Set<Integer> validated = itemsOf(split.validation().histories());
      assertEquals(trained, itemsOf(split.sae()));
      int test = 0;
      for (int user = 0; user < users; user++) {
        int length = d.length(user);
        assertEquals(length < 3 ? length : length - 2, split.train().length(user));
        assertEquals(user, split.train().user(user));
        if (length >= 3) {
          assertEquals(d.item(user, length - 1), split.test().target(test));
          assertEquals(length - 1, split.test().histories().length(test));
          assertEquals(d.item(user, length - 2), split.validation().target(test));
          assertEquals(length - 2, split.validation().histories().length(test));
          assertEquals(
              split.validation().target(test), split.test().histories().item(test, length - 2));
          assertTrue(!trained.contains(split.test().target(test)));
          assertTrue(!trained.contains(split.validation().target(test)));
          assertTrue(!validated.contains(split.test().target(test)));
          test++;
        }
      }
      assertEquals(test, split.test().count());
      assertEquals(test, split.validation().count());
    }
  }

  @Property(tries = 50)
  void coldUsersAreApart(
      @ForAll @IntRange(min = 0, max = 60) int users,
      @ForAll @DoubleRange(min = 0, max = 1) double testShare,
      @ForAll @DoubleRange(min = 0, max = 1) double trainShare,
      @ForAll long seed) {
    try (Dataset d = dataset(users, 5, seed)) {
      Split split = Splits.coldUsers(d, testShare, trainShare, seed);
      Set<Integer> train = usersOf(split.train());
      Set<Integer> sae = usersOf(split.sae());
      Set<Integer> test = usersOf(split.test().histories());
      assertEquals(Math.round(testShare * users), users - train.size() - sae.size());
      assertEquals(Math.round(trainShare * (train.size() + sae.size())), train.size());
      assertTrue(train.stream().noneMatch(sae::contains));
      assertTrue(test.stream().noneMatch(u -> sae.contains(u) || train.contains(u)));
      assertTrue(sae.containsAll(usersOf(split.validation().histories())));
      long newestKnown =
          IntStream.range(0, users)
              .filter(u -> train.contains(u) || sae.contains(u))
              .mapToLong(d::userTime)
              .max()
              .orElse(Long.MIN_VALUE);
      assertTrue(test.stream().allMatch(u -> d.userTime(u) >= newestKnown));
      for (Cases cases : new Cases[] {split.test(), split.validation()}) {
        for (int i = 0; i < cases.count(); i++) {
          int user = cases.histories().user(i);
          assertEquals(d.item(user, d.length(user) - 1), cases.target(i));
          assertEquals(d.length(user) - 1, cases.histories().length(i));
        }
      }
      for (int i = 0; i < split.train().count(); i++) {
        assertEquals(d.length(split.train().user(i)), split.train().length(i));
      }
    }
  }

  @Test
  void coldUsersDependOnTheSeedAlone() {
    try (Dataset d = dataset(200, 5, 1)) {
      Set<Integer> first = usersOf(Splits.coldUsers(d, .1, .6, 7).train());
      assertEquals(first, usersOf(Splits.coldUsers(d, .1, .6, 7).train()));
      assertNotEquals(first, usersOf(Splits.coldUsers(d, .1, .6, 8).train()));
      assertEquals(108, first.size());
    }
  }

  @Test
  void sharesOutsideOneAreRefused() {
    try (Dataset d = dataset(3, 5, 1)) {
      for (double odd : new double[] {-.1, 1.1, Double.NaN}) {
        assertThrows(IllegalArgumentException.class, () -> Splits.coldUsers(d, odd, .5, 1));
        assertThrows(IllegalArgumentException.class, () -> Splits.coldUsers(d, .5, odd, 1));
      }
    }
  }

  @Test
  void copiesTheNewestInOrder() {
    try (Dataset d =
        new DatasetBuilder()
            .add("u", "1", 1)
            .add("u", "2", 2)
            .add("u", "3", 3)
            .add("v", "9", 1)
            .build("x")) {
      Sequences all = Sequences.all(d);
      int[] target = {-1, -1, -1, -1};
      assertEquals(2, all.copyLast(0, 2, target, 1));
      assertArrayEquals(new int[] {-1, 2, 3, -1}, target);
      assertEquals(3, all.copyLast(0, 10, target, 0));
      assertArrayEquals(new int[] {1, 2, 3, -1}, target);
      assertEquals(0, all.copyLast(0, 0, target, 0));
      assertEquals(4, all.total());
      Sequences chosen = all.select(1, 0);
      assertEquals(1, chosen.user(0));
      assertEquals(4, chosen.item(0, 0));
      Split split = Splits.leaveOneOut(d);
      assertThrows(IndexOutOfBoundsException.class, () -> split.train().item(0, 1));
      assertThrows(
          IndexOutOfBoundsException.class, () -> split.train().copy(0, 0, 2, new int[2], 0));
      assertThrows(IllegalArgumentException.class, () -> new Cases(all));
      assertEquals(3, split.test().select(0).target(0));
    }
  }

  @Test
  void aNameSaysHowToDivide() {
    try (Dataset d = dataset(200, 6, 8)) {
      for (String name : Splits.NAMES) {
        assertEquals(name, Splits.named(name, d).name());
      }
      Split named = Splits.named("cold-users", d);
      assertEquals(
          usersOf(Splits.coldUsers(d, .1, .6, 1).train()),
          usersOf(named.train()),
          "models on disk name only the split");
      assertEquals(108, named.train().count());
      String message =
          assertThrows(IllegalArgumentException.class, () -> Splits.named("halves", d))
              .getMessage();
      assertTrue(message.contains("halves") && message.contains("cold-users"), message);
    }
  }
}
