package dev.rhumb.sae;

/** Follows the training of an autoencoder. */
@FunctionalInterface
public interface SaeListener {
  /** Hears nothing. */
  SaeListener NONE = (step, steps, loss, auxLoss, dead) -> {};

  /**
   * After a step.
   *
   * @param step from 1
   * @param steps how many there will be
   * @param loss the fraction of variance unexplained on the step's batch
   * @param auxLoss the auxiliary loss with its weight; 0 where no feature is dead
   * @param dead number of dead features
   */
  void onStep(int step, int steps, double loss, double auxLoss, int dead);
}
