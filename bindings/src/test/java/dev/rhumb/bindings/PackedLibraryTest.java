package dev.rhumb.bindings;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.bindings.DynamicLinker.LinkException;
import dev.rhumb.bindings.LibrarySearch.Candidate;
import java.io.IOException;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A library in a jar: unpacked, checked, replaced where damaged, refused where it is not right. */
class PackedLibraryTest {
  @TempDir Path folder;
  private Path cache;
  private byte[] library;

  @BeforeEach
  void aLibrary() {
    cache = folder.resolve("cache");
    library = new byte[300_001];
    new Random(7).nextBytes(library);
  }

  private static String sha256(byte[] bytes) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
  }

  /** A jar's stamp, as a URL into the jar; a part that is null is left out. */
  private PackedLibrary packed(String version, String sha256, byte[] bytes) throws IOException {
    Path jar = folder.resolve("a jar.jar");
    try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar))) {
      out.putNextEntry(new JarEntry(PackedLibrary.STAMP));
      out.write(("version=" + version + "\nsha256=" + sha256 + "\n").getBytes());
      if (bytes != null) {
        out.putNextEntry(
            new JarEntry(PackedLibrary.STAMP.replace("librhumb.properties", "librhumb.so")));
        out.write(bytes);
      }
    }
    return new PackedLibrary(
        URL.of(URI.create("jar:" + jar.toUri() + "!/" + PackedLibrary.STAMP), null), cache);
  }

  private PackedLibrary good() throws Exception {
    return packed(NativeLibrary.version(), sha256(library), library);
  }

  private static String refusal(PackedLibrary packed) {
    return assertThrows(LinkException.class, packed::unpacked).getMessage();
  }

  private static void assertHas(String text, String... parts) {
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "no \"" + part + "\" in: " + text);
    }
  }

  private List<Path> files() throws IOException {
    try (Stream<Path> all = Files.walk(cache)) {
      return all.filter(Files::isRegularFile).toList();
    }
  }

  @Test
  void isUnpackedForItsOwnerAloneInAFolderOfItsVersionAndBytes() throws Exception {
    Path file = Path.of(good().unpacked());
    String name = NativeLibrary.version() + "-" + sha256(library).substring(0, 16);
    assertEquals(cache.resolve("native").resolve(name).resolve("librhumb.so"), file);
    assertArrayEquals(library, Files.readAllBytes(file));
    for (Path path = file; !path.equals(folder); path = path.getParent()) {
      assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(path)));
    }
    assertEquals(List.of(file), files());
  }

  @Test
  void isUnpackedOnce() throws Exception {
    Path file = Path.of(good().unpacked());
    Object inode = Files.getAttribute(file, "unix:ino");
    assertEquals(file.toString(), good().unpacked());
    assertEquals(inode, Files.getAttribute(file, "unix:ino"));
  }

  /** What may have happened to a file in the cache. */
  enum Damage {
    FLIPPED_BIT,
    TRUNCATED,
    EMPTY,
    LONGER
  }

  @ParameterizedTest
  @EnumSource
  void aDamagedFileIsReplacedAndNotWrittenTo(Damage damage) throws Exception {
    Path file = Path.of(good().unpacked());
    byte[] bytes = library.clone();
    bytes[150_000] ^= 1;
    Files.write(
        file,
        switch (damage) {
          case FLIPPED_BIT -> bytes;
          case TRUNCATED -> Arrays.copyOf(library, 4096);
          case EMPTY -> new byte[0];
          case LONGER -> Arrays.copyOf(library, library.length + 1);
        });
    // A process that runs on the old file must not see it change.
    Object inode = Files.getAttribute(file, "unix:ino");
    good().unpacked();
    assertArrayEquals(library, Files.readAllBytes(file));
    assertNotEquals(inode, Files.getAttribute(file, "unix:ino"));
    assertEquals(List.of(file), files());
  }

  @Test
  void manyAtOnceAllGetTheWholeFile() throws Exception {
    PackedLibrary packed = good();
    try (ExecutorService threads = Executors.newFixedThreadPool(8)) {
      List<Callable<byte[]>> readers = new ArrayList<>();
      for (int i = 0; i < 32; i++) {
        readers.add(() -> Files.readAllBytes(Path.of(packed.unpacked())));
      }
      for (Future<byte[]> read : threads.invokeAll(readers)) {
        assertArrayEquals(library, read.get());
      }
    }
    assertEquals(1, files().size());
  }

  @Test
  void aFolderThatCannotBeWrittenIsNamedWithTheMend() throws Exception {
    Files.writeString(cache, "a file where the folder should be");
    assertHas(
        refusal(good()),
        "cannot be unpacked to " + cache.resolve("native"),
        "set rhumb.cache (or RHUMB_CACHE) to a folder");
    Files.delete(cache);
    Files.createDirectory(cache);
    Files.setPosixFilePermissions(cache, PosixFilePermissions.fromString("r-xr-xr-x"));
    // The superuser may write everywhere.
    if (!Files.isWritable(cache)) {
      assertHas(refusal(good()), "AccessDenied", "set rhumb.cache");
    }
  }

  @Test
  void aFolderThatDoesNotKeepTheFileIsRefused() throws Exception {
    // What never can be replaced by a file: a folder with something in it.
    Path file = Path.of(good().unpacked());
    Files.delete(file);
    Files.createDirectories(file.resolve("full"));
    assertHas(refusal(good()), "cannot be unpacked to " + file);
    try (Stream<Path> all = Files.list(file.getParent())) {
      assertEquals(List.of(file), all.toList());
    }
  }

  @Test
  void aJarThatIsNotRightIsRefusedAndLeavesNothing() throws Exception {
    String version = NativeLibrary.version();
    byte[] other = library.clone();
    other[0]++;
    assertHas(
        refusal(packed(version, sha256(library), other)),
        "the jar is damaged, its librhumb.so is not the one of its stamp: get it again");
    assertHas(
        refusal(packed(version, sha256(library), null)), "it has no librhumb.so beside its stamp");
    assertEquals(List.of(), files());
    assertHas(refusal(packed(version, "../../x", library)), "its stamp has no SHA-256");
    assertHas(
        refusal(packed("7.1.0", sha256(library), library)),
        "the jar has version 7.1.0, this one needs " + version);
    PackedLibrary gone = good();
    Files.delete(folder.resolve("a jar.jar"));
    assertHas(refusal(gone), "its stamp cannot be read");
  }

  @Test
  void whatTheClassLoaderSeesIsUnpackedWhenTheSearchGetsThere() throws Exception {
    System.setProperty(PackedLibrary.SETTING, cache.toString());
    try {
      good();
      URL[] path = {folder.resolve("a jar.jar").toUri().toURL()};
      try (URLClassLoader loader = new URLClassLoader(path, null)) {
        List<Candidate> candidates = PackedLibrary.candidates(loader);
        assertEquals(1, candidates.size());
        assertFalse(Files.exists(cache));
        // It is no library: the linker's reason shows that it was tried.
        NativeException e =
            assertThrows(NativeException.class, () -> NativeLibrary.find(candidates));
        assertHas(e.getMessage(), "packed: jar:file:", "invalid ELF header", "rhumb-native's jar");
        assertEquals(1, files().size());
      }
      try (URLClassLoader none = new URLClassLoader(new URL[0], null)) {
        assertEquals(List.of(), PackedLibrary.candidates(none));
      }
    } finally {
      System.clearProperty(PackedLibrary.SETTING);
    }
  }

  @Test
  void theHostsLibraryLoadsFromTheCache() throws Exception {
    Gcc.needsNative();
    library = Files.readAllBytes(Path.of(System.getProperty("rhumb.test.library")));
    String file = good().unpacked();
    assertEquals(Path.of(file), NativeLibrary.find(List.of(new Candidate("cache", file))));
  }
}
