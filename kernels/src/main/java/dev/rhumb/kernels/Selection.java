package dev.rhumb.kernels;

/** What a TopK encode promises of the features that it keeps. */
public enum Selection {
  /**
   * The K best by the float32 chains of {@link Sae}: the same features and values on every backend.
   */
  EXACT,
  /**
   * The K best by the scores of operands rounded to bfloat16 (x - b_dec and W_enc, to nearest
   * even), summed in float32 in an order of the device's own, with b_enc added: exactly those of
   * these scores, which are the values returned. Some tenths of a feature of a row, as a rule, are
   * others than EXACT's. Faster, and only on a GPU.
   */
  EXACT_BF16
}
