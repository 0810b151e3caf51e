package dev.rhumb.bench.speed;

import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;

/**
 * The transformer of the tasks, and the histories that it reads: SASRec as in targets.md, one head,
 * full windows, fresh weights that are the same for every library.
 *
 * @param length T: every history has as many items
 */
public record Transformer(int items, int length, int width, int layers) {
  private static final long SEED = 1;

  /** Its architecture. */
  public ModelConfig config() {
    return ModelConfig.of(BlockStyle.SASREC, items, width, layers, 1, length, 0);
  }

  /** Its weights; the caller closes the model. */
  public Model model(Kernels kernels) {
    return Model.initialise(kernels, config(), SEED);
  }

  /** A history of T different items. */
  public int[] history(int sequence) {
    return items(sequence, length);
  }

  /** The item after each of a history's, (T). */
  public int[] targets(int sequence) {
    return java.util.Arrays.copyOfRange(items(sequence, length + 1), 1, length + 1);
  }

  /** The first items of an endless sequence. */
  int[] items(int sequence, int count) {
    int[] all = new int[count];
    for (int t = 0; t < count; t++) {
      all[t] = 1 + (int) ((sequence * 7919L + t * 31L) % items);
    }
    return all;
  }

  /**
   * Floating-point operations of the blocks over one history of n items; attention counted over all
   * pairs, as targets.md does.
   */
  double flops(int n) {
    return layers * 2.0 * n * (6.0 * width * width + 2.0 * n * width);
  }

  String shape() {
    return "T " + length + ", D " + width + ", V " + items;
  }
}
