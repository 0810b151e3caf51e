package dev.rhumb.kernels;

/** Element-wise non-linearity. */
public enum Activation {
  /** y = x. */
  NONE,
  /** y = max(x, 0). */
  RELU,
  /** y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the tanh form that GPT-2 uses. */
  GELU,
  /**
   * y = x Phi(x) with the standard normal distribution function Phi(x) = (1 + erf(x / sqrt(2))) /
   * 2: GELU as defined (Hendrycks, Gimpel 2016), as BERT uses it.
   */
  GELU_ERF,
  /** y = x / (1 + e^-x), also called swish (Elfwing et al. 2017). */
  SILU
}
