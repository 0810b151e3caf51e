package dev.rhumb.app;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.rhumb.kernels.Settings;
import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Files that tests read. */
public final class TestFiles {
  private TestFiles() {}

  /** Writes lines in UTF-8. */
  public static void write(Path file, String... lines) {
    write(file, StandardCharsets.UTF_8, lines);
  }

  /** Writes lines. */
  public static void write(Path file, Charset charset, String... lines) {
    try {
      Files.createDirectories(file.getParent());
      Files.writeString(file, String.join("\n", lines) + "\n", charset);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  /** A real data set under RHUMB_DATA; skips the test, saying so, where it is absent. */
  public static Path realData(String name) {
    String data = Settings.get("rhumb.data");
    assumeTrue(
        data != null, "skipped: RHUMB_DATA is not set; it names the folder that holds " + name);
    Path folder = Path.of(data, name);
    assumeTrue(Files.isDirectory(folder), "skipped: RHUMB_DATA has no folder " + name);
    return folder;
  }
}
