package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;

/**
 * Attention over the packed sequences of a batch, forward and backward, on a block's {@code qkv}
 * (N, 3D).
 */
final class BatchAttention {
  private final Kernels kernels;
  private final ModelConfig config;

  BatchAttention(Kernels kernels, ModelConfig config) {
    this.kernels = kernels;
    this.config = config;
  }

  void forward(Batch batch, Activations.Block a, float dropout, long key, long stream) {
    long d = config.width();
    kernels
        .attention()
        .forward(
            batch.sequences(),
            batch.offsets(),
            batch.rows(),
            config.heads(),
            config.headWidth(),
            a.qkv(),
            3 * d,
            from(a.qkv(), d),
            3 * d,
            from(a.qkv(), 2 * d),
            3 * d,
            dropout,
            key,
            stream,
            a.attention(),
            d,
            a.logSumExp());
  }

  void backward(
      Batch batch,
      Activations.Block a,
      float dropout,
      long key,
      long stream,
      Buffer dOut,
      Buffer dQkv) {
    long d = config.width();
    kernels
        .attention()
        .backward(
            batch.sequences(),
            batch.offsets(),
            batch.rows(),
            config.heads(),
            config.headWidth(),
            a.qkv(),
            3 * d,
            from(a.qkv(), d),
            3 * d,
            from(a.qkv(), 2 * d),
            3 * d,
            dropout,
            key,
            stream,
            a.attention(),
            d,
            a.logSumExp(),
            dOut,
            d,
            dQkv,
            3 * d,
            from(dQkv, d),
            3 * d,
            from(dQkv, 2 * d),
            3 * d);
  }

  private static Buffer from(Buffer buffer, long offset) {
    return buffer.slice(offset, buffer.count() - offset);
  }
}
