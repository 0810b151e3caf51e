package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.EditTable;
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
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Requests that are run from a recording, against a session with the same history. */
class PreparedRequestTest {
  private static final int ITEMS = 50;
  private static final int T = 12;
  private static final int D = 16;
  private static final int FEATURES = 40;

  @TempDir Path temporary;
  private long live;

  @BeforeEach
  void countBuffers() {
    live = Buffer.live();
  }

  @AfterEach
  void nothingLeaks() {
    assertEquals(live, Buffer.live());
  }

  private Path folder(ModelConfig config, Site site) {
    Path folder = temporary.resolve("model");
    RandomFolder.write(
        folder, config, kernels -> new SparseAutoencoder(kernels, site, FEATURES, D, 6, Map.of()));
    return folder;
  }

  private static ModelConfig config(BlockStyle style) {
    return new ModelConfig(style, ITEMS, D, 2, 2, T, 24, 0.1f, 1e-5f);
  }

  private static void assertSame(Recommendations expected, Recommendations actual) {
    assertEquals(expected.count(), actual.count());
    for (int i = 0; i < expected.count(); i++) {
      assertEquals(expected.item(i), actual.item(i));
      assertEquals(expected.score(i), actual.score(i), 1e-4f * (1 + Math.abs(expected.score(i))));
    }
  }

  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void agreesWithASessionForEveryLengthAndSteering(BlockStyle style) {
    Path folder = folder(config(style), new Site(Site.Kind.BLOCK, 0));
    List<Steering> steerings = new ArrayList<>();
    steerings.add(null);
    steerings.add(Steering.of(List.of()));
    steerings.add(Steering.of(List.of(Edit.add(3, 2))));
    // More than there is room for at first.
    List<Edit> many = new ArrayList<>();
    for (int f = 0; f < 20; f++) {
      many.add(Edit.set(2 * f, 0.5f));
    }
    steerings.add(Steering.of(many));
    for (EditTable.Stage stage : EditTable.Stage.values()) {
      for (EditTable.Write write : EditTable.Write.values()) {
        steerings.add(
            new Steering(
                List.of(Edit.add(5, 1), Edit.scale(7, 3)), stage, write, Steering.Positions.LAST));
      }
    }
    try (Recommender recommender = Recommender.open(folder);
        PreparedRequest request = recommender.prepare(7)) {
      for (int length : new int[] {1, 5, T, 2, T + 1, 31}) {
        int[] history = new int[40];
        try (Session session = recommender.newSession()) {
          for (int i = 0; i < length; i++) {
            history[i] = 1 + (i * 7 + length) % ITEMS;
          }
          // A session's window is that of this request only while it is not full.
          int first = Math.max(0, length - T);
          for (int i = first; i < length; i++) {
            session.append(history[i]);
          }
          Filter others = first == 0 ? Filter.none() : Filter.deny(prefix(history, first));
          for (Steering steering : steerings) {
            Recommendations expected =
                steering == null
                    ? session.recommend(7, others)
                    : session.recommend(7, steering, others);
            Recommendations actual =
                steering == null
                    ? request.recommend(history, length)
                    : request.recommend(history, length, steering);
            assertSame(expected, actual);
          }
        }
      }
    }
  }

  @Test
  void filtersAreThoseOfASession() {
    Path folder = folder(config(BlockStyle.SASREC), new Site(Site.Kind.BLOCK, 0));
    int[] most = IntStream.rangeClosed(1, ITEMS).filter(i -> i % 9 != 0).toArray();
    Filter[] filters = {
      Filter.none(),
      Filter.deny(4, 9, 9, 50),
      Filter.deny(most),
      Filter.allow(most),
      Filter.allow(3, 2, 1, 11),
      Filter.allow(3),
      Filter.allow(),
      Filter.deny()
    };
    Steering steering = Steering.of(List.of(Edit.add(3, 2), Edit.scale(7, 3)));
    int[] history = {3, 17, 9, 3};
    try (Recommender recommender = Recommender.open(folder);
        Session session = recommender.newSession();
        PreparedRequest request = recommender.prepare(7)) {
      for (int item : history) {
        session.append(item);
      }
      for (Filter filter : filters) {
        assertSame(session.recommend(7, filter), request.recommend(history, 4, filter));
        assertSame(
            session.recommend(7, steering, filter),
            request.recommend(history, 4, steering, filter));
      }
      assertEquals(0, request.recommend(history, 4, Filter.allow(3)).count());
      String message =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> request.recommend(history, 4, Filter.deny(ITEMS + 1)))
              .getMessage();
      assertTrue(message.contains("filter: item 51"), message);
    }
  }

  private static int[] prefix(int[] history, int n) {
    return java.util.Arrays.stream(history, 0, n).distinct().sorted().toArray();
  }

  @Test
  void refusesWhatItCannotAnswer() {
    Path folder = folder(config(BlockStyle.SASREC), new Site(Site.Kind.BLOCK, 0));
    try (Recommender recommender = Recommender.open(folder)) {
      Steering everywhere = Steering.of(List.of()).at(Steering.Positions.ALL);
      try (PreparedRequest request = recommender.prepare(3)) {
        String message =
            assertThrows(
                    IllegalArgumentException.class,
                    () -> request.recommend(new int[] {1}, 1, everywhere))
                .getMessage();
        assertTrue(message.contains("use a session"), message);
      }
      assertThrows(IllegalArgumentException.class, () -> recommender.prepare(0));
      assertThrows(IllegalArgumentException.class, () -> recommender.prepare(ITEMS + 1));
      PreparedRequest request = recommender.prepare(3);
      int[] history = {1, 2, ITEMS + 1};
      assertThrows(IllegalArgumentException.class, () -> request.recommend(history, 0));
      assertThrows(IllegalArgumentException.class, () -> request.recommend(history, 4));
      String message =
          assertThrows(IllegalArgumentException.class, () -> request.recommend(history, 3))
              .getMessage();
      assertTrue(message.contains("item 51"), message);
      Steering missing = Steering.of(List.of(Edit.ablate(FEATURES)));
      assertThrows(IllegalArgumentException.class, () -> request.recommend(history, 2, missing));
      assertEquals(3, request.recommend(history, 2).count());
      request.close();
      request.close();
      assertThrows(IllegalStateException.class, () -> request.recommend(history, 2));
    }
  }
}
