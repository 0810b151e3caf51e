package dev.rhumb.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A sequence run item by item against the same sequence run whole. */
class IncrementalInferenceTest {
  private static final int ITEMS = 20;
  private static final int T = 9;
  private static final int D = 8;

  static Model model(Kernels kernels, BlockStyle style) {
    Model model =
        Model.initialise(kernels, new ModelConfig(style, ITEMS, D, 3, 2, T, 12, 0.5f, 1e-5f), 3);
    int number = 0;
    for (Tensor tensor : model.parameters().tensors()) {
      float[] values = tensor.data().floats();
      for (int i = 0; i < values.length; i++) {
        values[i] += 0.2f * (float) Philox.normal(5, 1, number, i);
      }
      tensor.data().put(0, values, 0, values.length);
      number++;
    }
    return model;
  }

  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void everyPositionAgreesWithAWholeRun(BlockStyle style) {
    int[] items = {4, 8, 15, 16, 20, 1, 4, 4, 7};
    try (Kernels kernels = Kernels.open();
        Model model = model(kernels, style);
        Inference whole = new Inference(kernels, model, 1, T);
        IncrementalInference steps = new IncrementalInference(kernels, model);
        Batch batch = new Batch(kernels, 1, T)) {
      for (int round = 0; round < 2; round++) {
        for (int n = 1; n <= T; n++) {
          batch.clear();
          batch.add(items, 0, n);
          batch.seal();
          steps.append(items[n - 1]);
          for (String name :
              new String[] {"block 0", "mlp 0", "block 1", "mlp 2", "block 2", "last"}) {
            Site site = Site.parse(name);
            whole.runTo(site, batch);
            close(name, whole.state().slice((n - 1L) * D, D), steps.state(site));
          }
          whole.run(batch);
          close("hidden", whole.lastHidden().slice(0, D), steps.hidden().slice(0, D));
        }
        assertThrows(IllegalStateException.class, () -> steps.append(1));
        steps.clear();
      }
    }
  }

  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void anEditAtTheLastPositionAgreesAndLeavesNoTrace(BlockStyle style) {
    int[] items = {4, 8, 15, 16, 20, 1};
    try (Kernels kernels = Kernels.open();
        Model model = model(kernels, style);
        Inference whole = new Inference(kernels, model, 1, T);
        IncrementalInference steps = new IncrementalInference(kernels, model);
        Batch batch = new Batch(kernels, 1, T);
        Buffer edited = kernels.allocate(DType.F32, D)) {
      for (int n = 1; n <= items.length; n++) {
        steps.append(items[n - 1]);
        batch.clear();
        batch.add(items, 0, n);
        batch.seal();
        for (String name :
            new String[] {"block 0", "mlp 0", "block 1", "mlp 1", "mlp 2", "block 2", "last"}) {
          Site site = Site.parse(name);
          float[] before = steps.hidden().slice(0, D).floats();
          whole.runTo(site, batch);
          float[] state = whole.state().slice((n - 1L) * D, D).floats();
          for (int i = 0; i < D; i++) {
            state[i] += i % 2 == 0 ? 0.7f : -0.4f;
          }
          whole.state().put((n - 1L) * D, state, 0, D);
          edited.put(0, state, 0, D);
          whole.finish();
          close(name, whole.lastHidden().slice(0, D), steps.finish(site, edited).slice(0, D));
          assertArrayEquals(before, steps.hidden().slice(0, D).floats());
        }
      }
    }
  }

  private static void close(String where, Buffer expected, Buffer actual) {
    assertArrayEquals(expected.floats(), actual.floats(), 2e-5f, where);
  }
}
