/**
 * Sparse autoencoders on hidden states: training, files, and how well they reconstruct.
 *
 * <p>A TopK autoencoder of F features keeps the K largest of W_enc (x - b_dec) + b_enc, rectifies
 * them, and sums their decoder rows. {@link dev.rhumb.sae.SaeTrainer} makes one, {@link
 * dev.rhumb.sae.SparseAutoencoder} is one.
 */
package dev.rhumb.sae;
