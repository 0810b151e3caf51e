package dev.rhumb.train;

/**
 * What an epoch gave, or the steps between two validations where those are counted in steps.
 *
 * @param epoch from 1, that of the last step
 * @param step steps of the run up to here
 * @param loss mean training loss over the steps since the report before
 * @param learningRate at the last step; NaN where an older run did not note it
 * @param validationNdcg NDCG@10 on the validation cases; NaN where there was no validation
 * @param validationHitRate HR@10 on the validation cases; NaN likewise
 * @param trainSeconds time of its steps
 * @param validationSeconds time of its validation
 * @param best whether this is the best so far
 */
public record EpochReport(
    int epoch,
    long step,
    double loss,
    double learningRate,
    double validationNdcg,
    double validationHitRate,
    double trainSeconds,
    double validationSeconds,
    boolean best) {

  /** Whether there was a validation. */
  public boolean validated() {
    return !Double.isNaN(validationNdcg);
  }

  EpochReport notBest() {
    return new EpochReport(
        epoch,
        step,
        loss,
        learningRate,
        validationNdcg,
        validationHitRate,
        trainSeconds,
        validationSeconds,
        false);
  }
}
