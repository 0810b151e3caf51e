package dev.rhumb.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.data.Split;
import dev.rhumb.data.Splits;
import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TrainerTest {
  private static final int USERS = 60;
  private static final int ITEMS = 30;

  @TempDir Path folder;
  private Dataset dataset;
  private Split split;
  private long live;

  /** Users who mostly walk the ring of items: the next item is the last plus one. */
  @BeforeEach
  void ring() {
    live = Buffer.live();
    DatasetBuilder builder = new DatasetBuilder();
    for (int u = 0; u < USERS; u++) {
      int at = u;
      for (int i = 0; i < 8 + u % 5; i++) {
        builder.add("u" + u, Integer.toString(at % ITEMS + 1), i);
        at += Philox.uniform(3, 0, u, i) < 0.9 ? 1 : 7;
      }
    }
    dataset = builder.build("ring");
    split = Splits.leaveOneOut(dataset);
  }

  @AfterEach
  void nothingLeaks() {
    dataset.close();
    assertEquals(live, Buffer.live());
  }

  private static ModelConfig tiny(BlockStyle style) {
    return ModelConfig.of(style, ITEMS, 16, 1, 2, 10, 0.1f);
  }

  private static TrainingConfig config(int epochs) {
    return new TrainingConfig(4, 16, 5e-3f, 0, 0, epochs, 50);
  }

  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void learnsTheRing(BlockStyle style) {
    try (Kernels kernels = Kernels.open()) {
      TrainingResult result =
          Trainer.train(
              kernels, split, tiny(style), config(40), folder, false, new TrainingListener() {});
      assertTrue(result.best().validationHitRate() > 0.8, result.best().toString());
      try (ModelFolder opened = ModelFolder.open(kernels, folder)) {
        assertEquals(dataset.fingerprint(), opened.description().fingerprint());
        assertEquals(tiny(style), opened.model().config());
      }
    }
  }

  @Test
  void aResumedRunGivesTheSameBitsForAnyNumberOfThreads() throws Exception {
    Path whole = folder.resolve("whole");
    Path parts = folder.resolve("parts");
    try (Kernels one = Kernels.open(Backend.SIMD, 1);
        Kernels three = Kernels.open(Backend.SIMD, 3)) {
      Trainer.train(
          one, split, tiny(BlockStyle.SASREC), config(5), whole, false, new TrainingListener() {});
      Trainer.train(
          three,
          split,
          tiny(BlockStyle.SASREC),
          config(2),
          parts,
          false,
          new TrainingListener() {});
      RuntimeException stop = new RuntimeException("killed");
      RuntimeException met =
          assertThrows(
              RuntimeException.class,
              () ->
                  Trainer.train(
                      three,
                      split,
                      tiny(BlockStyle.SASREC),
                      config(5),
                      parts,
                      true,
                      new TrainingListener() {
                        @Override
                        public void onStep(int epoch, int step, int steps, float loss) {
                          if (epoch == 4 && step == 2) {
                            throw stop;
                          }
                        }
                      }));
      assertEquals(stop, met);
      Trainer.train(
          three, split, tiny(BlockStyle.SASREC), config(5), parts, true, new TrainingListener() {});
    }
    assertArrayEquals(
        Files.readAllBytes(ModelFolder.weights(whole)),
        Files.readAllBytes(ModelFolder.weights(parts)));
  }

  @Test
  void aRunThatDivergesNamesStepAndTensorAndKeepsTheCheckpoint() throws Exception {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1)) {
      Trainer.train(
          kernels,
          split,
          tiny(BlockStyle.SASREC),
          config(1),
          folder,
          false,
          new TrainingListener() {});
      byte[] before = Files.readAllBytes(ModelFolder.weights(folder));
      Path wild = folder.resolve("wild");
      TrainingConfig absurd = new TrainingConfig(4, 16, 1e30f, 0, 0, 5, 50);
      TrainingDivergedException refusal =
          assertThrows(
              TrainingDivergedException.class,
              () ->
                  Trainer.train(
                      kernels,
                      split,
                      tiny(BlockStyle.SASREC),
                      absurd,
                      wild,
                      false,
                      new TrainingListener() {}));
      assertTrue(refusal.getMessage().contains("step 2"), refusal.getMessage());
      assertTrue(refusal.getMessage().contains("learning rate"), refusal.getMessage());
      assertArrayEquals(before, Files.readAllBytes(ModelFolder.weights(folder)));
    }
  }

  @Test
  void aFolderThatHoldsARunIsNotOverwritten() {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1)) {
      Trainer.train(
          kernels,
          split,
          tiny(BlockStyle.SASREC),
          config(1),
          folder,
          false,
          new TrainingListener() {});
      IllegalArgumentException refusal =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  Trainer.train(
                      kernels,
                      split,
                      tiny(BlockStyle.SASREC),
                      config(1),
                      folder,
                      false,
                      new TrainingListener() {}));
      assertTrue(refusal.getMessage().contains("resume"), refusal.getMessage());
      TrainingConfig other = new TrainingConfig(5, 16, 5e-3f, 0, 0, 2, 50);
      refusal =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  Trainer.train(
                      kernels,
                      split,
                      tiny(BlockStyle.SASREC),
                      other,
                      folder,
                      true,
                      new TrainingListener() {}));
      assertTrue(refusal.getMessage().contains("other settings"), refusal.getMessage());
    }
  }
}
