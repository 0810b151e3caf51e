package dev.rhumb.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.FormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TruthTest {
  private static final GeneratedWorld.Config SMALL =
      GeneratedWorld.Config.named("toy").with("users", 40).with("items", 60);

  @TempDir private Path folder;

  @Test
  void isReadBackWhole() {
    try (GeneratedWorld world = GeneratedWorld.make("w", SMALL, -7)) {
      assertFalse(Truth.isIn(folder));
      world.save(folder);
      assertTrue(Truth.isIn(folder));
      try (Dataset dataset = Dataset.load(folder);
          Truth read = Truth.load(folder, dataset)) {
        Truth truth = world.truth();
        assertEquals(world.dataset().fingerprint(), dataset.fingerprint());
        assertEquals(SMALL, read.config());
        assertEquals(-7, read.seed());
        assertEquals(truth.names(), read.names());
        assertEquals(truth.parents(), read.parents());
        for (int item = 1; item <= dataset.items(); item++) {
          assertArrayEquals(truth.of(item), read.of(item));
        }
        for (int user = 0; user < dataset.users(); user++) {
          for (int t = 0; t < dataset.length(user); t++) {
            assertEquals(truth.mood(user, t), read.mood(user, t));
            assertArrayEquals(truth.held(user, t), read.held(user, t));
          }
        }
        int length = dataset.length(0);
        assertThrows(IndexOutOfBoundsException.class, () -> read.mood(0, length));
        assertThrows(IndexOutOfBoundsException.class, () -> read.of(0));
      }
    }
  }

  @Test
  void theTruthOfAnotherWorldIsRefused() {
    try (GeneratedWorld world = GeneratedWorld.make("w", SMALL, 1);
        GeneratedWorld other = GeneratedWorld.make("w", SMALL, 2)) {
      world.save(folder);
      FormatException e =
          assertThrows(FormatException.class, () -> Truth.load(folder, other.dataset()));
      assertEquals("dataset", e.where());
    }
  }

  /** Any damage is told of; none goes unnoticed but in numbers that stay possible. */
  @Test
  void damageIsRefusedByName() throws IOException {
    try (GeneratedWorld world = GeneratedWorld.make("w", SMALL, 1)) {
      world.save(folder);
      Path file = folder.resolve("truth.safetensors");
      byte[] good = Files.readAllBytes(file);
      Random random = new Random(1);
      int refused = 0;
      for (int round = 0; round < 300; round++) {
        byte[] bad = good.clone();
        if (round % 3 == 0) {
          bad = java.util.Arrays.copyOf(good, random.nextInt(good.length));
        } else {
          bad[random.nextInt(round % 3 == 1 ? 1200 : good.length)] ^=
              (byte) (1 << random.nextInt(8));
        }
        Files.write(file, bad);
        try (Truth truth = Truth.load(folder, world.dataset())) {
          assertEquals(12, truth.interests());
        } catch (FormatException e) {
          refused++;
          assertTrue(e.getMessage().contains("truth.safetensors"), e.getMessage());
        }
      }
      assertTrue(refused > 150, "refused " + refused);
      Files.write(file, good);
      Truth.load(folder, world.dataset()).close();
    }
  }
}
