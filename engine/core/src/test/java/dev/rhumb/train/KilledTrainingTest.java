package dev.rhumb.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.Child;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.data.Splits;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A training process that is killed at any moment, and goes on, ends with the bits of one that was
 * left alone.
 */
class KilledTrainingTest {
  private static final int EPOCHS = 6;

  @TempDir Path folder;

  /** Trains into a folder, resuming; says a word after each step and each epoch. */
  public static void main(String[] arguments) {
    train(
        Path.of(arguments[0]),
        new TrainingListener() {
          @Override
          public void onStep(int epoch, int step, int steps, float loss) {
            System.out.println("step");
          }

          @Override
          public void onEpoch(EpochReport report) {
            System.out.println("epoch");
          }
        });
    System.out.println("done");
  }

  private static TrainingResult train(Path into, TrainingListener listener) {
    try (Kernels kernels = Kernels.open();
        GeneratedWorld world =
            GeneratedWorld.make(
                new GeneratedWorld.Config(60, 50, 4, 2, 8, 20, .8, .85, .6, .01), 3)) {
      Dataset dataset = world.dataset();
      return Trainer.train(
          kernels,
          Splits.leaveOneOut(dataset),
          ModelConfig.of(BlockStyle.SASREC, dataset.items(), 16, 1, 2, 12, 0.2f),
          new TrainingConfig(7, 16, 3e-3f, 0, 0, EPOCHS, 50),
          into,
          true,
          listener);
    }
  }

  @Test
  void theResumedRunHasTheSameBits() throws Exception {
    Path alone = folder.resolve("alone");
    Path killed = folder.resolve("killed");
    assertEquals(EPOCHS, train(alone, new TrainingListener() {}).history().size());
    // Killed amid its steps, then right at the word that ends an epoch, then left to finish.
    int lines = 3;
    for (boolean done = false; !done; lines = lines * 2 + 1) {
      Process process =
          Child.start(
              folder,
              Child.command(
                  KilledTrainingTest.class,
                  List.of(
                      "-Xmx1g",
                      "--add-modules=jdk.incubator.vector",
                      "--enable-native-access=ALL-UNNAMED"),
                  killed.toString()));
      try (BufferedReader output =
          new BufferedReader(
              new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
        String line;
        for (int n = 0; n < lines && (line = output.readLine()) != null; n++) {
          done |= line.equals("done");
          assertTrue(line.length() < 60 || line.contains("WARNING"), line);
        }
        process.destroyForcibly();
        process.waitFor();
      }
    }
    assertArrayEquals(
        Files.readAllBytes(ModelFolder.weights(alone)),
        Files.readAllBytes(ModelFolder.weights(killed)));
    assertEquals(EPOCHS, train(killed, new TrainingListener() {}).history().size());
  }
}
