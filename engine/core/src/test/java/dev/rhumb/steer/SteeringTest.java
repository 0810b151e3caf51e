package dev.rhumb.steer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.kernels.Backend;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Site;
import dev.rhumb.sae.Golden;
import dev.rhumb.sae.SparseAutoencoder;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SteeringTest {
  private static final float[] DELTA = {
    2.5f, 3.5f, .5f, 2, .828125f, -.171875f, 3.828125f, 1.828125f, 3.5f, 2, 1.5f, -.5f
  };
  private static final float[] REPLACED = {
    2.84375f, 2.09375f, -.59375f, .40625f, 2.3125f, .4375f, 2.5625f, .9375f, 4.625f, 2.25f, .75f,
    .25f
  };

  /** The example's rows as two sequences, of two positions and of one. */
  private static float[] steered(Backend backend, Steering steering) {
    long live = Buffer.live();
    float[] result;
    try (Kernels kernels = Kernels.open(backend, 1);
        SparseAutoencoder sae =
            new SparseAutoencoder(
                kernels, Site.LAST, Golden.FEATURES, Golden.WIDTH, Golden.KEPT, Map.of());
        SteeringEdit edit = new SteeringEdit(kernels, sae, steering);
        Batch batch = new Batch(kernels, 4, 8);
        Buffer x = Golden.x(kernels)) {
      Golden.fill(kernels, sae);
      batch.add(new int[] {1, 2}, 0, 2);
      batch.add(new int[] {3}, 0, 1);
      batch.seal();
      assertEquals(Site.LAST, edit.site());
      edit.apply(batch, x);
      result = x.floats();
    }
    assertEquals(live, Buffer.live());
    return result;
  }

  @ParameterizedTest
  @EnumSource(value = Backend.class, names = "CUDA", mode = EnumSource.Mode.EXCLUDE)
  void theWorkedExample(Backend backend) {
    Steering set = Steering.of(List.of(Edit.set(0, 3))).at(Steering.Positions.ALL);
    assertArrayEquals(DELTA, steered(backend, set), 1e-6f);
    assertArrayEquals(REPLACED, steered(backend, set.written(EditTable.Write.REPLACE)), 1e-6f);
  }

  @ParameterizedTest
  @EnumSource(value = Backend.class, names = "CUDA", mode = EnumSource.Mode.EXCLUDE)
  void atTheLastPositionTheOthersStay(Backend backend) {
    float[] plain = steered(backend, Steering.of(List.of()));
    float[] last = steered(backend, Steering.of(List.of(Edit.set(0, 3))));
    for (int i = 0; i < plain.length; i++) {
      assertEquals(i < Golden.WIDTH ? plain[i] : DELTA[i], last[i], i < Golden.WIDTH ? 0 : 1e-6f);
    }
  }

  @ParameterizedTest
  @EnumSource(value = Backend.class, names = "CUDA", mode = EnumSource.Mode.EXCLUDE)
  void anEmptyEditChangesNoBit(Backend backend) {
    float[] x = {1, 2, -1, .5f, 0, -1, 3, 1, 2, .5f, 0, -2};
    Steering nothing = Steering.of(List.of());
    assertArrayEquals(x, steered(backend, nothing));
    assertArrayEquals(x, steered(backend, nothing.at(Steering.Positions.ALL)));
    assertArrayEquals(
        x, steered(backend, nothing.at(Steering.Positions.ALL).staged(EditTable.Stage.PRE_SELECT)));
    // An edit that leaves its feature as it is changes none either.
    assertArrayEquals(
        x, steered(backend, Steering.of(List.of(Edit.scale(0, 1))).at(Steering.Positions.ALL)));
  }

  @Test
  void refusesImpossibleEdits() {
    assertThrows(
        IllegalArgumentException.class, () -> Steering.of(List.of(Edit.set(1, 1), Edit.ablate(1))));
    assertThrows(IllegalArgumentException.class, () -> Edit.add(-1, 1));
    assertThrows(IllegalArgumentException.class, () -> Edit.add(1, Float.NaN));
    assertThrows(IllegalArgumentException.class, () -> Edit.clamp(1, 2, 1));
    IllegalArgumentException refusal =
        assertThrows(
            IllegalArgumentException.class,
            () -> Steering.of(List.of(Edit.ablate(9))).requireIn(9));
    assertTrue(refusal.getMessage().contains("0 to 8"), refusal.getMessage());
  }
}
