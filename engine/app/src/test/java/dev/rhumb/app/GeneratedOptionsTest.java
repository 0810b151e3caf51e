package dev.rhumb.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.Truth;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GeneratedOptionsTest {
  @TempDir private Path folder;

  @Test
  void aWorldIsWrittenWithItsTruth() {
    Path out = folder.resolve("toy");
    Cli cli =
        Cli.run(
            "prepare",
            "--generated",
            "toy",
            "--seed",
            3,
            "--set",
            "users=50",
            "--set",
            "drift=.2",
            "--out",
            out,
            "--json");
    assertEquals(0, cli.status(), cli.err());
    assertEquals(50, cli.json().integer("users", 0, 99));
    assertEquals(12, cli.json().integer("interests", 0, 99));
    try (Dataset dataset = Dataset.load(out);
        Truth truth = Truth.load(out, dataset)) {
      assertEquals("toy", dataset.name());
      assertEquals(cli.json().string("fingerprint"), dataset.fingerprint());
      assertEquals(3, truth.seed());
      assertEquals(.2, truth.config().drift());
    }
    assertEquals(0, Cli.run("prepare", "--generated", "toy", "--out", out).status());
    try (Dataset dataset = Dataset.load(out)) {
      assertEquals(300, dataset.users());
    }
  }

  @Test
  void wrongWorldsAreWrongUsage() {
    for (String[] wrong :
        new String[][] {
          {"--generated", "tiny", "there are [toy, demo"},
          {"--generated", "toy", "--set", "size=3", "no setting \"size\"; there are [users"},
          {"--generated", "toy", "--set", "drift=2", "drift = 2.0"},
          {"--seed", "3", "give --generated too"}
        }) {
      Object[] arguments = new Object[wrong.length];
      arguments[0] = "prepare";
      System.arraycopy(wrong, 0, arguments, 1, wrong.length - 1);
      Cli cli = Cli.run(arguments);
      assertEquals(2, cli.status(), cli.err());
      assertTrue(cli.err().contains(wrong[wrong.length - 1]), cli.err());
    }
  }
}
