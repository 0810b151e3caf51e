package dev.rhumb.train;

import java.util.List;

/**
 * What a training run gave.
 *
 * @param history every report, those before a resume too
 * @param bestEpoch the epoch whose weights the model folder holds
 */
public record TrainingResult(List<EpochReport> history, int bestEpoch) {
  /** Copies the list. */
  public TrainingResult {
    history = List.copyOf(history);
  }

  /** The best report. */
  public EpochReport best() {
    return history.stream().filter(EpochReport::best).reduce((first, last) -> last).orElseThrow();
  }
}
