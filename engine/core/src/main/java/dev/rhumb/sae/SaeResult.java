package dev.rhumb.sae;

/**
 * What training gave.
 *
 * @param sae the autoencoder, on raw hidden states; the caller closes it
 * @param loss mean over the last tenth of the steps of the fraction of variance unexplained
 * @param dead features that were dead at the end, by {@link SaeConfig#deadGaps}
 * @param positions rows of hidden state in an epoch
 * @param mean of all hidden states: training took it off
 * @param deviation of all hidden states: training divided by it
 */
public record SaeResult(
    SparseAutoencoder sae, double loss, int dead, long positions, double mean, double deviation) {}
