package dev.rhumb.model;

import java.util.Locale;

/** How a block of the transformer is wired. */
public enum BlockStyle {
  /**
   * SASRec (Kang, McAuley 2018) as replicated by "Turning Dross Into Gold Loss" (Klenitskiy,
   * Vasilev 2023): embeddings times sqrt(D); q = LN(h), h = q + Attention(q, h, h), h = LN(h), h =
   * h + dropout(W2 relu(dropout(W1 h))).
   */
  SASREC,
  /**
   * GPT-2 (Radford et al. 2019), pre-norm: h = h + dropout(Attention(LN(h))), h = h + dropout(W2
   * gelu(W1 LN(h))); residual projections start smaller by 1 / sqrt(2 layers).
   */
  GPT2;

  /** The name in configurations and on the command line. */
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** The style of a label. */
  public static BlockStyle of(String label) {
    for (BlockStyle style : values()) {
      if (style.label().equals(label)) {
        return style;
      }
    }
    throw new IllegalArgumentException(
        "block style '" + label + "' is unknown; there are: sasrec, gpt2");
  }
}
