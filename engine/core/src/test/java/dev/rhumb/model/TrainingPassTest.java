package dev.rhumb.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The gradients of the whole model against finite differences of its loss, every parameter tensor,
 * dropout masks fixed.
 */
class TrainingPassTest {
  private static final int ITEMS = 11;

  private static ModelConfig tiny(BlockStyle style, float dropout) {
    // Heads of an odd width, except where rotary positions turn pairs.
    int width = style == BlockStyle.MODERN ? 8 : 6;
    return new ModelConfig(
        style, ITEMS, width, 2, 2, 7, style == BlockStyle.SASREC ? 6 : 10, dropout, 1e-5f);
  }

  /** Parameters large enough that every path carries gradient. */
  private static void scramble(Model model) {
    int number = 0;
    for (Tensor tensor : model.parameters().tensors()) {
      float[] values = tensor.data().floats();
      for (int i = 0; i < values.length; i++) {
        values[i] += 0.3f * (float) Philox.normal(99, 7, number, i);
      }
      tensor.data().put(0, values, 0, values.length);
      number++;
    }
  }

  private static Batch batch(Kernels kernels) {
    Batch batch = new Batch(kernels, 3, 16);
    batch.addWithTargets(new int[] {3, 5, 7, 3, 9, 11}, 0, 5);
    batch.addWithTargets(new int[] {1, 2}, 0, 1);
    batch.addWithTargets(new int[] {8, 8, 4, 6, 10, 2, 1, 5}, 0, 7);
    batch.seal();
    return batch;
  }

  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void gradientsMatchFiniteDifferences(BlockStyle style) {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Model model = Model.initialise(kernels, tiny(style, 0.2f), 5);
        TrainingPass pass = new TrainingPass(kernels, model, 16);
        Batch batch = batch(kernels)) {
      scramble(model);
      pass.run(batch, 17, 3);
      float[][] gradients = new float[model.parameters().tensors().size()][];
      for (int t = 0; t < gradients.length; t++) {
        gradients[t] = pass.gradients().get(model.parameters().tensors().get(t).name()).floats();
      }
      for (int t = 0; t < gradients.length; t++) {
        Tensor tensor = model.parameters().tensors().get(t);
        // One direction a tensor: the sum of all partial derivatives along random signs.
        int n = (int) tensor.data().count();
        float[] before = tensor.data().floats();
        double predicted = 0;
        double norm = 0;
        float[] direction = new float[n];
        for (int i = 0; i < n; i++) {
          direction[i] = (Philox.bits(31, 0, t, i) & 1) == 0 ? 1 : -1;
          predicted += direction[i] * (double) gradients[t][i];
          norm += (double) gradients[t][i] * gradients[t][i];
        }
        double measured = slope(pass, batch, 17, tensor.data(), before, direction, 2e-3f);
        assertEquals(predicted, measured, 2e-3 * Math.sqrt(norm) + 2e-3, tensor.name());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void singleEntriesMatchFiniteDifferences(BlockStyle style) {
    try (Kernels kernels = Kernels.open(Backend.SCALAR, 1);
        Model model = Model.initialise(kernels, tiny(style, 0), 6);
        TrainingPass pass = new TrainingPass(kernels, model, 16);
        Batch batch = batch(kernels)) {
      scramble(model);
      pass.run(batch, 1, 3);
      int number = 0;
      for (Tensor tensor : model.parameters().tensors()) {
        float[] gradient = pass.gradients().get(tensor.name()).floats();
        float[] before = tensor.data().floats();
        for (int probe = 0; probe < 3; probe++) {
          int i = Math.floorMod(Philox.bits(8, 0, number, probe), before.length);
          float[] direction = new float[before.length];
          direction[i] = 1;
          double measured = slope(pass, batch, 1, tensor.data(), before, direction, 5e-3f);
          assertEquals(
              gradient[i],
              measured,
              3e-2 * Math.abs(gradient[i]) + 6e-4,
              tensor.name() + "[" + i + "]");
          pass.run(batch, 1, 3);
        }
        number++;
      }
    }
  }

  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void backendsAgree(BlockStyle style) {
    float[][] losses = new float[2][2];
    float[][] norms = new float[2][];
    int at = 0;
    for (Backend backend : new Backend[] {Backend.SCALAR, Backend.SIMD}) {
      try (Kernels kernels = Kernels.open(backend, 2);
          Model model = Model.initialise(kernels, tiny(style, 0.1f), 6);
          TrainingPass pass = new TrainingPass(kernels, model, 16);
          Batch batch = batch(kernels)) {
        scramble(model);
        losses[at][0] = pass.run(batch, 1, 3);
        norms[at++] = pass.gradients().flat().floats();
      }
    }
    assertEquals(losses[0][0], losses[1][0], 1e-5 * losses[0][0]);
    for (int i = 0; i < norms[0].length; i++) {
      assertEquals(norms[0][i], norms[1][i], 1e-4 * Math.abs(norms[0][i]) + 1e-5, "gradient " + i);
    }
  }

  private static double slope(
      TrainingPass pass,
      Batch batch,
      long key,
      Buffer data,
      float[] before,
      float[] direction,
      float step) {
    double[] loss = new double[2];
    for (int side = 0; side < 2; side++) {
      float[] moved = before.clone();
      for (int i = 0; i < moved.length; i++) {
        moved[i] += (side == 0 ? -step : step) * direction[i];
      }
      data.put(0, moved, 0, moved.length);
      loss[side] = pass.run(batch, key, 3);
    }
    data.put(0, before, 0, before.length);
    assertTrue(Double.isFinite(loss[0]) && Double.isFinite(loss[1]));
    return (loss[1] - loss[0]) / (2.0 * step);
  }
}
