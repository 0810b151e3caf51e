package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;

/**
 * Attention over the packed sequences of a batch, forward and backward, on a block's {@code qkv}
 * (N, 3D).
 *
 * <p>Ownership: owns the rows of padding.
 */
final class BatchAttention implements AutoCloseable {
  private final Kernels kernels;
  private final ModelConfig config;
  private final PadRows padding;

  /** The batch of the pass under way. */
  Batch batch;

  BatchAttention(Kernels kernels, Model model) {
    this.kernels = kernels;
    config = model.config();
    padding = PadRows.of(kernels, model);
  }

  void forward(Block block) {
    long d = config.width();
    Activations.Block a = block.a;
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
            block.keys,
            3 * d,
            block.values,
            3 * d,
            block.steps.dropout,
            block.steps.key,
            block.attentionStream(),
            a.attention(),
            d,
            a.logSumExp());
    if (padding != null) {
      kernels
          .attention()
          .addPadding(
              batch.sequences(),
              batch.offsets(),
              batch.rows(),
              config.maxLength(),
              config.heads(),
              config.headWidth(),
              a.qkv(),
              3 * d,
              padding.key(block.index),
              padding.value(block.index),
              a.logSumExp(),
              a.attention(),
              d);
    }
  }

  void backward(Block block, Block.Deltas deltas) {
    long d = config.width();
    Activations.Block a = block.a;
    Buffer dQkv = deltas.qkv();
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
            block.keys,
            3 * d,
            block.values,
            3 * d,
            block.steps.dropout,
            block.steps.key,
            block.attentionStream(),
            a.attention(),
            d,
            a.logSumExp(),
            deltas.attention(),
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

  @Override
  public void close() {
    if (padding != null) {
      padding.close();
    }
  }
}
