package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.util.ArrayList;
import java.util.List;

/**
 * The loss of {@link SaeVariant.Matryoshka}. The reconstruction of a prefix is that of the one
 * before it and what the features between them add; so the gradient in the activation of such a
 * feature is that of all reconstructions from its prefix on.
 */
final class MatryoshkaLoss extends SaeLoss {
  private final List<Integer> prefixes;
  private final Selector selector;
  private final Buffer indices;
  private final Buffer values;

  /** x less each prefix's reconstruction. */
  private final List<Buffer> errors = new ArrayList<>();

  MatryoshkaLoss(SaeVariant.Matryoshka variant, Setting setting) {
    super(setting);
    prefixes = variant.prefixes();
    selector = new Selector(kernels, variant.selection(), features, setting.batch());
    indices = kernels.allocate(DType.I32, selector.indices.count());
    values = kernels.allocate(DType.F32, selector.values.count());
    for (int i = 0; i < prefixes.size() - 1; i++) {
      errors.add(kernels.allocate(DType.F32, error.count()));
    }
    errors.add(error);
  }

  @Override
  void descend(Buffer x, int rows, double variance) {
    long elements = (long) rows * width;
    selector.select(encoder, x, rows);
    int levels = prefixes.size();
    for (int level = 0; level < levels; level++) {
      slice(rows, level);
      decode(rows, selector.room, indices, values, level == 0, slope);
      dense.add(elements, 1, level == 0 ? x : errors.get(level - 1), -1, slope, errors.get(level));
    }
    float factor = (float) (-2 / (variance * levels));
    for (int level = levels - 1; level >= 0; level--) {
      boolean last = level == levels - 1;
      Buffer before = last ? error : slope;
      dense.add(elements, factor, errors.get(level), last ? 0 : 1, before, slope);
      slice(rows, level);
      backward(x, rows, selector.room, slope, 0, indices, values, level == 0);
      if (!last) {
        penalty += squares(errors.get(level), elements) / (variance * levels);
      }
    }
    // The whole loss is the mean over prefixes; the last one's part is counted as the main loss.
    penalty -= (1 - 1.0 / levels) * squares(error, elements) / variance;
    count(rows, selector.room, selector.indices, selector.values);
  }

  /** Takes the entries that a prefix adds to the one before it. */
  private void slice(int rows, int level) {
    int low = level == 0 ? 0 : prefixes.get(level - 1);
    sae.slice(
        rows,
        selector.room,
        features,
        low,
        prefixes.get(level),
        selector.indices,
        selector.values,
        indices,
        values);
  }

  @Override
  double batchThreshold() {
    return selector.threshold();
  }

  @Override
  public void close() {
    for (Buffer one : errors.subList(0, errors.size() - 1)) {
      one.close();
    }
    indices.close();
    values.close();
    selector.close();
    super.close();
  }
}
