package dev.rhumb.interpret;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class AssignmentTest {
  @Test
  void noAssignmentIsBetter() {
    Random random = new Random(1);
    for (int round = 0; round < 500; round++) {
      int rows = random.nextInt(6);
      int columns = 1 + random.nextInt(6);
      boolean whole = round % 2 == 0;
      double[][] scores = new double[rows][columns];
      for (double[] row : scores) {
        // Few values, so that there are ties.
        Arrays.setAll(row, c -> whole ? random.nextInt(4) : random.nextGaussian());
      }
      int[] columnOf = Assignment.largest(scores);
      boolean[] taken = new boolean[columns];
      double sum = 0;
      int assigned = 0;
      for (int r = 0; r < rows; r++) {
        if (columnOf[r] >= 0) {
          assertEquals(false, taken[columnOf[r]]);
          taken[columnOf[r]] = true;
          sum += scores[r][columnOf[r]];
          assigned++;
        }
      }
      assertEquals(Math.min(rows, columns), assigned);
      assertEquals(best(scores, 0, new boolean[columns], rows - assigned), sum, 1e-9);
    }
  }

  @Test
  void theGreedyChoiceIsNotTheBest() {
    assertArrayEquals(new int[] {1, 0}, Assignment.largest(new double[][] {{10, 9}, {9, 1}}));
    assertArrayEquals(new int[0], Assignment.largest(new double[0][]));
  }

  /** By trying all, with so many rows left out. */
  private static double best(double[][] scores, int row, boolean[] taken, int skip) {
    if (row == scores.length) {
      return 0;
    }
    double best = skip > 0 ? best(scores, row + 1, taken, skip - 1) : Double.NEGATIVE_INFINITY;
    for (int c = 0; c < taken.length; c++) {
      if (!taken[c]) {
        taken[c] = true;
        best = Math.max(best, scores[row][c] + best(scores, row + 1, taken, skip));
        taken[c] = false;
      }
    }
    return best;
  }
}
