package dev.rhumb.compatibility;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.Splits;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.serve.Recommendations;
import dev.rhumb.serve.Recommender;
import dev.rhumb.serve.Session;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingListener;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Folders that earlier builds wrote are read today, and mean what they meant. Each folder of {@code
 * src/test/resources/formats} holds a dataset, a model with an autoencoder, and {@code
 * expected.json}: what the build that wrote them gave. They are only ever added, never changed.
 */
class FormatsTest {
  private static final double TOLERANCE = 1e-4;

  static List<Path> folders() throws IOException {
    Path formats = PublicApiTest.root().resolve("engine/core/src/test/resources/formats");
    try (Stream<Path> folders = Files.list(formats)) {
      return folders.sorted().toList();
    }
  }

  @ParameterizedTest
  @MethodSource("folders")
  void theDatasetIsTheSame(Path folder) {
    JsonObject expected = Json.readObject(folder.resolve("expected.json"));
    try (Dataset dataset = Dataset.load(folder.resolve("dataset"))) {
      assertEquals(expected.string("dataset"), dataset.fingerprint());
      assertEquals(expected.integer("users", 0, 1 << 20), dataset.users());
      assertEquals(expected.integer("items", 0, 1 << 20), dataset.items());
      assertEquals(expected.integer("interactions", 0, 1 << 20), dataset.interactions());
    }
  }

  @ParameterizedTest
  @MethodSource("folders")
  void theModelRecommendsTheSame(Path folder) {
    JsonObject expected = Json.readObject(folder.resolve("expected.json"));
    Path model = folder.resolve("model");
    Site site = Site.parse(expected.string("site"));
    recommendsTheSame(expected, Recommender.open(model, site, Backend.SCALAR));
    recommendsTheSame(expected, Recommender.open(model));
  }

  /** Closes the recommender. */
  private static void recommendsTheSame(JsonObject expected, Recommender opened) {
    try (Recommender recommender = opened;
        Session session = recommender.newSession()) {
      expected.strings("history").forEach(session::append);
      same(expected.objects("recommended"), session.recommend(5));
      String concept = expected.string("concept");
      double strength = expected.number("strength");
      same(
          expected.objects("steered"),
          session.recommend(5, recommender.concepts().steer(concept, strength)));
    }
  }

  private static void same(List<JsonObject> expected, Recommendations list) {
    assertEquals(expected.size(), list.count());
    for (int i = 0; i < list.count(); i++) {
      assertEquals(expected.get(i).string("id"), list.id(i));
      assertEquals(expected.get(i).number("score"), list.score(i), TOLERANCE);
    }
  }

  @TempDir private Path box;

  /** One more epoch gives what it gave the build that began the training. */
  @ParameterizedTest
  @MethodSource("folders")
  void theTrainingGoesOn(Path folder) throws IOException {
    JsonObject expected = Json.readObject(folder.resolve("expected.json")).object("resume");
    Path copy = box.resolve("model");
    try (Stream<Path> files = Files.walk(folder.resolve("model"))) {
      for (Path file : files.toList()) {
        Files.copy(file, copy.resolve(folder.resolve("model").relativize(file).toString()));
      }
    }
    int epochs = expected.integer("epochs", 1, 1000);
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 2);
        Dataset dataset = Dataset.load(folder.resolve("dataset"))) {
      ModelConfig architecture;
      try (ModelFolder opened = ModelFolder.open(kernels, copy)) {
        architecture = opened.model().config();
      }
      List<EpochReport> history =
          Trainer.train(
                  kernels,
                  Splits.leaveOneOut(dataset),
                  architecture,
                  new TrainingConfig(
                      expected.integer("seed", 0, 1000),
                      expected.integer("batch", 1, 1000),
                      (float) expected.number("learning_rate"),
                      0,
                      0,
                      epochs,
                      50),
                  copy,
                  true,
                  new TrainingListener() {})
              .history();
      assertEquals(epochs, history.size());
      assertTrue(history.getFirst().trainSeconds() > 0);
      assertEquals(expected.number("loss"), history.getLast().loss(), TOLERANCE);
      assertEquals(
          expected.number("validation_ndcg_10"), history.getLast().validationNdcg(), TOLERANCE);
    }
  }
}
