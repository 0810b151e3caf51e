package dev.rhumb.train;

/**
 * How the learning rate goes over a run.
 *
 * @param warmUpSteps steps over which it rises linearly to its full height; 0 for none
 * @param decay what it does after that
 */
public record Schedule(int warmUpSteps, Decay decay) {
  /** The same learning rate from the first step to the last. */
  public static final Schedule CONSTANT = new Schedule(0, Decay.CONSTANT);

  /** What the learning rate does after the warm-up. */
  public enum Decay {
    /** Stays. */
    CONSTANT,
    /** Falls along half a cosine to 0 at the end of the last epoch (Loshchilov, Hutter 2017). */
    COSINE
  }

  /** Refuses impossible settings, naming the value and its bounds. */
  public Schedule {
    if (warmUpSteps < 0) {
      throw new IllegalArgumentException(
          "training: warm-up of " + warmUpSteps + " steps must be 0 or more");
    }
    if (decay == null) {
      throw new IllegalArgumentException("training: a schedule needs a decay");
    }
  }

  /**
   * The share of the full learning rate at a step.
   *
   * @param step from 1 to {@code steps}
   * @param steps of the whole run
   */
  double at(long step, long steps) {
    if (step < warmUpSteps) {
      return step / (double) warmUpSteps;
    }
    return switch (decay) {
      case CONSTANT -> 1;
      case COSINE -> {
        double done = (step - warmUpSteps) / (steps - warmUpSteps + 1.0);
        yield (1 + Math.cos(Math.PI * done)) / 2;
      }
    };
  }
}
