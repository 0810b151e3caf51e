package dev.rhumb.jfr;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Child;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SaeConfig;
import dev.rhumb.sae.SaeListener;
import dev.rhumb.sae.SaeTrainer;
import dev.rhumb.serve.Recommender;
import dev.rhumb.serve.Session;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import dev.rhumb.train.Trainer;
import dev.rhumb.train.TrainingConfig;
import dev.rhumb.train.TrainingListener;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a flight recording holds of the engine, and that the engine runs where there is none. */
class EventsTest {
  @TempDir Path folder;

  /** Prints the best item of a history, by a model folder: what runs in a JVM without jdk.jfr. */
  public static void main(String[] arguments) {
    try (Recommender recommender = Recommender.open(Path.of(arguments[0]));
        Session session = recommender.newSession()) {
      session.append("3");
      System.out.println("best " + session.recommend(1).id(0));
      System.out.println("jdk.jfr " + ModuleLayer.boot().findModule("jdk.jfr").isPresent());
    }
  }

  private static Path model() throws Exception {
    URI config = EventsTest.class.getResource("/formats/1/model/config.json").toURI();
    return Path.of(config).getParent();
  }

  private List<RecordedEvent> recorded(Recording recording, String name) throws IOException {
    Path file = folder.resolve("engine.jfr");
    recording.dump(file);
    return RecordingFile.readAllEvents(file).stream()
        .filter(event -> event.getEventType().getName().equals(name))
        .toList();
  }

  @Test
  void aRequestIsAnEvent() throws Exception {
    try (Recording recording = new Recording();
        Recommender recommender = Recommender.open(model());
        Session session = recommender.newSession()) {
      recording.start();
      session.append("3");
      session.append("17");
      session.recommend(5);
      List<Edit> edits = List.of(Edit.add(0, 1), Edit.add(1, 1), Edit.add(2, 1));
      session.recommend(7, Steering.of(edits));
      session.append("40");
      session.recommend(4, Steering.of(edits).at(Steering.Positions.ALL));
      recording.stop();
      List<RecordedEvent> events = recorded(recording, "rhumb.Request");
      assertEquals(
          List.of("2 items, 5 false 0", "2 items, 7 true 3", "3 items, 4 true 3"),
          events.stream()
              .map(
                  e ->
                      e.getInt("items")
                          + " items, "
                          + e.getInt("k")
                          + " "
                          + e.getBoolean("steered")
                          + " "
                          + e.getInt("edits"))
              .toList());
      assertTrue(events.stream().allMatch(e -> e.getDuration().toNanos() > 0), events.toString());
    }
  }

  @Test
  void aStepOfTrainingIsAnEvent() throws Exception {
    Path trained = folder.resolve("model");
    Site site = Site.parse("block 0");
    try (Recording recording = new Recording();
        Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        GeneratedWorld world =
            GeneratedWorld.make(
                new GeneratedWorld.Config(60, 50, 4, 2, 8, 20, .8, .85, .6, .01), 3)) {
      Split split = Splits.leaveOneOut(world.dataset());
      recording.start();
      Trainer.train(
          kernels,
          split,
          ModelConfig.of(BlockStyle.SASREC, world.dataset().items(), 16, 1, 2, 12, 0.2f),
          new TrainingConfig(7, 16, 3e-3f, 0, 0, 1, 50),
          trained,
          false,
          new TrainingListener() {});
      try (ModelFolder model = ModelFolder.open(kernels, trained)) {
        SaeConfig config = SaeConfig.of(site, 16, 32, 4).withBatch(64).withSteps(5);
        SaeTrainer.train(kernels, model.model(), split.sae(), config, SaeListener.NONE)
            .sae()
            .close();
      }
      recording.stop();
      List<RecordedEvent> steps = recorded(recording, "rhumb.TrainingStep");
      assertEquals(4, steps.size());
      for (int i = 0; i < 4; i++) {
        RecordedEvent step = steps.get(i);
        assertEquals(i + 1, step.getLong("step"));
        assertEquals("full cross-entropy", step.getString("loss"));
        int rows = step.getInt("rows"); // Up to 16 users, 12 positions each.
        assertTrue(rows >= 12 && rows <= 16 * 12, rows + " rows");
        assertTrue(step.getDuration().toNanos() > 0);
      }
      steps = recorded(recording, "rhumb.SaeStep");
      assertEquals(5, steps.size());
      for (int i = 0; i < 5; i++) {
        RecordedEvent step = steps.get(i);
        assertEquals(i + 1, step.getLong("step"));
        assertEquals(64, step.getInt("rows"));
        assertEquals("topk", step.getString("variant"));
        assertTrue(step.getDuration().toNanos() > 0);
      }
    }
  }

  @Test
  void nothingBeginsWhileNobodyRecordsIt() {
    assertNull(Events.beginRequest());
    try (Recording recording = new Recording()) {
      for (String event : List.of("Request", "TrainingStep", "SaeStep")) {
        recording.disable("rhumb." + event);
      }
      recording.start();
      assertNull(Events.beginRequest());
      assertNull(Events.beginTrainingStep());
      assertNull(Events.beginSaeStep());
    }
    assertNull(Events.beginRequest());
  }

  @Test
  void theEngineRunsWhereThereIsNoFlightRecorder() throws Exception {
    List<String> command =
        Child.command(
            EventsTest.class,
            List.of(
                "--limit-modules=java.base,jdk.incubator.vector",
                "--add-modules=jdk.incubator.vector",
                "--enable-native-access=ALL-UNNAMED"),
            model().toString());
    Process process = Child.start(folder, command);
    String output =
        new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
    assertEquals(0, process.waitFor(), output);
    assertTrue(output.contains("best "), output);
    assertTrue(output.endsWith("jdk.jfr false"), output);
  }
}
