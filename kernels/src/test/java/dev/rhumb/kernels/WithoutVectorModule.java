package dev.rhumb.kernels;

/** What {@link BackendsTest} runs in a JVM without the Vector API. */
final class WithoutVectorModule {
  private WithoutVectorModule() {}

  /** Prints the backend that auto opens, then why simd does not open. */
  public static void main(String[] args) {
    try (Kernels kernels = Kernels.open()) {
      System.out.println(kernels.describe());
    }
    try (Kernels kernels = Kernels.open(Backend.SIMD, 1)) {
      System.out.println(kernels.describe());
    } catch (BackendUnavailableException e) {
      System.out.println(e.getMessage());
    }
  }
}
