package dev.rhumb.bindings;

import dev.rhumb.bindings.DynamicLinker.LinkException;
import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.rhumb.Rhumb;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.URI;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.ArrayList;
import java.util.List;

/**
 * The kernels' native library: found, checked against this jar's version, and loaded, once for the
 * process.
 *
 * <p>It is looked for in this order:
 *
 * <ol>
 *   <li>where the setting {@code rhumb.cuda.library} (or {@code RHUMB_CUDA_LIBRARY}) points, and
 *       then nowhere else;
 *   <li>{@code librhumb.so} beside this module's jar;
 *   <li>{@code librhumb.so} in the system's own places, {@code LD_LIBRARY_PATH} among them.
 * </ol>
 *
 * Any thread may call any method. A loaded library stays until the JVM ends.
 */
public final class NativeLibrary {
  /** The setting that names the library's file. */
  public static final String SETTING = "rhumb.cuda.library";

  private static NativeLibrary loaded;

  private final Path file;
  private final String build;

  private NativeLibrary(Path file) {
    this.file = file;
    this.build = Rhumb.rhumb_build().getString(0);
  }

  /**
   * The library, loaded by the first call that succeeds.
   *
   * @throws NativeException of kind {@link Kind#LIBRARY} that lists every place tried with the
   *     system's reason, where none has a library of this jar's version
   */
  public static synchronized NativeLibrary load() {
    if (loaded == null) {
      Path file = find(candidates());
      // From here on the generated bindings, which ask this class's loader, see its symbols.
      System.load(file.toString());
      loaded = new NativeLibrary(file);
    }
    return loaded;
  }

  /** The file it was loaded from. */
  public Path file() {
    return file;
  }

  /** The version that library and jar share, such as {@code 0.1.0}. */
  public static String version() {
    return versionText(Rhumb.RHUMB_VERSION());
  }

  /**
   * What the library computes on: {@code "cuda 13.0"}, or {@code "host"} for the build that runs
   * the kernels on the CPU for tests.
   */
  public String build() {
    return build;
  }

  /**
   * How many GPUs there are: one or more.
   *
   * @throws NativeException of kind {@link Kind#NO_DEVICE}, with the reason, where there is none
   */
  public int deviceCount() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment count = arena.allocate(ValueLayout.JAVA_INT);
      check(Rhumb.rhumb_device_count(count));
      return count.get(ValueLayout.JAVA_INT, 0);
    }
  }

  /**
   * {@code y[i] = alpha * a[i] + beta * b[i]}, in stream order on the default stream.
   *
   * @param y (count) float32, written; may be {@code a} or {@code b}
   * @param a (count) float32
   * @param b (count) float32
   * @throws IllegalArgumentException where a segment holds fewer than {@code count} elements
   * @throws NativeException where the device refuses
   */
  public void add(
      MemorySegment y, MemorySegment a, MemorySegment b, float alpha, float beta, long count) {
    holds("y", y, count);
    holds("a", a, count);
    holds("b", b, count);
    check(Rhumb.rhumb_add(MemorySegment.NULL, y, a, b, alpha, beta, count));
  }

  private static void holds(String name, MemorySegment segment, long count) {
    if (count < 0 || segment.byteSize() / Float.BYTES < count) {
      throw new IllegalArgumentException(
          name + ": " + count + " float32 asked, segment of " + segment.byteSize() + " bytes");
    }
  }

  /** Turns a status into an exception with the library's own text. Call it on the same thread. */
  private static void check(int status) {
    if (status == Rhumb.RHUMB_OK()) {
      return;
    }
    Kind kind = Kind.DEVICE;
    if (status == Rhumb.RHUMB_INVALID_ARGUMENT()) {
      kind = Kind.INVALID_ARGUMENT;
    } else if (status == Rhumb.RHUMB_OUT_OF_MEMORY()) {
      kind = Kind.OUT_OF_MEMORY;
    } else if (status == Rhumb.RHUMB_NO_DEVICE()) {
      kind = Kind.NO_DEVICE;
    }
    throw new NativeException(kind, Rhumb.rhumb_last_error().getString(0));
  }

  /** A place to look: what named it, and what the dynamic linker is asked for. */
  record Candidate(String origin, String library) {}

  static List<Candidate> candidates() {
    String setting = System.getProperty(SETTING);
    String origin = SETTING;
    if (setting == null || setting.isBlank()) {
      origin = "RHUMB_CUDA_LIBRARY";
      setting = System.getenv(origin);
    }
    if (setting != null && !setting.isBlank()) {
      return List.of(new Candidate(origin, Path.of(setting.strip()).toAbsolutePath().toString()));
    }
    List<Candidate> places = new ArrayList<>();
    String name = System.mapLibraryName("rhumb");
    CodeSource source = NativeLibrary.class.getProtectionDomain().getCodeSource();
    if (source != null && "file".equals(source.getLocation().getProtocol())) {
      Path jar = Path.of(URI.create(source.getLocation().toString()));
      places.add(new Candidate("beside the jar", jar.resolveSibling(name).toString()));
    }
    places.add(new Candidate("the system's search path", name));
    return places;
  }

  /** The absolute path of the first candidate that is Rhumb's library in this jar's version. */
  static Path find(List<Candidate> candidates) {
    if (!DynamicLinker.present()) {
      throw new NativeException(
          Kind.LIBRARY, "No native library: this system's dynamic linker has no dlopen.");
    }
    StringBuilder reasons = new StringBuilder();
    for (Candidate candidate : candidates) {
      try {
        return probe(candidate.library());
      } catch (LinkException e) {
        reasons.append("\n  ").append(candidate.origin()).append(": ").append(candidate.library());
        reasons.append(": ").append(e.getMessage());
      }
    }
    throw new NativeException(
        Kind.LIBRARY,
        "No native library of version "
            + version()
            + ". Tried:"
            + reasons
            + "\nBuild native/ where nvcc is, and set "
            + SETTING
            + " (or RHUMB_CUDA_LIBRARY) to its librhumb.so.");
  }

  /** Opens a library, asks for its version, and lets it go again. */
  private static Path probe(String library) throws LinkException {
    MemorySegment handle = DynamicLinker.open(library);
    try {
      MemorySegment symbol = DynamicLinker.symbol(handle, "rhumb_version");
      int version;
      try {
        version =
            (int)
                Linker.nativeLinker()
                    .downcallHandle(symbol, FunctionDescriptor.of(ValueLayout.JAVA_INT))
                    .invokeExact();
      } catch (RuntimeException | Error e) {
        throw e;
      } catch (Throwable e) {
        throw new AssertionError(e);
      }
      if (version != Rhumb.RHUMB_VERSION()) {
        throw new LinkException(
            "the library has version " + versionText(version) + ", this jar needs " + version());
      }
      return Path.of(DynamicLinker.file(symbol)).toAbsolutePath();
    } finally {
      DynamicLinker.close(handle);
    }
  }

  private static String versionText(int version) {
    return version / 10_000 + "." + version / 100 % 100 + "." + version % 100;
  }
}
