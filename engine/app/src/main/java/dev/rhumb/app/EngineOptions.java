package dev.rhumb.app;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Kernels;
import picocli.CommandLine.Option;

/** What a command computes on. */
final class EngineOptions {
  /** The choices of {@code --backend}. */
  enum Choice {
    AUTO,
    SCALAR,
    SIMD,
    CUDA
  }

  @Option(
      names = "--backend",
      paramLabel = "NAME",
      description = "auto, scalar, simd or cuda (default: RHUMB_BACKEND, else auto).")
  private Choice backend;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads (default: RHUMB_THREADS, else all processors).")
  private int threads;

  /** Opens the backend, which the caller closes. */
  Kernels open() {
    if (backend != null && backend != Choice.AUTO) {
      return Kernels.open(Backend.valueOf(backend.name()), threads);
    }
    Kernels kernels = Kernels.open();
    if (threads == 0 || threads == kernels.threads()) {
      return kernels;
    }
    try (kernels) {
      return Kernels.open(kernels.backend(), threads);
    }
  }
}
