/**
 * Sparse autoencoders on hidden states: training, files, and how well they reconstruct.
 *
 * <p>An autoencoder of F features scores each by W_enc (x - b_dec) + b_enc, selects some, and sums
 * their decoder rows. {@link dev.rhumb.sae.SaeVariant} says how one learns to be sparse, {@link
 * dev.rhumb.sae.SaeTrainer} makes one, {@link dev.rhumb.sae.SparseAutoencoder} is one.
 */
package dev.rhumb.sae;
