package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;

/** Changes hidden states at a site on the way through a model. */
public interface StateEdit {
  /** Where. */
  Site site();

  /**
   * Changes the states in place.
   *
   * @param batch whose rows they are
   * @param state (rows, D), contiguous
   */
  void apply(Batch batch, Buffer state);
}
