package dev.rhumb.model;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * How a block of the transformer is wired. Attn is causal attention with its projection, W1 and W2
 * the MLP, act the {@link Wiring#activation}; dropout as in each block's class.
 */
public enum BlockStyle {
  /**
   * SASRec (Kang, McAuley 2018) as replicated by "Turning Dross Into Gold Loss" (Klenitskiy,
   * Vasilev 2023): embeddings times sqrt(D); q = LN(h), h = q + Attn(q, h, h), h = LN(h), h = h +
   * W2 relu(W1 h); final LN.
   */
  SASREC,
  /**
   * GPT-2 (Radford et al. 2019), pre-norm: h = h + Attn(LN(h)), h = h + W2 gelu(W1 LN(h)); final
   * LN; residual projections start smaller by 1 / sqrt(2 layers).
   */
  GPT2,
  /**
   * Post-norm, as in the first Transformer (Vaswani et al. 2017) and BERT: embeddings go through
   * LN; h = LN(h + Attn(h)), h = LN(h + W2 gelu(W1 h)) with GELU by erf; no final LN.
   */
  POST_LN,
  /**
   * Pre-norm as in LLaMA (Touvron et al. 2023): h = h + Attn(RMSNorm(h)) with rotary positions on
   * queries and keys, h = h + W2 (silu(Wg x) * Wu x) with x = RMSNorm(h); no biases; final RMSNorm;
   * residual projections start smaller by 1 / sqrt(2 layers).
   */
  MODERN;

  /** The name in configurations and on the command line. */
  public String label() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** The style of a label. */
  public static BlockStyle of(String label) {
    for (BlockStyle style : values()) {
      if (style.label().equals(label)) {
        return style;
      }
    }
    throw new IllegalArgumentException(
        "block style '"
            + label
            + "' is unknown; there are: "
            + Arrays.stream(values()).map(BlockStyle::label).collect(Collectors.joining(", ")));
  }
}
