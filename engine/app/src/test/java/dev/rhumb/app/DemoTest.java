package dev.rhumb.app;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.checkpoint.JsonObject;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoTest {
  @TempDir private Path home;

  @Test
  void generatedWorldIsScoredAgainstItsTruth() {
    Cli cli = demo("--generated");
    assertEquals(0, cli.status(), cli.err());
    JsonObject result = cli.json();
    assertTrue(result.flag("generated"));
    assertTrue(result.integer("attributes_found", 0, 8) >= 0);
    assertTrue(Files.exists(home.resolve("report").resolve("index.html")));
    assertTrue(Files.exists(home.resolve("model").resolve("config.json")));
  }

  @Test
  void realMovieLensLatestSmall() {
    Path data = TestFiles.realData("ml-latest-small");
    Cli cli = demo("--data", data);
    assertEquals(0, cli.status(), cli.err());
    JsonObject result = cli.json();
    assertFalse(result.flag("generated"));
    assertTrue(result.string("data").contains("610 users"), result.string("data"));
    assertEquals(610, result.object("ranking").integer("cases", 0, 1000));
    // Its model keeps its data, so that the other commands go on from it.
    Cli evaluated = Cli.run("evaluate", "--json", "-m", home.resolve("model"));
    assertEquals(0, evaluated.status(), evaluated.err());
  }

  private Cli demo(Object... more) {
    Object[] args = new Object[7 + more.length];
    Object[] fixed = {
      "demo", "--quick", "--json", "-m", home.resolve("model"), "--report", home.resolve("report")
    };
    System.arraycopy(fixed, 0, args, 0, fixed.length);
    System.arraycopy(more, 0, args, fixed.length, more.length);
    return Cli.run(args);
  }
}
