package dev.rhumb.model;

import java.util.Locale;

/**
 * A place in the transformer where hidden states are read and may be edited.
 *
 * @param kind what is read there
 * @param block which block, from 0; 0 for {@link Kind#LAST}
 */
public record Site(Kind kind, int block) {
  /** Kinds of places. */
  public enum Kind {
    /** The residual stream after a block. */
    BLOCK,
    /** What a block's MLP adds to the residual stream. */
    MLP,
    /** After the final norm: what items are scored against. */
    LAST
  }

  /** After the final norm. */
  public static final Site LAST = new Site(Kind.LAST, 0);

  /** Refuses a negative block. */
  public Site {
    if (block < 0 || (kind == Kind.LAST && block != 0)) {
      throw new IllegalArgumentException("site: there is no block " + block + " for " + kind);
    }
  }

  /**
   * Reads {@code block N}, {@code mlp N} or {@code last}; a hyphen may stand for the space.
   *
   * @throws IllegalArgumentException when it is none of these
   */
  public static Site parse(String text) {
    String[] parts = text.strip().toLowerCase(Locale.ROOT).split("[ -]+");
    try {
      if (parts.length == 1 && parts[0].equals("last")) {
        return LAST;
      }
      if (parts.length == 2 && parts[0].equals("block")) {
        return new Site(Kind.BLOCK, Integer.parseInt(parts[1]));
      }
      if (parts.length == 2 && parts[0].equals("mlp")) {
        return new Site(Kind.MLP, Integer.parseInt(parts[1]));
      }
    } catch (NumberFormatException e) {
      // The refusal below says all there is to say.
    }
    throw new IllegalArgumentException(
        "site '" + text + "' is unknown; write 'block 0', 'mlp 0' or 'last'");
  }

  /** Refuses a block that the model lacks. */
  public Site requireIn(ModelConfig config) {
    if (block >= config.layers()) {
      throw new IllegalArgumentException(
          "site '"
              + this
              + "': the model has "
              + config.layers()
              + " blocks, 0 to "
              + (config.layers() - 1));
    }
    return this;
  }

  /** The name of its folder: {@code block-0}, {@code mlp-1}, {@code last}. */
  public String folder() {
    return toString().replace(' ', '-');
  }

  @Override
  public String toString() {
    return switch (kind) {
      case BLOCK -> "block " + block;
      case MLP -> "mlp " + block;
      case LAST -> "last";
    };
  }
}
