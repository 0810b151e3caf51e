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

  /** Users whose times overlap in all ways; an item tells user and place. */
  private static Dataset timed(int users, int longest, long seed) {
    Random random = new Random(seed);
    DatasetBuilder builder = new DatasetBuilder().keepTimes(true);
    for (int user = 0; user < users; user++) {
      long time = random.nextInt(1000);
      for (int n = 1 + random.nextInt(longest); n > 0; n--) {
        time += random.nextInt(100);
        builder.add("u" + user, user + "/" + n, time);
      }
    }
    return builder.build("timed");
  }

  @Test
  void aCutInTimeLeaksNothing() {
    Random random = new Random(5);
    for (int round = 0; round < 60; round++) {
      try (Dataset d = timed(1 + random.nextInt(40), 1 + random.nextInt(20), random.nextLong())) {
        long validation = random.nextInt(1500);
        long test = validation + 1 + random.nextInt(500);
        Split split;
        try {
          split = Splits.byTime(d, validation, test);
        } catch (IllegalArgumentException e) {
          assertTrue(e.getMessage().contains("cut at other times"), e.getMessage());
          continue;
        }
        Set<Integer> trained = usersOf(split.train());
        for (int user = 0; user < d.users(); user++) {
          assertEquals(d.time(user, 0) < validation, trained.contains(user));
        }
        for (int i = 0; i < split.train().count(); i++) {
          int user = split.train().user(i);
          int n = split.train().length(i);
          assertTrue(d.time(user, n - 1) < validation, "nothing later is learnt from");
          assertTrue(n == d.length(user) || d.time(user, n) >= validation, "and nothing lost");
        }
        checkCases(split.validation(), validation, test, validation);
        checkCases(split.test(), test, Long.MAX_VALUE, test);
        Split named = Splits.named(split.name(), d);
        assertEquals(split.name(), named.name());
        assertEquals(itemsOf(split.train()), itemsOf(named.train()));
      }
    }
  }

  /** Each history ends before {@code known}, each target is the first in {@code from..to}. */
  private static void checkCases(Cases cases, long from, long to, long known) {
    assertTrue(cases.count() > 0);
    Dataset d = cases.histories().dataset();
    int expected = 0;
    for (int user = 0; user < d.users(); user++) {
      int n = 0;
      while (n < d.length(user) && d.time(user, n) < known) {
        n++;
      }
      expected += n > 0 && n < d.length(user) && d.time(user, n) < to ? 1 : 0;
    }
    assertEquals(expected, usersOf(cases.histories()).size());
    for (int i = 0; i < cases.count(); i++) {
      int user = cases.histories().user(i);
      int n = cases.histories().length(i);
      assertTrue(d.time(user, n - 1) < known && d.time(user, n) >= from && d.time(user, n) < to);
    }
  }

  @Test
  void sharesOfTheInteractionsBecomeInstants() {
    DatasetBuilder builder = new DatasetBuilder().keepTimes(true);
    for (int t = 0; t < 100; t++) {
      builder.add("u" + t % 10, "i" + t, 1000 + t);
    }
    try (Dataset d = builder.build("x")) {
      assertEquals(1080, Splits.instantOf(d, .8));
      assertEquals(1000, Splits.instantOf(d, 0));
      assertEquals(1100, Splits.instantOf(d, 1));
      Split split = Splits.named("time", d);
      assertEquals("time:validation=1970-01-01T00:18:00Z,test=1970-01-01T00:18:10Z", split.name());
      assertEquals(80, split.train().total());
      assertEquals(10, split.validation().count());
      assertEquals(10, split.test().count());
      assertEquals(
          split.name(), Splits.named("time:validation=0.8,test=1970-01-01T00:18:10Z", d).name());
      assertThrows(IllegalArgumentException.class, () -> Splits.named("time:test=0.8", d));
      assertThrows(
          IllegalArgumentException.class,
          () -> Splits.named("time:validation=2015-01-01,test=2016-01-01", d));
    }
  }

  @Test
  void aCutInTimeNeedsTimes() {
    try (Dataset d = dataset(50, 9, 3)) {
      String message =
          assertThrows(IllegalArgumentException.class, () -> Splits.named("time", d)).getMessage();
      assertTrue(message.contains("random keeps no times"), message);
    }
  }

  @Test
  void randomUsersAreApartAndDrawn() {
    try (Dataset d = dataset(300, 6, 4)) {
      Split split = Splits.randomUsers(d, .2, .5, 1);
      Set<Integer> train = usersOf(split.train());
      Set<Integer> sae = usersOf(split.sae());
      Set<Integer> test = usersOf(split.test().histories());
      assertEquals(120, train.size());
      assertEquals(120, sae.size());
      assertTrue(test.stream().noneMatch(u -> train.contains(u) || sae.contains(u)));
      assertNotEquals(test, usersOf(Splits.randomUsers(d, .2, .5, 2).test().histories()));
      assertNotEquals(test, usersOf(Splits.coldUsers(d, .2, .5, 1).test().histories()));
      double meanAge = test.stream().mapToLong(d::userTime).average().orElseThrow();
      assertTrue(meanAge > 7 && meanAge < 12, "the test is no matter of age: " + meanAge);
    }
  }

  @Test
  void settingsOfANameAreReadBack() {
    try (Dataset d = dataset(100, 6, 4)) {
      Split split = Splits.named("cold-users:seed=7,test=0.25", d);
      assertEquals("cold-users:test=0.25,seed=7", split.name());
      assertEquals(
          usersOf(Splits.coldUsers(d, .25, .6, 7).train()),
          usersOf(Splits.named(split.name(), d).train()));
      assertEquals("random-users", Splits.named("random-users:test=0.1", d).name());
      assertTrue(Splits.isByUser(split.name()) && !Splits.isByUser("leave-one-out"));
      for (String wrong :
          new String[] {
            "cold-users:",
            "cold-users:test",
            "cold-users:test=2",
            "cold-users:test=x",
            "cold-users:teste=0.1",
            "cold-users:seed=0.1",
            "cold-users:seed=1,seed=1",
            "leave-one-out:test=0.1",
            "time:test=tomorrow",
            ":",
            ""
          }) {
        String message =
            assertThrows(IllegalArgumentException.class, () -> Splits.named(wrong, d), wrong)
                .getMessage();
        assertTrue(message.contains("'" + wrong + "'") || message.contains("no times"), message);
      }
    }
  }

  @Test
  void aNameSaysHowToDivide() {
    try (Dataset d = dataset(200, 6, 8)) {
      for (String name : Splits.NAMES.subList(0, 3)) {
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
