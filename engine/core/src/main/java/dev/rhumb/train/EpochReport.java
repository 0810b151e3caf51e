package dev.rhumb.train;

/**
 * What an epoch gave.
 *
 * @param epoch from 1
 * @param loss mean training loss over its steps
 * @param validationNdcg NDCG@10 on the validation cases
 * @param validationHitRate HR@10 on the validation cases
 * @param trainSeconds time of its steps
 * @param validationSeconds time of its validation
 * @param best whether this is the best epoch so far
 */
public record EpochReport(
    int epoch,
    double loss,
    double validationNdcg,
    double validationHitRate,
    double trainSeconds,
    double validationSeconds,
    boolean best) {}
