package dev.rhumb.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.bindings.LibrarySearch.Candidate;
import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.rhumb.Rhumb;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Finding, refusing, loading and calling the library, on the build for the host. */
class NativeLibraryTest {
  private static final String HOST = System.getProperty("rhumb.test.library");

  @TempDir Path folder;

  private static String refusal(String... libraries) {
    List<Candidate> candidates =
        List.of(libraries).stream().map(library -> new Candidate("test", library)).toList();
    NativeException e = assertThrows(NativeException.class, () -> NativeLibrary.find(candidates));
    assertEquals(Kind.LIBRARY, e.kind());
    return e.getMessage();
  }

  private static void assertHas(String text, String part) {
    assertTrue(text.contains(part), () -> "no \"" + part + "\" in: " + text);
  }

  @Test
  void aMissingLibraryIsNamedWithTheLinkersReason() {
    Path one = folder.resolve("librhumb.so");
    String message = refusal(one.toString(), "librhumb-nowhere.so");
    assertHas(message, "test: " + one + ": ");
    assertHas(message, one + ": cannot open shared object file: No such file or directory");
    assertHas(message, "librhumb-nowhere.so: cannot open shared object file");
    assertHas(message, "rhumb.cuda.library");
    assertHas(message, "RHUMB_CUDA_LIBRARY");
  }

  @Test
  void aFileThatIsNoLibraryIsRefused() throws IOException {
    Path text = Files.writeString(folder.resolve("text.so"), "not a library\n".repeat(100));
    assertHas(refusal(text.toString()), "invalid ELF header");
    Path empty = Files.writeString(folder.resolve("empty.so"), "");
    assertHas(refusal(empty.toString()), "file too short");
    assertHas(refusal(folder.toString()), "cannot read file data");
  }

  @Test
  void anotherVersionIsRefusedByBothNames() throws IOException, InterruptedException {
    Path other = Gcc.compiled(folder, "other", "int rhumb_version(void) { return 21203; }");
    String message = refusal(other.toString());
    assertHas(message, "version 2.12.3");
    assertHas(message, "needs " + NativeLibrary.version());
  }

  @Test
  void someoneElsesLibraryIsRefused() throws IOException, InterruptedException {
    Path other = Gcc.compiled(folder, "stranger", "int stranger(void) { return 1; }");
    assertHas(refusal(other.toString()), "undefined symbol: rhumb_version");
  }

  @Test
  void theFirstThatFitsIsTaken() throws IOException, InterruptedException {
    Path other = Gcc.compiled(folder, "old", "int rhumb_version(void) { return 1; }");
    Path found =
        NativeLibrary.find(
            List.of(
                new Candidate("missing", folder.resolve("missing.so").toString()),
                new Candidate("old", other.toString()),
                new Candidate("good", HOST)));
    assertTrue(Files.isRegularFile(found), found::toString);
    assertEquals(Path.of(HOST).getFileName(), found.getFileName());
  }

  @Test
  void aSettingIsTheOnlyPlaceLookedAt() {
    withSetting(
        "some/where.so",
        () ->
            assertEquals(
                List.of(
                    new Candidate(
                        "rhumb.cuda.library",
                        Path.of("some/where.so").toAbsolutePath().toString())),
                NativeLibrary.candidates()));
    withSetting(
        " ",
        () -> {
          List<Candidate> candidates = NativeLibrary.candidates();
          assertEquals(2, candidates.size());
          assertEquals("beside the jar", candidates.get(0).origin());
          assertTrue(Path.of(candidates.get(0).library()).isAbsolute());
          assertEquals(System.mapLibraryName("rhumb"), candidates.get(1).library());
        });
  }

  @Test
  void theHostsBuildSaysWhatItIs() {
    NativeLibrary library = host();
    assertEquals("host", library.build());
    assertEquals(1, library.deviceCount());
    assertEquals(Path.of(HOST).getFileName(), library.file().getFileName());
    assertSame(library, NativeLibrary.load());
  }

  @Test
  void aStatusBecomesAnExceptionWithTheLibrarysWords() {
    host();
    NativeLibrary.check(Rhumb.RHUMB_OK());
    NativeException e =
        assertThrows(
            NativeException.class,
            () -> NativeLibrary.check(Rhumb.rhumb_device_count(MemorySegment.NULL)));
    assertEquals(Kind.INVALID_ARGUMENT, e.kind());
    assertHas(e.getMessage(), "rhumb_device_count: count is NULL");
  }

  /** The library for the host, as a setting names it. */
  private static NativeLibrary host() {
    Gcc.needsNative();
    NativeLibrary[] library = new NativeLibrary[1];
    withSetting(HOST, () -> library[0] = NativeLibrary.load());
    return library[0];
  }

  private static void withSetting(String value, Runnable work) {
    String before = System.getProperty(NativeLibrary.SETTING);
    System.setProperty(NativeLibrary.SETTING, value);
    try {
      work.run();
    } finally {
      if (before == null) {
        System.clearProperty(NativeLibrary.SETTING);
      } else {
        System.setProperty(NativeLibrary.SETTING, before);
      }
    }
  }
}
