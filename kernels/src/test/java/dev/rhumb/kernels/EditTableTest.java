package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class EditTableTest {
  @Test
  void keepsEditsInOrderOfFeatureAndGrows() {
    EditTable edits = new EditTable(1);
    int[] order = {9, 2, 30, 0, 17, 4};
    for (int feature : order) {
      edits.put(feature, EditTable.Op.SET, feature, 0);
    }
    assertEquals(6, edits.count());
    int before = -1;
    for (int i = 0; i < edits.count(); i++) {
      assertTrue(edits.feature(i) > before);
      before = edits.feature(i);
      assertEquals(before, edits.apply(i, -7));
    }
    edits.stage(EditTable.Stage.PRE_SELECT);
    edits.clear();
    assertEquals(0, edits.count());
    assertEquals(EditTable.Stage.PRE_SELECT, edits.stage());
    edits.put(9, EditTable.Op.ABLATE, 0, 0);
    assertEquals(1, edits.count());
  }

  private static float apply(EditTable.Op op, float x, float y, float a) {
    EditTable edits = new EditTable(1);
    edits.put(3, op, x, y);
    return edits.apply(0, a);
  }

  @Test
  void eachOperationDoesWhatItSays() {
    assertEquals(5, apply(EditTable.Op.ADD, 3, 0, 2));
    assertEquals(3, apply(EditTable.Op.SET, 3, 0, 2));
    assertEquals(-6, apply(EditTable.Op.SCALE, -3, 0, 2));
    assertEquals(0, apply(EditTable.Op.ABLATE, 3, 0, 2));
    assertEquals(1, apply(EditTable.Op.CLAMP, 0, 1, 2));
    assertEquals(3, apply(EditTable.Op.CLAMP, 3, 4, 2));
    assertEquals(2, apply(EditTable.Op.CLAMP, 1, 4, 2));
  }

  @Test
  void refusesWhatMakesNoEdit() {
    EditTable edits = new EditTable(4);
    edits.put(5, EditTable.Op.ADD, 1, 0);
    assertThrows(IllegalArgumentException.class, () -> edits.put(5, EditTable.Op.ABLATE, 0, 0));
    assertThrows(IllegalArgumentException.class, () -> edits.put(-1, EditTable.Op.ADD, 1, 0));
    assertThrows(IllegalArgumentException.class, () -> edits.put(6, EditTable.Op.CLAMP, 2, 1));
    for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
      assertThrows(IllegalArgumentException.class, () -> edits.put(6, EditTable.Op.ADD, bad, 0));
      assertThrows(IllegalArgumentException.class, () -> edits.put(6, EditTable.Op.CLAMP, 0, bad));
    }
    assertEquals(1, edits.count());
  }
}
