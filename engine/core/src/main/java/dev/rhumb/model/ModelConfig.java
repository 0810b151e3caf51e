package dev.rhumb.model;

/**
 * The architecture of a transformer over item sequences. Positions are learned, the output is tied
 * to the item embedding.
 *
 * @param style wiring of the blocks
 * @param items V; ids are 1..V, 0 is padding
 * @param width D, a multiple of heads
 * @param layers number of blocks
 * @param heads H
 * @param maxLength T, positions that the model knows
 * @param feedForward inner width of the MLP
 * @param dropout probability in training, on embeddings, attention weights and MLP outputs
 * @param normEps epsilon of every layer norm
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
    float normEps) {

  /** Refuses an impossible architecture, naming the value and its bounds. */
  public ModelConfig {
    bounds("items", items, 1, Integer.MAX_VALUE - 64);
    bounds("width", width, 1, 8192);
    bounds("layers", layers, 1, 64);
    bounds("heads", heads, 1, width);
    bounds("max length", maxLength, 1, 1 << 20);
    bounds("feed-forward width", feedForward, 1, 1 << 16);
    if (width % heads != 0) {
      throw new IllegalArgumentException(
          "model: width "
              + width
              + " is no multiple of "
              + heads
              + " heads; choose heads that divide the width");
    }
    if (!(dropout >= 0 && dropout < 1)) {
      throw new IllegalArgumentException(
          "model: dropout " + dropout + " must be from 0 to below 1");
    }
    if (!(normEps > 0 && normEps < 1)) {
      throw new IllegalArgumentException(
          "model: norm epsilon " + normEps + " must be above 0 and below 1");
    }
  }

  /**
   * The usual architecture of a style: SASRec has an MLP as wide as the model, GPT-2 four times
   * that.
   */
  public static ModelConfig of(
      BlockStyle style, int items, int width, int layers, int heads, int maxLength, float dropout) {
    return switch (style) {
      case SASREC ->
          new ModelConfig(style, items, width, layers, heads, maxLength, width, dropout, 1e-8f);
      case GPT2 ->
          new ModelConfig(style, items, width, layers, heads, maxLength, 4 * width, dropout, 1e-5f);
    };
  }

  /** Width of one head. */
  public int headWidth() {
    return width / heads;
  }

  /** Factor on item embeddings at the input. */
  float embeddingScale() {
    return style == BlockStyle.SASREC ? (float) Math.sqrt(width) : 1;
  }

  private static void bounds(String name, int value, int least, int most) {
    if (value < least || value > most) {
      throw new IllegalArgumentException(
          "model: " + name + " " + value + " must be from " + least + " to " + most);
    }
  }
}
