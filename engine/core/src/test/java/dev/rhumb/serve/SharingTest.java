package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Many threads over one recommender, and sessions that are closed under a request. */
@Timeout(120)
class SharingTest {
  private static final int ITEMS = 300;
  private static final int T = 9;
  private static final Steering STEERING =
      Steering.of(List.of(Edit.add(3, 2), Edit.ablate(7), Edit.scale(11, 3)));

  @TempDir Path folder;

  @BeforeEach
  void writeModel() {
    Site site = Site.parse("block 0");
    RandomFolder.write(
        folder,
        ModelConfig.of(BlockStyle.GPT2, ITEMS, 16, 2, 2, T, 0),
        kernels -> new SparseAutoencoder(kernels, site, 50, 16, 6, Map.of()));
  }

  /** Items and scores of some hundred requests. */
  private static List<String> answers(Recommender recommender, long seed) {
    Random random = new Random(seed);
    List<String> all = new ArrayList<>();
    Filter deny = Filter.deny(random.ints(20, 1, ITEMS + 1).toArray());
    Filter allow = Filter.allow(random.ints(40, 1, ITEMS + 1).toArray());
    try (Session session = recommender.newSession()) {
      for (int round = 0; round < 60; round++) {
        if (round % 20 == 19) {
          session.clear();
        }
        session.append(1 + random.nextInt(ITEMS));
        all.add(text(session.recommend(5)));
        all.add(text(session.recommend(5, STEERING, deny)));
        all.add(text(session.recommend(5, STEERING, allow)));
      }
    }
    return all;
  }

  private static String text(Recommendations list) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < list.count(); i++) {
      text.append(list.item(i)).append('=').append(list.score(i)).append(' ');
    }
    return text.toString();
  }

  @Test
  void threadsWithASessionEachGetWhatOneThreadGets() throws Exception {
    int threads = 4;
    try (Recommender recommender = Recommender.open(folder);
        ExecutorService pool = Executors.newFixedThreadPool(threads)) {
      List<Future<List<String>>> together = new ArrayList<>();
      for (int i = 0; i < threads; i++) {
        long seed = i;
        together.add(pool.submit(() -> answers(recommender, seed)));
      }
      for (int i = 0; i < threads; i++) {
        assertEquals(answers(recommender, i), together.get(i).get());
      }
    }
  }

  @Test
  void aSessionThatIsClosedUnderARequestEndsWithAnError() throws Exception {
    long live = Buffer.live();
    Random random = new Random(3);
    for (int round = 0; round < 30; round++) {
      Recommender recommender = Recommender.open(folder);
      Session session = recommender.newSession();
      recommender.close();
      CountDownLatch started = new CountDownLatch(1);
      Throwable[] end = {null};
      Thread requests =
          new Thread(
              () -> {
                try {
                  session.append(1);
                  for (int i = 0; ; i++) {
                    started.countDown();
                    session.append(1 + i % (ITEMS / 2)); // So that there is always a list of 5.
                    assertEquals(5, session.recommend(5, STEERING).count());
                  }
                } catch (Throwable e) {
                  end[0] = e;
                }
              });
      requests.start();
      started.await();
      for (int spin = random.nextInt(100_000); spin > 0; spin--) {
        Thread.onSpinWait();
      }
      session.close();
      session.close();
      requests.join();
      assertEquals("java.lang.IllegalStateException: the session is closed", end[0] + "");
    }
    assertEquals(live, Buffer.live());
  }

  @Test
  void aTurnIsOneThreadsAndMemoryIsFreedOnceAtItsEnd() {
    int[] freed = {0};
    Turn turn = new Turn("session", () -> freed[0]++);
    turn.enter();
    String busy = assertThrows(IllegalStateException.class, turn::enter).getMessage();
    assertTrue(busy.contains("another thread's call is under way in this session"), busy);
    turn.exit();
    turn.enter();
    turn.close();
    turn.close();
    assertEquals(0, freed[0], "the call is under way");
    assertThrows(IllegalStateException.class, turn::enter);
    turn.exit();
    assertEquals(1, freed[0]);
    turn.close();
    assertEquals(1, freed[0]);
    String closed = assertThrows(IllegalStateException.class, turn::enter).getMessage();
    assertEquals("the session is closed", closed);
  }
}
