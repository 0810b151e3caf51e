package dev.rhumb.model;

import dev.rhumb.kernels.Activation;

/**
 * What a {@link BlockStyle} leaves open. Models of one's own take {@link #of}; other values are for
 * models that were trained elsewhere.
 *
 * @param activation of the MLP; in the style {@code modern} of its gate, SILU
 * @param scaledEmbedding whether item embeddings are multiplied by sqrt(D) at the input
 * @param embeddingNorm whether the sum of item and position embedding goes through a layer norm
 * @param finalNorm whether the last block's output goes through a norm
 * @param padding what stands before a sequence shorter than T
 */
public record Wiring(
    Activation activation,
    boolean scaledEmbedding,
    boolean embeddingNorm,
    boolean finalNorm,
    Padding padding) {

  /** The usual values of a style. */
  public static Wiring of(BlockStyle style) {
    return switch (style) {
      case SASREC -> new Wiring(Activation.RELU, true, false, true, Padding.NONE);
      case GPT2 -> new Wiring(Activation.GELU, false, false, true, Padding.NONE);
      case POST_LN -> new Wiring(Activation.GELU_ERF, false, true, false, Padding.NONE);
      case MODERN -> new Wiring(Activation.SILU, false, false, true, Padding.NONE);
    };
  }

  /** Refuses what a style cannot have. */
  void requireFits(BlockStyle style) {
    if (style == BlockStyle.MODERN && !equals(of(style))) {
      throw new IllegalArgumentException(
          "model: the style modern has no other wiring than " + of(style));
    }
    if (padding != Padding.NONE && embeddingNorm) {
      throw new IllegalArgumentException(
          "model: padding " + padding + " goes with no norm of the embeddings");
    }
  }
}
