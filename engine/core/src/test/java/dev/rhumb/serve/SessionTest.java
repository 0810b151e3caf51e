package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Inference;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Padding;
import dev.rhumb.model.Site;
import dev.rhumb.model.Wiring;
import dev.rhumb.sae.SaeArchitecture;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import dev.rhumb.steer.SteeringEdit;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A session's answers against the same history run whole, with and without steering. */
class SessionTest {
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

  /** A folder with a random model and a random autoencoder at a site. */
  private Path folder(BlockStyle style, Site site) {
    return folder(site, new ModelConfig(style, ITEMS, D, 2, 2, T, 24, 0.1f, 1e-5f));
  }

  private Path folder(Site site, ModelConfig config) {
    return folder(
        site, config, kernels -> new SparseAutoencoder(kernels, site, FEATURES, D, 6, Map.of()));
  }

  private Path folder(
      Site site, ModelConfig config, Function<Kernels, SparseAutoencoder> autoencoder) {
    Path folder = temporary.resolve(config.style() + site.folder());
    RandomFolder.write(folder, config, autoencoder);
    return folder;
  }

  /** Runs histories whole, one after another, and ranks the catalogue without their items. */
  private static final class Whole implements AutoCloseable {
    private final Kernels kernels = Kernels.open();
    private final ModelFolder opened;
    private final SparseAutoencoder sae;
    private final Inference inference;
    private final Batch batch = new Batch(kernels, 1, T);
    private final Buffer offsets = kernels.allocate(DType.I32, 2);
    private final Buffer items = kernels.allocate(DType.I32, 10);
    private final Buffer values = kernels.allocate(DType.F32, 10);

    Whole(Path folder) {
      opened = ModelFolder.open(kernels, folder);
      sae =
          SparseAutoencoder.load(kernels, SparseAutoencoder.folders(folder).getFirst())
              .requireFits(opened.model().config());
      inference = new Inference(kernels, opened.model(), 1, T);
    }

    /** The top 10, and their scores. */
    int[] top(int[] history, int window, Steering steering, float[] scores) {
      batch.clear();
      batch.add(history, history.length - window, window);
      batch.seal();
      if (steering == null) {
        inference.run(batch);
      } else {
        try (SteeringEdit edit = new SteeringEdit(kernels, sae, steering)) {
          inference.runTo(edit.site(), batch);
          edit.apply(batch, inference.state());
          inference.finish();
        }
      }
      try (Buffer seen = kernels.allocate(DType.I32, history.length)) {
        seen.put(0, history, 0, history.length);
        offsets.put(0, new int[] {0, history.length}, 0, 2);
        kernels
            .ranking()
            .topItems(
                1,
                D,
                ITEMS + 1,
                inference.lastHidden(),
                D,
                opened.model().itemTable(),
                10,
                offsets,
                seen,
                items,
                values);
        values.get(0, scores, 0, 10);
        return items.ints();
      }
    }

    @Override
    public void close() {
      for (AutoCloseable each :
          new AutoCloseable[] {items, values, offsets, batch, inference, sae, opened, kernels}) {
        try {
          each.close();
        } catch (Exception e) {
          throw new AssertionError(e);
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "SASREC,block 0",
    "GPT2,block 0",
    "SASREC,mlp 1",
    "GPT2,mlp 0",
    "GPT2,last",
    "SASREC,block 1",
    "POST_LN,block 0",
    "POST_LN,mlp 1",
    "POST_LN,last",
    "MODERN,block 0",
    "MODERN,mlp 0",
    "MODERN,last"
  })
  void everyAnswerAgreesWithTheHistoryRunWhole(BlockStyle style, String where) {
    everyAnswerAgrees(folder(style, Site.parse(where)), T * 3 / 4, style + " " + where);
  }

  /** As models are that were imported: positions from the end, and padding that items attend to. */
  @ParameterizedTest
  @CsvSource({"SASREC,LEFT_ZEROED,block 0", "GPT2,LEFT,mlp 1", "POST_LN,LEFT,last"})
  void modelsWithPaddingAlwaysSeeTheNewestItems(BlockStyle style, Padding padding, String where) {
    Wiring wiring = new Wiring(Activation.RELU, true, false, true, padding);
    ModelConfig config = new ModelConfig(style, ITEMS, D, 2, 2, T, 24, 0.1f, 1e-5f, wiring);
    everyAnswerAgrees(folder(Site.parse(where), config), T, style + " " + padding + " " + where);
  }

  private void everyAnswerAgrees(Path folder, int leastWindow, String what) {
    List<Edit> edits = List.of(Edit.add(3, 2), Edit.ablate(7), Edit.scale(11, 3));
    Steering[] steerings = {
      null,
      Steering.of(edits),
      Steering.of(edits).written(EditTable.Write.REPLACE),
      Steering.of(edits).staged(EditTable.Stage.PRE_SELECT),
      Steering.of(edits).at(Steering.Positions.ALL)
    };
    // The window starts anew twice.
    int[] history = {3, 9, 27, 31, 2, 50, 8, 14, 22, 5, 17, 40, 33, 1, 20, 44, 6};
    float[] scores = new float[10];
    try (Whole whole = new Whole(folder);
        Recommender recommender = Recommender.open(folder);
        Session session = recommender.newSession()) {
      for (int n = 1; n <= history.length; n++) {
        session.append(history[n - 1]);
        assertTrue(session.window() <= T && session.window() >= Math.min(n, leastWindow));
        for (Steering steering : steerings) {
          int[] expected = whole.top(Arrays.copyOf(history, n), session.window(), steering, scores);
          Recommendations answer =
              steering == null ? session.recommend(10) : session.recommend(10, steering);
          assertEquals(10, answer.count());
          for (int i = 0; i < 10; i++) {
            assertEquals(expected[i], answer.item(i), what + " " + n + " " + steering);
            assertEquals(scores[i], answer.score(i), 1e-4);
            assertEquals(Integer.toString(answer.item(i)), answer.id(i));
          }
        }
      }
    }
  }

  /** Long enough a window to be run ahead in several parts, and several windows. */
  @Test
  void aWindowThatWasRunAheadIsThatOfAFreshSession() {
    int t = 44;
    Path folder =
        folder(Site.LAST, new ModelConfig(BlockStyle.SASREC, ITEMS, D, 2, 2, t, 24, 0.1f, 1e-5f));
    int[] history = new java.util.Random(9).ints(3 * t, 1, 30).toArray();
    try (Recommender recommender = Recommender.open(folder);
        Session session = recommender.newSession();
        Session fresh = recommender.newSession()) {
      for (int n = 1; n <= history.length; n++) {
        session.append(history[n - 1]);
        int from = n - session.window();
        assertTrue(n <= t ? from == 0 : session.window() > t * 3 / 4, "" + n);
        if (n > t / 2) {
          fresh.clear();
          for (int i = from; i < n; i++) {
            fresh.append(history[i]);
          }
          Recommendations expected = fresh.recommend(10, Filter.deny(Arrays.copyOf(history, from)));
          float[] scores = scores(expected);
          int[] items = new int[10];
          Arrays.setAll(items, expected::item);
          Recommendations answer = session.recommend(10);
          assertArrayEquals(scores, scores(answer), "" + n);
          for (int i = 0; i < items.length; i++) {
            assertEquals(items[i], answer.item(i), "" + n);
          }
        }
      }
    }
  }

  @Test
  void featuresThatFireByThresholdsAreServedToo() {
    Site site = Site.parse("block 0");
    Path folder =
        folder(
            site,
            new ModelConfig(BlockStyle.GPT2, ITEMS, D, 2, 2, T, 24, 0.1f, 1e-5f),
            kernels ->
                new SparseAutoencoder(kernels, site, FEATURES, D, SaeArchitecture.GATED, Map.of()));
    everyAnswerAgrees(folder, T * 3 / 4, "gated");
    try (Recommender recommender = Recommender.open(folder);
        Session session = recommender.newSession()) {
      session.append(3);
      session.append(9);
      int[] all = new int[FEATURES];
      float[] values = new float[FEATURES];
      int fired = session.features(all, values);
      assertTrue(fired > 5 && fired < FEATURES, "" + fired);
      for (int i = 1; i < fired; i++) {
        assertTrue(values[i] <= values[i - 1] && values[i] > 0);
      }
      int[] strongest = new int[3];
      assertEquals(3, session.features(strongest, new float[3]));
      assertArrayEquals(Arrays.copyOf(all, 3), strongest);
    }
  }

  @Test
  void oneOfSeveralAutoencodersIsOpenedByName() {
    Path folder = folder(BlockStyle.GPT2, Site.parse("block 0"));
    try (Kernels kernels = Kernels.open();
        SparseAutoencoder sae =
            SparseAutoencoder.load(kernels, SparseAutoencoder.folders(folder).getFirst())) {
      sae.save(SparseAutoencoder.folder(folder, sae.site(), "other"));
    }
    try (Recommender several = Recommender.open(folder)) {
      assertEquals(null, several.sae());
      String message = assertThrows(IllegalStateException.class, several::concepts).getMessage();
      assertTrue(message.contains("block-0, block-0@other"), message);
    }
    try (Recommender one = Recommender.open(folder, "block-0@other")) {
      assertEquals(FEATURES, one.sae().features());
    }
    String message =
        assertThrows(IllegalArgumentException.class, () -> Recommender.open(folder, "block-1"))
            .getMessage();
    assertTrue(message.contains("block-0, block-0@other"), message);
  }

  @Test
  void steeringNothingChangesNothing() {
    try (Recommender recommender =
            Recommender.open(folder(BlockStyle.GPT2, Site.parse("block 0")));
        Session session = recommender.newSession()) {
      session.append(4);
      session.append(9);
      float[] plain = scores(session.recommend(20));
      assertArrayEquals(plain, scores(session.recommend(20, Steering.of(List.of()))));
      assertFalse(
          Arrays.equals(
              plain, scores(session.recommend(20, Steering.of(List.of(Edit.add(3, 50)))))));
      assertArrayEquals(plain, scores(session.recommend(20)));
    }
  }

  @Test
  void theWholeCatalogueIsAnsweredWithoutTheHistory() {
    try (Recommender recommender = Recommender.open(folder(BlockStyle.SASREC, Site.LAST));
        Session session = recommender.newSession()) {
      session.append("7");
      session.append("7");
      session.append("8");
      Recommendations answer = session.recommend(ITEMS);
      assertEquals(ITEMS - 2, answer.count());
      Set<Integer> items = new HashSet<>();
      for (int i = 0; i < answer.count(); i++) {
        items.add(answer.item(i));
      }
      assertEquals(ITEMS - 2, items.size());
      assertFalse(items.contains(7) || items.contains(8) || items.contains(0));
      assertThrows(IndexOutOfBoundsException.class, () -> answer.item(ITEMS - 2));
    }
  }

  @Test
  void refusalsNameTheMend() {
    Path folder = folder(BlockStyle.SASREC, Site.LAST);
    Recommender recommender = Recommender.open(folder);
    Session session = recommender.newSession();
    assertTrue(message(() -> session.recommend(5)).contains("append an item first"));
    assertTrue(message(() -> session.append("Nonsense")).contains("Nonsense"));
    assertTrue(message(() -> session.append(0)).contains("1 to " + ITEMS));
    assertTrue(message(() -> session.append(ITEMS + 1)).contains("1 to " + ITEMS));
    session.append(5);
    assertTrue(message(() -> session.recommend(0)).contains("k = 0"));
    assertTrue(message(() -> session.recommend(ITEMS + 1)).contains("k = " + (ITEMS + 1)));
    Steering beyond = Steering.of(List.of(Edit.ablate(FEATURES)));
    assertTrue(message(() -> session.recommend(5, beyond)).contains("feature " + FEATURES));
    assertTrue(message(recommender::concepts).contains("rhumb explain"));
    recommender.close();
    recommender.close();
    assertTrue(message(recommender::newSession).contains("closed"));
    assertEquals(5, session.recommend(5).count(), "a session outlives its recommender");
    session.close();
    session.close();
    assertTrue(message(() -> session.recommend(5)).contains("closed"));
  }

  private static String message(org.junit.jupiter.api.function.Executable call) {
    return assertThrows(RuntimeException.class, call).getMessage();
  }

  private static float[] scores(Recommendations answer) {
    float[] scores = new float[answer.count()];
    for (int i = 0; i < scores.length; i++) {
      scores[i] = answer.score(i);
    }
    return scores;
  }
}
