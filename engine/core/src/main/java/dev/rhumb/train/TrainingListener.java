package dev.rhumb.train;

/** Told of progress on the training thread; does nothing by default. */
public interface TrainingListener {
  /** After a step: how many of the epoch's steps are done. */
  default void onStep(int epoch, int step, int steps, float loss) {}

  /** After an epoch and its checkpoint. */
  default void onEpoch(EpochReport report) {}
}
