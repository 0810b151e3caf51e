package dev.rhumb.sae;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;

/** The loss of {@link SaeVariant.TopK} and {@link SaeVariant.BatchTopK}. */
final class SelectionLoss extends SaeLoss {
  private final Selector selector;
  private final Buffer slopes;

  SelectionLoss(SaeVariant variant, Setting setting) {
    super(setting, 0);
    selector = new Selector(kernels, variant, features, setting.batch(), least);
    slopes = kernels.allocate(DType.F32, selector.values.count());
  }

  @Override
  void descend(Buffer x, int rows) {
    int room = selector.room;
    Buffer indices = selector.indices;
    Buffer values = selector.values;
    selector.select(encoder, x, rows);
    decodeLoss(x, rows, room, 2, indices, values, true, errorOrNull(), slope, squares, slopes);
    backward(x, rows, room, slope, 0, indices, values, slopes, true);
    count(rows, room, indices, values);
  }

  @Override
  void finish(int rows, double variance) {
    selector.selected(leastSelected());
  }

  @Override
  double batchThreshold() {
    return selector.threshold();
  }

  @Override
  public void close() {
    selector.close();
    slopes.close();
    super.close();
  }
}
