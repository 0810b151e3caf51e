package dev.rhumb.kernels;

import java.util.Locale;

/** An implementation of the kernels. */
public enum Backend {
  /** Plain loops on one thread: the definition that the others are held against. */
  SCALAR,
  /** The Vector API on the CPU. Needs the module {@code jdk.incubator.vector}. */
  SIMD,
  /** CUDA kernels through the native library. */
  CUDA;

  /** The name that the setting {@code rhumb.backend} uses. */
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }
}
