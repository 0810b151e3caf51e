package dev.rhumb.kernels;

import dev.rhumb.bindings.NativeException;
import dev.rhumb.bindings.NativeLibrary;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Chooses a backend. Holds no field that touches the Vector API: this class must load where that
 * module is absent.
 */
final class Backends {
  private static final String AUTO = "auto";
  private static final String VECTOR_MODULE = "jdk.incubator.vector";
  private static final int MOST_THREADS = 256;

  /** What NVIDIA's driver shows of itself, on Linux and inside Windows. */
  private static final List<String> GPU_FILES = List.of("/dev/nvidiactl", "/dev/dxg");

  private Backends() {}

  /**
   * Opens the backend of a name.
   *
   * @param name as {@code rhumb.backend} has it; null means auto
   * @param threads 0 for the setting's
   */
  static Kernels open(String name, int threads) {
    if (threads < 0 || threads > MOST_THREADS) {
      throw new IllegalArgumentException(
          "threads = " + threads + ", but it must be from 1 to " + MOST_THREADS + ", or 0");
    }
    int count = threads > 0 ? threads : defaultThreads();
    String wanted = name == null ? AUTO : name.toLowerCase(Locale.ROOT);
    if (wanted.equals(AUTO)) {
      return openFastest(count);
    }
    for (Backend backend : Backend.values()) {
      if (backend.label().equals(wanted)) {
        return openNamed(backend, count);
      }
    }
    throw new IllegalArgumentException(
        "rhumb.backend=" + name + ": one of auto, scalar, simd, cuda is needed");
  }

  private static Kernels openNamed(Backend backend, int threads) {
    String refusal = backend == Backend.CUDA ? deniedAccess() : refusal(backend);
    if (refusal == null) {
      try {
        return make(backend, threads);
      } catch (NativeException e) {
        refusal = e.getMessage();
      }
    }
    throw new BackendUnavailableException(
        "the backend " + backend.label() + " cannot run here: " + refusal);
  }

  static List<BackendReport> report() {
    List<BackendReport> reports = new ArrayList<>();
    for (Backend backend : Backend.values()) {
      String refusal = refusal(backend);
      if (refusal != null) {
        reports.add(new BackendReport(backend, false, refusal));
        continue;
      }
      try (Kernels kernels = make(backend, defaultThreads())) {
        reports.add(new BackendReport(backend, true, kernels.describe()));
      }
    }
    return List.copyOf(reports);
  }

  private static Kernels openFastest(int threads) {
    Kernels gpu = openGpu();
    return gpu != null ? gpu : openOnHost(threads);
  }

  /**
   * Opens simd, or scalar where that cannot run.
   *
   * @param threads 0 for the setting's
   */
  static Kernels openOnHost(int threads) {
    int count = threads > 0 ? threads : defaultThreads();
    String refusal = refusal(Backend.SIMD);
    if (refusal == null) {
      return make(Backend.SIMD, count);
    }
    System.getLogger(Backends.class.getPackageName())
        .log(
            System.Logger.Level.WARNING,
            "running on the scalar backend, which is many times slower, because simd cannot run: "
                + refusal);
    return make(Backend.SCALAR, count);
  }

  /** Whether this machine says at once that it has none, so that nothing is loaded to find out. */
  private static boolean noGpu() {
    return Settings.get(NativeLibrary.SETTING) == null
        && GPU_FILES.stream().noneMatch(file -> Files.exists(Path.of(file)));
  }

  /** A GPU, or null where there is none; one that is there and cannot be used is told of. */
  private static Kernels openGpu() {
    if (!NativeLibrary.class.getModule().isNativeAccessEnabled() || noGpu()) {
      return null;
    }
    try {
      // The build for tests runs where it is asked for by name.
      return NativeLibrary.load().build().equals("host") ? null : CudaKernels.openDevice();
    } catch (NativeException e) {
      if (e.kind() != NativeException.Kind.LIBRARY && e.kind() != NativeException.Kind.NO_DEVICE) {
        System.getLogger(Backends.class.getPackageName())
            .log(System.Logger.Level.WARNING, "running without the GPU: " + e.getMessage());
      }
      return null;
    }
  }

  private static int defaultThreads() {
    int processors = Math.min(Runtime.getRuntime().availableProcessors(), MOST_THREADS);
    return Settings.integer("rhumb.threads", processors, 1, MOST_THREADS);
  }

  /** Why a backend cannot run here and what mends that, or null where it can. */
  private static String refusal(Backend backend) {
    return switch (backend) {
      case SCALAR -> null;
      case SIMD -> simdRefusal();
      case CUDA -> cudaRefusal();
    };
  }

  private static String cudaRefusal() {
    try {
      CudaKernels.openDevice().close();
      return null;
    } catch (NativeException e) {
      return e.getMessage();
    }
  }

  /** Why the kernels may not look at memory by its address, or null where they may. */
  private static String deniedAccess() {
    try {
      // The kernels need this restricted method; ask before their classes load, which cannot be
      // undone.
      MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    } catch (IllegalCallerException e) {
      Module here = Backends.class.getModule();
      return "native access is denied to the kernels; start java with --enable-native-access="
          + (here.isNamed() ? here.getName() : "ALL-UNNAMED");
    }
    return null;
  }

  private static String simdRefusal() {
    if (ModuleLayer.boot().findModule(VECTOR_MODULE).isEmpty()) {
      return "the module "
          + VECTOR_MODULE
          + " is not in the boot layer; start java with --add-modules "
          + VECTOR_MODULE;
    }
    String denied = deniedAccess();
    return denied != null ? denied : SimdKernels.refusal();
  }

  private static Kernels make(Backend backend, int threads) {
    return switch (backend) {
      case SCALAR -> new ScalarKernels();
      // By a static method of type Kernels, so that nothing of it loads before it is called.
      case SIMD -> SimdKernels.open(threads);
      case CUDA -> CudaKernels.openDevice();
    };
  }
}
