package dev.rhumb.train;

/**
 * Training met a loss, gradient or parameter that is not finite and stopped; the last good
 * checkpoint stays.
 */
public final class TrainingDivergedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** The message names the step, the tensor and a mend. */
  public TrainingDivergedException(String message) {
    super(message);
  }
}
