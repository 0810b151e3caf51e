package dev.rhumb.model;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;

/**
 * The keys and values of padding in every block. A row of padding sees nothing but such rows, so
 * all are equal, whatever the sequence: one is run once.
 *
 * <p>Ownership: owns its memory.
 */
final class PadRows implements AutoCloseable {
  private final long d;
  private final Buffer memory;
  private final Buffer[] keys;
  private final Buffer[] values;

  private PadRows(Kernels kernels, ModelConfig config) {
    d = config.width();
    memory = kernels.allocate(DType.F32, 2 * d * config.layers());
    keys = new Buffer[config.layers()];
    values = new Buffer[config.layers()];
    for (int i = 0; i < keys.length; i++) {
      keys[i] = memory.slice(2 * d * i, d);
      values[i] = memory.slice(2 * d * i + d, d);
    }
  }

  /** Those of a model, or null where nothing is padded. */
  static PadRows of(Kernels kernels, Model model) {
    ModelConfig config = model.config();
    if (config.wiring().padding() == Padding.NONE) {
      return null;
    }
    PadRows rows = new PadRows(kernels, config);
    try (Activations activations = new Activations(kernels, config, 1, false);
        Forward forward = new Forward(kernels, model, activations, rows::attend)) {
      long d = config.width();
      Buffer state = activations.embedded.slice(0, d);
      forward.steps.rows = 1;
      boolean zeroed = config.wiring().padding() == Padding.LEFT_ZEROED;
      if (!zeroed) {
        float scale = config.embeddingScale();
        kernels.dense().add(d, scale, model.itemTable(), 0, model.itemTable(), state);
      }
      for (int i = 0; i < config.layers(); i++) {
        if (zeroed) {
          state.zero();
        }
        forward.blocks(i, i + 1);
      }
    } catch (RuntimeException | Error e) {
      rows.close();
      throw e;
    }
    return rows;
  }

  /** Over equal keys attention gives the one value. */
  private void attend(Block block) {
    key(block.index).copyFrom(block.a.qkv().slice(d, d));
    value(block.index).copyFrom(block.a.qkv().slice(2 * d, d));
    block.a.attention().slice(0, d).copyFrom(value(block.index));
  }

  /** (D). */
  Buffer key(int block) {
    return keys[block];
  }

  /** (D). */
  Buffer value(int block) {
    return values[block];
  }

  @Override
  public void close() {
    memory.close();
  }
}
