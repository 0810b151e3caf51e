package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;

/** The loss of {@link SaeVariant.TopK} and {@link SaeVariant.BatchTopK}. */
final class SelectionLoss extends SaeLoss {
  private final Selector selector;

  SelectionLoss(SaeVariant variant, Setting setting) {
    super(setting);
    selector = new Selector(kernels, variant, features, setting.batch());
  }

  @Override
  void descend(Buffer x, int rows, double variance) {
    long elements = (long) rows * width;
    int room = selector.room;
    selector.select(encoder, x, rows);
    decode(rows, room, selector.indices, selector.values, true, error);
    dense.add(elements, 1, x, -1, error, error);
    dense.add(elements, (float) (-2 / variance), error, 0, error, slope);
    backward(x, rows, room, slope, 0, selector.indices, selector.values, true);
    count(rows, room, selector.indices, selector.values);
  }

  @Override
  double batchThreshold() {
    return selector.threshold();
  }

  @Override
  public void close() {
    selector.close();
    super.close();
  }
}
