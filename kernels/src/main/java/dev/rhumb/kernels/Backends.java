package dev.rhumb.kernels;

import java.lang.foreign.MemorySegment;
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
        String refusal = refusal(backend);
        if (refusal != null) {
          throw new BackendUnavailableException(
              "the backend " + wanted + " cannot run here: " + refusal);
        }
        return make(backend, count);
      }
    }
    throw new IllegalArgumentException(
        "rhumb.backend=" + name + ": one of auto, scalar, simd, cuda is needed");
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
    String refusal = refusal(Backend.SIMD);
    if (refusal == null) {
      return make(Backend.SIMD, threads);
    }
    System.getLogger(Backends.class.getPackageName())
        .log(
            System.Logger.Level.WARNING,
            "running on the scalar backend, which is many times slower, because simd cannot run: "
                + refusal);
    return make(Backend.SCALAR, threads);
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
      case CUDA -> "this version has no CUDA kernels; use simd or scalar";
    };
  }

  private static String simdRefusal() {
    if (ModuleLayer.boot().findModule(VECTOR_MODULE).isEmpty()) {
      return "the module "
          + VECTOR_MODULE
          + " is not in the boot layer; start java with --add-modules "
          + VECTOR_MODULE;
    }
    try {
      // The kernels need this restricted method; ask before their classes load, which cannot be
      // undone.
      MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    } catch (IllegalCallerException e) {
      Module here = Backends.class.getModule();
      return "native access is denied to the kernels; start java with --enable-native-access="
          + (here.isNamed() ? here.getName() : "ALL-UNNAMED");
    }
    return SimdKernels.refusal();
  }

  private static Kernels make(Backend backend, int threads) {
    return switch (backend) {
      case SCALAR -> new ScalarKernels();
      // By a static method of type Kernels, so that nothing of it loads before it is called.
      case SIMD -> SimdKernels.open(threads);
      case CUDA -> throw new IllegalStateException(backend + " with " + threads + " threads");
    };
  }
}
