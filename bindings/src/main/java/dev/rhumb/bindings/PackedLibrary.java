package dev.rhumb.bindings;

import dev.rhumb.bindings.DynamicLinker.LinkException;
import dev.rhumb.bindings.LibrarySearch.Candidate;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URI;
import java.net.URL;
import java.net.URLConnection;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;

/**
 * The kernels' library as a jar brings it along, beside a stamp that says which version it is and
 * what its bytes are. It is unpacked into the user's cache, in a folder of that version and those
 * bytes, and checked before every use: a file that was damaged there is replaced. Processes may do
 * so at the same time: the file appears whole, and one in use is never written to.
 *
 * @param stamp the resource that says what {@code librhumb.so} beside it is
 * @param cache the folder for all that is unpacked
 */
record PackedLibrary(URL stamp, Path cache) {
  /** Where a jar has the stamp. */
  static final String STAMP = "META-INF/rhumb/linux-x86_64/librhumb.properties";

  /** The setting that names the cache's folder. */
  static final String SETTING = "rhumb.cache";

  private static final String NAME = "librhumb.so";

  /** Places to look: one for each jar that the loader sees a stamp in. */
  static List<Candidate> candidates(ClassLoader loader) {
    return loader
        .resources(STAMP)
        .map(stamp -> new PackedLibrary(stamp, cacheFolder()))
        .map(packed -> new Candidate("packed", packed.stamp.toString(), packed::unpacked))
        .toList();
  }

  private static Path cacheFolder() {
    String setting = Settings.get(SETTING);
    if (setting != null) {
      return Path.of(setting).toAbsolutePath();
    }
    String xdg = System.getenv("XDG_CACHE_HOME");
    return (xdg == null || !Path.of(xdg).isAbsolute()
            ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(xdg))
        .resolve("rhumb");
  }

  /**
   * The path of the unpacked library, whose bytes are those of the stamp.
   *
   * @throws LinkException with the reason and the mend
   */
  String unpacked() throws LinkException {
    Properties values = new Properties();
    try (InputStream in = open(stamp)) {
      values.load(in);
    } catch (IOException | IllegalArgumentException e) {
      throw damaged("its stamp cannot be read: " + e);
    }
    String version = values.getProperty("version", "");
    String sha256 = values.getProperty("sha256", "");
    if (!version.equals(NativeLibrary.version())) {
      throw new LinkException(
          "the jar has version " + version + ", this one needs " + NativeLibrary.version());
    }
    if (!sha256.matches("[0-9a-f]{64}")) {
      throw damaged("its stamp has no SHA-256");
    }
    Path file = cache.resolve("native", version + "-" + sha256.substring(0, 16), NAME);
    try {
      // Twice: the second time shows whether the cache keeps what it is given.
      for (int attempt = 0; attempt < 2; attempt++) {
        if (Files.isRegularFile(file) && sha256.equals(digestOf(file))) {
          return file.toString();
        }
        if (attempt == 0) {
          write(file, sha256);
        }
      }
    } catch (IOException e) {
      throw new LinkException(
          "cannot be unpacked to "
              + file
              + ": "
              + e
              + "; set "
              + SETTING
              + " (or "
              + Settings.variable(SETTING)
              + ") to a folder that can be written, and that libraries may be loaded from");
    }
    throw new LinkException(
        file
            + " differs from what was just written there: is its disk in order? Set "
            + SETTING
            + " (or "
            + Settings.variable(SETTING)
            + ") to a folder on another");
  }

  /** Puts the library there as a whole, or not at all. */
  private void write(Path file, String sha256) throws IOException, LinkException {
    Path folder = file.getParent();
    var mine = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
    Files.createDirectories(folder, mine);
    Path part = Files.createTempFile(folder, NAME, ".part", mine);
    try {
      MessageDigest digest = sha256();
      try (FileChannel out = FileChannel.open(part, StandardOpenOption.WRITE)) {
        try (InputStream in = new DigestInputStream(packed(), digest)) {
          in.transferTo(Channels.newOutputStream(out));
        }
        out.force(true);
      }
      if (!sha256.equals(HexFormat.of().formatHex(digest.digest()))) {
        throw damaged("its " + NAME + " is not the one of its stamp");
      }
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
      try (FileChannel names = FileChannel.open(folder, StandardOpenOption.READ)) {
        names.force(true);
      }
    } finally {
      Files.deleteIfExists(part);
    }
  }

  private InputStream packed() throws LinkException {
    String name = stamp.toString();
    try {
      return open(URI.create(name.substring(0, name.lastIndexOf('/') + 1) + NAME).toURL());
    } catch (IOException e) {
      throw damaged("it has no " + NAME + " beside its stamp");
    }
  }

  /** Without the JVM's cache of jars, which would keep the jar open. */
  private static InputStream open(URL resource) throws IOException {
    URLConnection connection = resource.openConnection();
    connection.setUseCaches(false);
    return connection.getInputStream();
  }

  private static LinkException damaged(String how) {
    return new LinkException("the jar is damaged, " + how + ": get it again");
  }

  private static String digestOf(Path file) throws IOException {
    MessageDigest digest = sha256();
    try (InputStream in = new DigestInputStream(Files.newInputStream(file), digest)) {
      in.transferTo(OutputStream.nullOutputStream());
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JVM has SHA-256", e);
    }
  }
}
