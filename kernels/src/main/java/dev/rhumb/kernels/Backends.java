package dev.rhumb.kernels;

import java.util.List;

/**
 * Chooses a backend. Holds no field that touches the Vector API: this class must load where that
 * module is absent.
 */
final class Backends {
  private Backends() {}

  static Kernels open(String name, int threads) {
    throw new BackendUnavailableException("no backend " + name + " with " + threads + " threads");
  }

  static List<BackendReport> report() {
    return List.of();
  }
}
