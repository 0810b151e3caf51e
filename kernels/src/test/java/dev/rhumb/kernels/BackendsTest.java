package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.bindings.NativeLibrary;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BackendsTest {
  private static final String FLAG = "--add-modules jdk.incubator.vector";

  @AfterEach
  void forget() {
    System.clearProperty("rhumb.threads");
  }

  @Test
  void everyBackendIsReportedOnce() {
    List<BackendReport> report = Kernels.report();
    assertEquals(List.of(Backend.values()), report.stream().map(BackendReport::backend).toList());
    for (BackendReport each : report) {
      assertFalse(each.detail().isBlank(), each.backend().label());
      if (!each.available()) {
        assertThrows(
            BackendUnavailableException.class, () -> Kernels.open(each.backend(), 1).close());
      }
    }
  }

  @Test
  void theTestsHaveTheVectorModule() {
    assertTrue(Kernels.report().get(Backend.SIMD.ordinal()).available());
  }

  @Test
  void autoPrefersSimd() {
    for (String name : new String[] {null, "auto", "AUTO", "simd"}) {
      try (Kernels kernels = Backends.open(name, 3)) {
        assertEquals(Backend.SIMD, kernels.backend());
        assertEquals(3, kernels.threads());
      }
    }
    try (Kernels kernels = Backends.open("scalar", 3)) {
      assertEquals(Backend.SCALAR, kernels.backend());
      assertEquals(1, kernels.threads());
    }
  }

  @Test
  void unknownNamesAreRefusedWithTheKnownOnes() {
    String message =
        assertThrows(IllegalArgumentException.class, () -> Backends.open("sse", 1)).getMessage();
    for (String name : new String[] {"sse", "auto", "scalar", "simd", "cuda"}) {
      assertTrue(message.contains(name), message);
    }
  }

  @Test
  void threadsComeFromTheSetting() {
    System.setProperty("rhumb.threads", "2");
    try (Kernels kernels = Kernels.open(Backend.SIMD, 0);
        Kernels sibling = kernels.fork(4)) {
      assertEquals(2, kernels.threads());
      assertEquals(4, sibling.threads());
    }
    for (String bad : new String[] {"0", "257", "many", "-1"}) {
      System.setProperty("rhumb.threads", bad);
      String message =
          assertThrows(IllegalArgumentException.class, () -> Kernels.open(Backend.SIMD, 0).close())
              .getMessage();
      assertTrue(message.contains("rhumb.threads=" + bad), message);
    }
    assertThrows(IllegalArgumentException.class, () -> Kernels.open(Backend.SIMD, -1).close());
    assertThrows(IllegalArgumentException.class, () -> Kernels.open(Backend.SIMD, 257).close());
  }

  @Test
  void settingsTakeWholeNumbersWithinBounds() {
    assertEquals(7, Settings.integer("rhumb.threads", 7, 1, 256));
    System.setProperty("rhumb.threads", "  ");
    assertEquals(7, Settings.integer("rhumb.threads", 7, 1, 256));
    System.setProperty("rhumb.threads", " 12 ");
    assertEquals(12, Settings.integer("rhumb.threads", 7, 1, 256));
    assertThrows(IllegalArgumentException.class, () -> Settings.integer("rhumb.threads", 7, 1, 11));
  }

  /** The folder or jar that a class comes from. */
  private static String place(Class<?> type) {
    String url = type.getResource(type.getSimpleName() + ".class").toString();
    int inside = url.length() - type.getName().length() - ".class".length();
    String root = url.substring(0, inside);
    if (root.startsWith("jar:")) {
      root = root.substring("jar:".length(), root.lastIndexOf('!'));
    }
    return Path.of(URI.create(root)).toString();
  }

  @Test
  void withoutTheVectorModuleAutoIsScalarAndSaysHowToMendIt(@TempDir Path folder)
      throws IOException, InterruptedException {
    requireScalar(folder, FLAG, "--limit-modules", "java.base");
  }

  @Test
  void withoutNativeAccessAutoIsScalarAndSaysHowToMendIt(@TempDir Path folder)
      throws IOException, InterruptedException {
    requireScalar(
        folder,
        "--enable-native-access=ALL-UNNAMED",
        "--add-modules",
        "jdk.incubator.vector",
        "--illegal-native-access=deny");
  }

  /** Runs another JVM, on the class path, where simd cannot run for the lack of a flag. */
  private static void requireScalar(Path folder, String flag, String... options)
      throws IOException, InterruptedException {
    Path out = folder.resolve("out");
    Path err = folder.resolve("err");
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of(options));
    command.add("-cp");
    command.add(
        Stream.of(Kernels.class, NativeLibrary.class, WithoutVectorModule.class)
            .map(BackendsTest::place)
            .collect(Collectors.joining(File.pathSeparator)));
    command.add(WithoutVectorModule.class.getName());
    ProcessBuilder java = new ProcessBuilder(command);
    java.environment().remove("RHUMB_BACKEND");
    java.environment().remove("JAVA_TOOL_OPTIONS");
    Process process = java.redirectOutput(out.toFile()).redirectError(err.toFile()).start();
    int status = process.waitFor();
    String warning = Files.readString(err, StandardCharsets.UTF_8);
    assertEquals(0, status, warning);
    List<String> lines = Files.readAllLines(out, StandardCharsets.UTF_8);
    assertTrue(lines.get(0).startsWith("scalar"), lines.get(0));
    assertTrue(lines.get(1).contains(flag), lines.get(1));
    assertEquals(
        1, warning.lines().filter(line -> line.contains(flag)).count(), "one line: " + warning);
  }
}
