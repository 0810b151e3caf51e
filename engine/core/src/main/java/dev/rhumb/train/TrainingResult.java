package dev.rhumb.train;

import java.util.List;

/**
 * What a training run gave.
 *
 * @param history every epoch, those before a resume too
 * @param bestEpoch the epoch whose weights the model folder holds
 */
public record TrainingResult(List<EpochReport> history, int bestEpoch) {
  /** Copies the list. */
  public TrainingResult {
    history = List.copyOf(history);
  }

  /** The report of the best epoch. */
  public EpochReport best() {
    return history.get(bestEpoch - 1);
  }
}
