package dev.rhumb.model;

/**
 * The architecture of a transformer over item sequences. The output is tied to the item embedding.
 *
 * @param style wiring of the blocks
 * @param items V; ids are 1..V, 0 is padding
 * @param width D, a multiple of heads
 * @param layers number of blocks
 * @param heads H
 * @param maxLength T, positions that the model knows
 * @param feedForward inner width of the MLP
 * @param dropout probability in training, on embeddings, attention weights and MLP outputs
 * @param normEps epsilon of every norm
 * @param wiring what the style leaves open
 */
public record ModelConfig(
    BlockStyle style,
    int items,
    int width,
    int layers,
    int heads,
    int maxLength,
    int feedForward,
    float dropout,
    float normEps,
    Wiring wiring) {

  /** Refuses an impossible architecture, naming the value and its bounds. */
  public ModelConfig {
    bounds("items", items, 1, Integer.MAX_VALUE - 64);
    bounds("width", width, 1, 8192);
    bounds("layers", layers, 1, 64);
    bounds("heads", heads, 1, width);
    bounds("max length", maxLength, 1, 1 << 16);
    bounds("feed-forward width", feedForward, 1, 1 << 16);
    if (width % heads != 0) {
      throw new IllegalArgumentException(
          "model: width "
              + width
              + " is no multiple of "
              + heads
              + " heads; choose heads that divide the width");
    }
    if (style == BlockStyle.MODERN && width / heads % 2 != 0) {
      throw new IllegalArgumentException(
          "model: rotary positions turn pairs, so a head's width of "
              + width / heads
              + " must be even; choose other heads or another width");
    }
    if ((items + 1L) * width > Integer.MAX_VALUE - 64) {
      throw new IllegalArgumentException(
          "model: an item embedding of "
              + items
              + " items x width "
              + width
              + " has more than 2147483583 values; lower the width, or leave out rare items");
    }
    if (!(dropout >= 0 && dropout < 1)) {
      throw new IllegalArgumentException(
          "model: dropout " + dropout + " must be from 0 to below 1");
    }
    if (!(normEps > 0 && normEps < 1)) {
      throw new IllegalArgumentException(
          "model: norm epsilon " + normEps + " must be above 0 and below 1");
    }
    wiring.requireFits(style);
  }

  /** An architecture with the usual wiring of its style. */
  public ModelConfig(
      BlockStyle style,
      int items,
      int width,
      int layers,
      int heads,
      int maxLength,
      int feedForward,
      float dropout,
      float normEps) {
    this(
        style,
        items,
        width,
        layers,
        heads,
        maxLength,
        feedForward,
        dropout,
        normEps,
        Wiring.of(style));
  }

  /**
   * The usual architecture of a style. The MLP is as wide as the model in SASRec, four times that
   * in GPT-2 and post-norm, and 8/3 of it in the modern style, in steps of 8: so its three matrices
   * have as many parameters as the two others.
   */
  public static ModelConfig of(
      BlockStyle style, int items, int width, int layers, int heads, int maxLength, float dropout) {
    int inner =
        switch (style) {
          case SASREC -> width;
          case GPT2, POST_LN -> 4 * width;
          case MODERN -> 8 * Math.max(1, Math.round(width / 3f));
        };
    float eps =
        switch (style) {
          case SASREC -> 1e-8f;
          case GPT2 -> 1e-5f;
          case POST_LN -> 1e-12f;
          case MODERN -> 1e-6f;
        };
    return new ModelConfig(style, items, width, layers, heads, maxLength, inner, dropout, eps);
  }

  /** Width of one head. */
  public int headWidth() {
    return width / heads;
  }

  /** Width of the MLP's first projection: in the modern style the gate stands beside it. */
  int upWidth() {
    return style == BlockStyle.MODERN ? 2 * feedForward : feedForward;
  }

  /** Whether positions are an embedding of their own. */
  boolean learnedPositions() {
    return style != BlockStyle.MODERN;
  }

  /** Whether linear layers and norms have biases. */
  boolean biased() {
    return style != BlockStyle.MODERN;
  }

  /** Factor on item embeddings at the input. */
  float embeddingScale() {
    return wiring.scaledEmbedding() ? (float) Math.sqrt(width) : 1;
  }

  /** The usual wiring goes without saying: training states know their architecture by this text. */
  @Override
  public String toString() {
    return "ModelConfig[style="
        + style
        + ", items="
        + items
        + ", width="
        + width
        + ", layers="
        + layers
        + ", heads="
        + heads
        + ", maxLength="
        + maxLength
        + ", feedForward="
        + feedForward
        + ", dropout="
        + dropout
        + ", normEps="
        + normEps
        + (wiring.equals(Wiring.of(style)) ? "" : ", wiring=" + wiring)
        + "]";
  }

  private static void bounds(String name, int value, int least, int most) {
    if (value < least || value > most) {
      throw new IllegalArgumentException(
          "model: " + name + " " + value + " must be from " + least + " to " + most);
    }
  }
}
