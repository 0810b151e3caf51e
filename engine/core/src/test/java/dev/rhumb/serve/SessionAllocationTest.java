package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** After a warm-up, requests allocate nothing on the heap. */
class SessionAllocationTest {
  private static final int ITEMS = 500;
  private static final int T = 24;
  private static final int ROUNDS = 1_000;

  @TempDir Path temporary;

  @ParameterizedTest
  @CsvSource({"SASREC,500,64,300,block 0", "MODERN,500,20,300,mlp 1", "SASREC,9000,64,9000,last"})
  void requestsAllocateNothing(BlockStyle style, int items, int width, int features, String where) {
    assumeTrue(
        ManagementFactory.getThreadMXBean() instanceof com.sun.management.ThreadMXBean bean
            && bean.isThreadAllocatedMemorySupported()
            && bean.isThreadAllocatedMemoryEnabled(),
        "this JVM does not count what a thread allocates");
    Site site = Site.parse(where);
    Path folder = temporary.resolve("model");
    RandomFolder.write(
        folder,
        ModelConfig.of(style, items, width, 2, 2, T, 0),
        kernels -> new SparseAutoencoder(kernels, site, features, width, 16, Map.of()));
    List<Edit> edits = List.of(Edit.add(3, 2), Edit.ablate(7), Edit.scale(11, 3));
    Steering steering = Steering.of(edits);
    try (Recommender recommender = Recommender.open(folder, site, Backend.SIMD);
        Session session = recommender.newSession()) {
      session.warmUp(10, steering);
      long[] bytes = requests(session, steering);
      // A machine that is busy elsewhere may leave the compiler behind for long.
      for (int more = 0; more < 3 && Arrays.stream(bytes).sum() > 0; more++) {
        session.clear();
        session.warmUp(10, steering);
        bytes = requests(session, steering);
      }
      assertEquals(
          "append 0, plain 0, steered 0, features 0, deny 0, allow 0",
          "append %d, plain %d, steered %d, features %d, deny %d, allow %d"
              .formatted(Arrays.stream(bytes).boxed().toArray()));
    }
  }

  /** The bytes that each kind of request allocates over some rounds. */
  private static long[] requests(Session session, Steering steering) {
    int[] features = new int[16];
    float[] values = new float[16];
    Filter deny = Filter.deny(5, 6, 7);
    Filter allow = Filter.allow(5, 6, 7, 100, 200);
    // What grows with the largest request so far.
    session.append(1);
    session.recommend(10, steering, allow);
    long[] bytes = new long[6];
    for (int round = 0; round < ROUNDS; round++) {
      if (session.length() == 2 * T) {
        session.clear();
      }
      long at0 = WarmUp.allocated();
      session.append(1 + round % ITEMS);
      long at1 = WarmUp.allocated();
      session.recommend(10);
      long at2 = WarmUp.allocated();
      session.recommend(10, steering);
      long at3 = WarmUp.allocated();
      session.features(features, values);
      long at4 = WarmUp.allocated();
      session.recommend(10, deny);
      long at5 = WarmUp.allocated();
      session.recommend(10, steering, allow);
      long at6 = WarmUp.allocated();
      bytes[0] += at1 - at0;
      bytes[1] += at2 - at1;
      bytes[2] += at3 - at2;
      bytes[3] += at4 - at3;
      bytes[4] += at5 - at4;
      bytes[5] += at6 - at5;
    }
    return bytes;
  }

  /** It does not stop while rounds make garbage, and stops soon after. */
  @Test
  void aWarmUpGoesOnWhileRoundsAllocate() {
    long start = System.nanoTime();
    long[] clean = {0};
    Object[] kept = {null};
    WarmUp.run(
        () -> {
          boolean early = System.nanoTime() - start < 1_000_000_000L;
          kept[0] = early ? new byte[64] : kept[0];
          clean[0] += early ? 0 : 1;
        },
        1_000);
    assertTrue(clean[0] > 0 && System.nanoTime() - start < 10_000_000_000L);
  }
}
