package dev.rhumb.bindings;

import dev.rhumb.bindings.DynamicLinker.LinkException;
import dev.rhumb.bindings.LibrarySearch.Candidate;
import dev.rhumb.bindings.NativeException.Kind;
import dev.rhumb.bindings.rhumb.Rhumb;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.URI;
import java.net.URL;
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
 *   <li>packed in a jar on the class path or module path: the artifact {@code rhumb-native} with
 *       the classifier of this system. It is unpacked into {@code native/} of the folder that the
 *       setting {@code rhumb.cache} (or {@code RHUMB_CACHE}) names, else of {@code
 *       $XDG_CACHE_HOME/rhumb} or {@code ~/.cache/rhumb}, and checked there before every use;
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
      requireNativeAccess();
      Path file = find(candidates());
      LibrarySearch.load(file);
      loaded = new NativeLibrary(file);
    }
    return loaded;
  }

  /** Asks before a generated class loads, whose failure to do so could not be undone. */
  private static void requireNativeAccess() {
    try {
      MemorySegment.NULL.reinterpret(0);
    } catch (IllegalCallerException e) {
      Module here = NativeLibrary.class.getModule();
      throw new NativeException(
          Kind.LIBRARY,
          "native access is denied to the bindings; start java with --enable-native-access="
              + (here.isNamed() ? here.getName() : "ALL-UNNAMED"));
    }
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
   * Turns the status of a generated {@code rhumb_} function into an exception. Call it at once, on
   * the thread that made the call: the text belongs to that thread.
   *
   * @throws NativeException with the library's own text, where the status is not {@code RHUMB_OK}
   */
  public static void check(int status) {
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
    String reason = Rhumb.rhumb_last_error().getString(0);
    if (kind == Kind.DEVICE && CudaDriver.isDeviceLost()) {
      kind = Kind.DEVICE_LOST;
    }
    throw new NativeException(kind, reason);
  }

  static List<Candidate> candidates() {
    List<Candidate> setting = LibrarySearch.setting(SETTING);
    if (!setting.isEmpty()) {
      return setting;
    }
    List<Candidate> places = new ArrayList<>();
    String name = System.mapLibraryName("rhumb");
    CodeSource source = NativeLibrary.class.getProtectionDomain().getCodeSource();
    // An archive of classes may have neither.
    URL location = source == null ? null : source.getLocation();
    if (location != null && location.getProtocol().equals("file")) {
      Path jar = Path.of(URI.create(location.toString()));
      places.add(new Candidate("beside the jar", jar.resolveSibling(name).toString()));
    }
    places.addAll(PackedLibrary.candidates(NativeLibrary.class.getClassLoader()));
    places.add(new Candidate("the system's search path", name));
    return places;
  }

  /** The absolute path of the first candidate that is Rhumb's library in this jar's version. */
  static Path find(List<Candidate> candidates) {
    return LibrarySearch.find(
        candidates,
        NativeLibrary::checkVersion,
        Kind.LIBRARY,
        "No native library of version " + version(),
        "Put rhumb-native's jar (classifier linux-x86_64-cuda13) on the class path, or build native/"
            + " where nvcc is and set "
            + SETTING
            + " (or RHUMB_CUDA_LIBRARY) to its librhumb.so.");
  }

  /** Asks a library for its version. */
  private static MemorySegment checkVersion(MemorySegment library) throws LinkException {
    MemorySegment symbol = DynamicLinker.symbol(library, "rhumb_version");
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
    return symbol;
  }

  private static String versionText(int version) {
    return version / 10_000 + "." + version / 100 % 100 + "." + version % 100;
  }
}
