package dev.rhumb.sae;

import java.util.Arrays;

/** The form of a trained autoencoder: how its scores select features. */
public enum SaeArchitecture {
  /** The K largest scores of a row, rectified. */
  TOP_K("topk"),
  /** Every score above 0. */
  STANDARD("standard"),
  /** Every score above a threshold of its feature. */
  JUMP_RELU("jumprelu"),
  /** Every feature whose gate's score is above 0, with a magnitude of its own. */
  GATED("gated");

  private final String label;

  SaeArchitecture(String label) {
    this.label = label;
  }

  /** Its name in files, which is SAELens's. */
  public String label() {
    return label;
  }

  /**
   * The architecture of that name.
   *
   * @throws IllegalArgumentException when there is none: it names those there are
   */
  public static SaeArchitecture of(String label) {
    for (SaeArchitecture one : values()) {
      if (one.label.equals(label)) {
        return one;
      }
    }
    throw new IllegalArgumentException(
        "there are "
            + String.join(", ", Arrays.stream(values()).map(SaeArchitecture::label).toList()));
  }
}
