package dev.rhumb.kernels;

import dev.rhumb.bindings.rhumb.Rhumb;

/**
 * How the CUDA backend makes products: those of matrices, of attention over whole sequences and of
 * the softmax losses, forward and backward. Their sums, and all that is no product, are float32 in
 * either.
 */
enum CudaPrecision {
  /** In float32. */
  FP32(Rhumb.RHUMB_FP32()),
  /** Of operands rounded to bf16, to the nearest, ties to even. */
  BF16(Rhumb.RHUMB_BF16());

  private static final String SETTING = "rhumb.cuda.precision";

  private final int code;

  CudaPrecision(int code) {
    this.code = code;
  }

  /** What the setting {@code rhumb.cuda.precision} says; fp32 where it is absent. */
  static CudaPrecision setting() {
    String value = Settings.get(SETTING);
    if (value == null) {
      return FP32;
    }
    for (CudaPrecision precision : values()) {
      if (precision.label().equals(value)) {
        return precision;
      }
    }
    throw new IllegalArgumentException(SETTING + "=" + value + ": fp32 or bf16 is needed");
  }

  String label() {
    return this == FP32 ? "fp32" : "bf16";
  }

  /** The library's rhumb_precision. */
  int code() {
    return code;
  }
}
