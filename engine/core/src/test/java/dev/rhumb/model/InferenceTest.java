package dev.rhumb.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The last positions run alone against a whole run. */
class InferenceTest {
  private static final int T = 9;
  private static final int[][] HISTORIES = {{4}, {8, 15, 16, 20, 1, 4, 4, 7, 2}, {3, 9, 3, 11}};

  @ParameterizedTest
  @EnumSource(BlockStyle.class)
  void lastPositionsAloneAgreeWithAWholeRun(BlockStyle style) {
    try (Kernels kernels = Kernels.open();
        Model model = IncrementalInferenceTest.model(kernels, style);
        Inference whole = new Inference(kernels, model, HISTORIES.length, HISTORIES.length * T);
        Inference last = new Inference(kernels, model, HISTORIES.length, HISTORIES.length * T);
        Batch batch = new Batch(kernels, HISTORIES.length, HISTORIES.length * T)) {
      for (int[] history : HISTORIES) {
        batch.add(history, 0, history.length);
      }
      batch.seal();
      whole.run(batch);
      last.runLast(batch);
      close("run", whole, last, batch);
      for (String name :
          new String[] {"block 0", "mlp 0", "block 1", "mlp 1", "mlp 2", "block 2", "last"}) {
        for (Inference inference : new Inference[] {whole, last}) {
          inference.runTo(Site.parse(name), batch);
          edit(inference.state());
        }
        whole.finish();
        last.finishLast();
        close(name, whole, last, batch);
      }
      // What was run for the last positions alone says so.
      last.runLast(batch);
      if (model.config().wiring().padding() == Padding.NONE) {
        assertThrows(IllegalStateException.class, last::hidden);
        assertThrows(IllegalStateException.class, last::state);
      }
      last.run(batch);
      assertArrayEquals(whole(whole, batch), whole(last, batch));
    }
  }

  private static float[] whole(Inference inference, Batch batch) {
    inference.run(batch);
    return inference.hidden().floats();
  }

  private static void edit(Buffer state) {
    float[] values = state.floats();
    for (int i = 0; i < values.length; i++) {
      values[i] += i % 3 == 0 ? 0.7f : -0.4f;
    }
    state.put(0, values, 0, values.length);
  }

  private static void close(String where, Inference whole, Inference last, Batch batch) {
    int floats = batch.sequences() * whole.model().config().width();
    Buffer expected = whole.lastHidden().slice(0, floats);
    Buffer actual = last.lastHidden().slice(0, floats);
    assertArrayEquals(expected.floats(), actual.floats(), 2e-5f, where);
  }
}
