package dev.rhumb.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Makes shared libraries for tests. */
final class Gcc {
  private Gcc() {}

  /** Where the native module is left out, so are the tests that need its library or a compiler. */
  static void needsNative() {
    assumeFalse(Boolean.getBoolean("rhumb.native.skip"), "rhumb.native.skip");
  }

  /** A library of this C source: {@code folder/name.so}. */
  static Path compiled(Path folder, String name, String source)
      throws IOException, InterruptedException {
    needsNative();
    Path code = Files.writeString(folder.resolve(name + ".c"), source);
    Path library = folder.resolve(name + ".so");
    Process gcc =
        new ProcessBuilder("gcc", "-shared", "-fPIC", "-o", library.toString(), code.toString())
            .inheritIO()
            .start();
    assertEquals(0, gcc.waitFor());
    return library;
  }
}
