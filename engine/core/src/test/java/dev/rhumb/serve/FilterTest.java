package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Lists under a filter against the whole order of the catalogue, filtered afterwards. */
class FilterTest {
  private static final int ITEMS = 2_600;

  @TempDir Path folder;

  @BeforeEach
  void writeModel() {
    // 700 embeddings only: equal scores within a block of allowed items and across blocks.
    RandomFolder.write(
        folder,
        ModelConfig.of(BlockStyle.SASREC, ITEMS, 8, 1, 1, 5, 0),
        700,
        kernels -> new SparseAutoencoder(kernels, Site.LAST, 20, 8, 4, Map.of()));
  }

  @ParameterizedTest
  @CsvSource({"SIMD", "SCALAR"})
  void listsAreThoseOfTheWholeOrderFiltered(Backend backend) {
    Random random = new Random(7);
    Steering steering = Steering.of(List.of(Edit.add(3, 2), Edit.ablate(7)));
    try (Recommender recommender = Recommender.open(folder, Site.LAST, backend);
        Session session = recommender.newSession()) {
      for (int round = 0; round < 40; round++) {
        if (round % 10 == 9) {
          session.clear();
        }
        session.append(1 + random.nextInt(ITEMS));
        int[] listed = items(random, round);
        boolean[] in = new boolean[ITEMS + 1];
        for (int item : listed) {
          in[item] = true;
        }
        boolean steered = random.nextBoolean();
        Recommendations all =
            steered ? session.recommend(ITEMS, steering) : session.recommend(ITEMS);
        int k = round % 8 == 7 ? ITEMS : 1 + random.nextInt(30);
        int[][] expected = {filtered(all, k, i -> in[i]), filtered(all, k, i -> !in[i])};
        Filter[] filters = {Filter.allow(listed), Filter.deny(listed)};
        for (int f = 0; f < 2; f++) {
          Recommendations list =
              steered
                  ? session.recommend(k, steering, filters[f])
                  : session.recommend(k, filters[f]);
          assertEquals(expected[f].length, list.count(), filters[f] + " " + round);
          for (int i = 0; i < list.count(); i++) {
            assertEquals(expected[f][i], list.item(i), filters[f] + " " + round + " " + i);
          }
        }
        Recommendations plain = session.recommend(k, Filter.none());
        int[] items = IntStream.range(0, plain.count()).map(plain::item).toArray();
        assertTrue(
            java.util.Arrays.equals(items, filtered(session.recommend(ITEMS), k, i -> true)));
      }
    }
  }

  /** Few, many and all items, in any order and some twice, among them seen ones. */
  private static int[] items(Random random, int round) {
    int n =
        switch (round % 6) {
          case 0 -> random.nextInt(4);
          case 1 -> 1023 + random.nextInt(3);
          case 2 -> 2047 + random.nextInt(3);
          case 3 -> ITEMS;
          default -> random.nextInt(ITEMS);
        };
    return n == ITEMS
        ? IntStream.rangeClosed(1, ITEMS).toArray()
        : IntStream.concat(random.ints(1, ITEMS + 1).distinct().limit(n), random.ints(n / 9, 1, 2))
            .toArray();
  }

  private static int[] filtered(Recommendations all, int k, IntPredicate passes) {
    return IntStream.range(0, all.count()).map(all::item).filter(passes).limit(k).toArray();
  }

  @Test
  void refusalsNameTheItem() {
    assertTrue(message(() -> Filter.deny(4, 0)).contains("item 0"));
    assertTrue(message(() -> Filter.allow(-3)).contains("item -3"));
    try (Recommender recommender = Recommender.open(folder, Site.LAST, Backend.SCALAR);
        Session session = recommender.newSession()) {
      session.append(1);
      Filter beyond = Filter.deny(1, ITEMS + 1);
      assertTrue(message(() -> session.recommend(5, beyond)).contains("item " + (ITEMS + 1)));
      assertEquals(0, session.recommend(5, Filter.allow()).count());
      assertEquals(0, session.recommend(5, Filter.allow(1)).count(), "it is seen");
    }
  }

  private static String message(org.junit.jupiter.api.function.Executable call) {
    return assertThrows(IllegalArgumentException.class, call).getMessage();
  }
}
