package dev.rhumb.kernels;

/** Element-wise non-linearity. */
public enum Activation {
  /** y = x. */
  NONE,
  /** y = max(x, 0). */
  RELU,
  /** y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the tanh form that GPT-2 uses. */
  GELU
}
