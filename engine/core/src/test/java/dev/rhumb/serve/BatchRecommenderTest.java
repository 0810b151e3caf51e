package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
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
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A batch's lists are those of sessions with the same histories. */
class BatchRecommenderTest {
  private static final int ITEMS = 200;
  private static final int T = 10;

  @TempDir Path folder;

  private void write(BlockStyle style, Site site) {
    RandomFolder.write(
        folder,
        ModelConfig.of(style, ITEMS, 16, 2, 2, T, 0),
        kernels -> new SparseAutoencoder(kernels, site, 50, 16, 6, Map.of()));
  }

  @ParameterizedTest
  @CsvSource({"SASREC,block 0,1", "MODERN,mlp 1,2", "GPT2,last,3"})
  void listsAreThoseOfSessions(BlockStyle style, String where, int threads) {
    Site site = Site.parse(where);
    write(style, site);
    long live = Buffer.live();
    Random random = new Random(11);
    List<Edit> edits = List.of(Edit.add(3, 2), Edit.ablate(7), Edit.scale(11, 3));
    Steering[] steerings = {
      null, Steering.of(edits), Steering.of(edits).at(Steering.Positions.ALL)
    };
    try (Recommender recommender = Recommender.open(folder, site, Backend.SIMD);
        Session session = recommender.newSession();
        BatchRecommender batch = recommender.newBatch(9, threads)) {
      for (int count : new int[] {9, 0, 1, 4}) {
        int[][] histories = new int[count][];
        Filter[] filters = new Filter[count];
        batch.clear();
        for (int i = 0; i < count; i++) {
          histories[i] = random.ints(1 + random.nextInt(T), 1, ITEMS + 1).toArray();
          int[] some = random.ints(1 + random.nextInt(60), 1, ITEMS + 1).toArray();
          filters[i] =
              i % 3 == 0 || count == 1
                  ? Filter.allow(some)
                  : i % 3 == 1 ? Filter.deny(some) : Filter.none();
          batch.add(filters[i], histories[i]);
        }
        assertEquals(count, batch.count());
        for (Steering steering : steerings) {
          List<Recommendations> lists =
              steering == null ? batch.recommend(7) : batch.recommend(7, steering);
          assertEquals(count, lists.size());
          for (int i = 0; i < count; i++) {
            session.clear();
            for (int item : histories[i]) {
              session.append(item);
            }
            Recommendations expected =
                steering == null
                    ? session.recommend(7, filters[i])
                    : session.recommend(7, steering, filters[i]);
            assertSame(expected, lists.get(i), style + " " + count + " " + i + " " + steering);
          }
        }
      }
    }
    assertEquals(live, Buffer.live());
  }

  private static void assertSame(Recommendations expected, Recommendations list, String what) {
    assertEquals(expected.count(), list.count(), what);
    for (int place = 0; place < list.count(); place++) {
      assertEquals(expected.item(place), list.item(place), what);
      assertEquals(expected.score(place), list.score(place), 1e-4, what);
    }
  }

  @Test
  void longHistoriesAreSeenFromTheirEnd() {
    write(BlockStyle.SASREC, Site.LAST);
    try (Recommender recommender = Recommender.open(folder, Site.LAST, Backend.SIMD);
        Session session = recommender.newSession();
        BatchRecommender batch = recommender.newBatch(1, 1)) {
      int[] history = new Random(5).ints(3 * T, 1, ITEMS + 1).toArray();
      batch.add(history);
      for (int i = history.length - T; i < history.length; i++) {
        session.append(history[i]);
      }
      int[] seen = java.util.Arrays.copyOf(history, history.length - T);
      assertSame(session.recommend(20, Filter.deny(seen)), batch.recommend(20).getFirst(), "long");
    }
  }

  @Test
  void refusalsNameTheMendAndAddNothing() {
    write(BlockStyle.SASREC, Site.LAST);
    try (Recommender recommender = Recommender.open(folder, Site.LAST, Backend.SCALAR)) {
      assertTrue(message(() -> recommender.newBatch(0, 1)).contains("batch of 0"));
      assertTrue(message(() -> recommender.newBatch(1, 0)).contains("0 threads"));
      BatchRecommender batch = recommender.newBatch(2, 1);
      batch.add(3, 4);
      assertTrue(message(batch::add).contains("history 1 of the batch is empty"));
      assertTrue(message(() -> batch.add(1, ITEMS + 1)).contains("item " + (ITEMS + 1)));
      Filter beyond = Filter.allow(ITEMS + 1);
      assertTrue(message(() -> batch.add(beyond, 1)).contains("item " + (ITEMS + 1)));
      assertEquals(1, batch.count());
      batch.add(5);
      assertTrue(message(() -> batch.add(6)).contains("clear it first"));
      assertTrue(message(() -> batch.recommend(0)).contains("k = 0"));
      Steering unknown = Steering.of(List.of(Edit.ablate(50)));
      assertTrue(message(() -> batch.recommend(5, unknown)).contains("feature 50"));
      batch.close();
      batch.close();
      assertTrue(message(() -> batch.recommend(5)).contains("the batch is closed"));
    }
  }

  private static String message(org.junit.jupiter.api.function.Executable call) {
    return assertThrows(RuntimeException.class, call).getMessage();
  }
}
