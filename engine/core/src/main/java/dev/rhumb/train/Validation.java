package dev.rhumb.train;

/**
 * When a run is validated, and by what its best weights are chosen.
 *
 * @param every epochs or steps between validations; after the last step there is always one
 * @param unit what is counted
 * @param metric which weights are best
 */
public record Validation(int every, Unit unit, Metric metric) {
  /** After every epoch, by NDCG@10. */
  public static final Validation EVERY_EPOCH = new Validation(1, Unit.EPOCHS, Metric.NDCG);

  /** What is counted between validations. */
  public enum Unit {
    /** Passes over the users. */
    EPOCHS,
    /** Steps; a run then reports and saves at each validation, not at each epoch. */
    STEPS
  }

  /** What is better when it is higher, on the validation cases. */
  public enum Metric {
    /** NDCG@10. */
    NDCG,
    /** HR@10. */
    HIT_RATE;

    double of(EpochReport report) {
      return this == NDCG ? report.validationNdcg() : report.validationHitRate();
    }
  }

  /** Refuses impossible settings, naming the value and its bounds. */
  public Validation {
    if (every < 1) {
      throw new IllegalArgumentException(
          "training: validation every " + every + " must be 1 or more epochs or steps");
    }
    if (unit == null || metric == null) {
      throw new IllegalArgumentException("training: validation needs a unit and a metric");
    }
  }
}
