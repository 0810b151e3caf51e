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
  private final Buffer slopes;

  /** The gradient in each prefix's reconstruction by itself, but for the last. */
  private final List<Buffer> ownGradients = new ArrayList<>();

  MatryoshkaLoss(SaeVariant.Matryoshka variant, Setting setting) {
    super(setting, variant.prefixes().size() - 1);
    prefixes = variant.prefixes();
    selector = new Selector(kernels, variant.selection(), features, setting.batch(), least);
    indices = kernels.allocate(DType.I32, selector.indices.count());
    values = kernels.allocate(DType.F32, selector.values.count());
    slopes = kernels.allocate(DType.F32, selector.values.count());
    for (int i = 0; i < prefixes.size() - 1; i++) {
      ownGradients.add(kernels.allocate(DType.F32, error.count()));
    }
  }

  @Override
  void descend(Buffer x, int rows) {
    long elements = (long) rows * width;
    int room = selector.room;
    selector.select(encoder, x, rows);
    int last = prefixes.size() - 1;
    for (int level = 0; level <= last; level++) {
      slice(rows, level);
      // What is left of x by the prefix before is what this one's entries are to reconstruct.
      decodeLoss(
          level == 0 ? x : error,
          rows,
          room,
          2.0 / prefixes.size(),
          indices,
          values,
          level == 0,
          error,
          level == last ? slope : ownGradients.get(level),
          level == last ? squares : rowReport(level),
          level == last ? slopes : null);
    }
    backward(x, rows, room, slope, 0, indices, values, slopes, last == 0);
    for (int level = last - 1; level >= 0; level--) {
      dense.add(elements, 1, ownGradients.get(level), 1, slope, slope);
      slice(rows, level);
      backward(x, rows, room, slope, 0, indices, values, null, level == 0);
    }
    count(rows, room, selector.indices, selector.values);
  }

  @Override
  void finish(int rows, double variance) {
    int levels = prefixes.size();
    for (int level = 0; level < levels - 1; level++) {
      penalty += sum(level) / (variance * levels);
    }
    // The whole loss is the mean over prefixes; the last one's part is counted as the main loss.
    penalty -= (1 - 1.0 / levels) * main;
    selector.selected(leastSelected());
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
    ownGradients.forEach(Buffer::close);
    slopes.close();
    indices.close();
    values.close();
    selector.close();
    super.close();
  }
}
