package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
import java.util.function.Supplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A compressed catalogue, and one whose weights stay in the file, are served to the bit. */
class CompressedCatalogueTest {
  private static final String SETTING = "rhumb.catalogue.compressed";

  /** Enough for both the catalogue and the autoencoder to be compressed of themselves. */
  private static final int ITEMS = 2_500;

  private static final int FEATURES = 4_200;
  private static final Steering STEERING =
      Steering.of(List.of(Edit.add(3, 2), Edit.ablate(7), Edit.scale(11, 3)));

  @TempDir Path temporary;
  private Path folder;

  @BeforeEach
  void write() {
    folder = temporary.resolve("model");
    RandomFolder.write(
        folder,
        ModelConfig.of(BlockStyle.SASREC, ITEMS, 64, 1, 1, 16, 0),
        kernels -> new SparseAutoencoder(kernels, Site.LAST, FEATURES, 64, 16, Map.of()));
  }

  private static <T> T with(String value, Supplier<T> action) {
    String before = System.getProperty(SETTING);
    System.setProperty(SETTING, value);
    try {
      return action.get();
    } finally {
      if (before == null) {
        System.clearProperty(SETTING);
      } else {
        System.setProperty(SETTING, before);
      }
    }
  }

  /** Items and scores of some requests. */
  private static List<String> answers(Recommender recommender) {
    List<String> answers = new ArrayList<>();
    Random random = new Random(5);
    try (recommender;
        Session session = recommender.newSession();
        BatchRecommender batch = recommender.newBatch(5, 1)) {
      for (int step = 0; step < 20; step++) {
        session.append(1 + random.nextInt(ITEMS));
        int k = step % 5 == 4 ? ITEMS : 10;
        add(answers, session.recommend(k));
        add(answers, session.recommend(10, STEERING));
        add(answers, session.recommend(10, Filter.deny(1, 2, 3)));
      }
      for (int histories = 1; histories <= 5; histories++) {
        batch.clear();
        for (int i = 0; i < histories; i++) {
          batch.add(
              i % 2 == 0 ? Filter.none() : Filter.deny(1, 2, 3), 1 + random.nextInt(ITEMS), 7);
        }
        batch.recommend(10).forEach(list -> add(answers, list));
        batch.recommend(10, STEERING).forEach(list -> add(answers, list));
      }
    }
    return answers;
  }

  private static void add(List<String> answers, Recommendations list) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < list.count(); i++) {
      text.append(list.item(i)).append(' ').append(list.score(i)).append(' ');
    }
    answers.add(text.toString());
  }

  @Test
  void answersAreThoseOfTheTable() {
    List<String> full = answers(with("off", () -> Recommender.open(folder)));
    assertEquals(full, answers(with("auto", () -> Recommender.open(folder))));
    assertEquals(full, answers(with("on", () -> Recommender.open(folder))));
    assertEquals(full, answers(with("on", () -> Recommender.map(folder))));
    assertEquals(full, answers(with("off", () -> Recommender.map(folder))));
    assertEquals(full, answers(with("auto", () -> Recommender.map(folder, Site.LAST.folder()))));
  }

  @Test
  void theSettingChooses() {
    try (Recommender off = with("off", () -> Recommender.open(folder))) {
      assertNull(off.compressed());
    }
    try (Recommender auto = with("auto", () -> Recommender.open(folder))) {
      assertNotNull(auto.compressed());
      assertEquals(ITEMS + 1, auto.compressed().tableRows());
    }
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class, () -> with("maybe", () -> Recommender.open(folder)));
    assertTrue(e.getMessage().contains(SETTING + "=maybe"), e.getMessage());
  }
}
