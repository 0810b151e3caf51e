package dev.rhumb.data;

/**
 * A dataset divided for training and evaluation: views, which end with their dataset.
 *
 * @param name how it was divided
 * @param train what the transformer learns from
 * @param validation cases for the choice of the best checkpoint
 * @param test cases for the reported figures
 * @param sae what the sparse autoencoder learns from
 */
public record Split(String name, Sequences train, Cases validation, Cases test, Sequences sae) {}
