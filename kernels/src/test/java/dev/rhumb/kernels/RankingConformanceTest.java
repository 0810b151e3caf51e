package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.Test;

class RankingConformanceTest extends Conformance {
  RankingConformanceTest(Backend backend) {
    super(backend);
  }

  /** Items by (score descending, item ascending), of those that are open; -0 equals +0. */
  static List<Integer> ranked(double[] scores, boolean[] barred) {
    List<Integer> order = new ArrayList<>();
    for (int item = 1; item < scores.length; item++) {
      if (!barred[item]) {
        order.add(item);
      }
    }
    // Adding +0 makes one zero of the two, which Double.compare would tell apart.
    order.sort(Comparator.comparingDouble((Integer item) -> -(scores[item] + 0.0) + 0.0));
    return order;
  }

  /**
   * With whole numbers for values every sum is exact, so that the choice must be too, ties
   * included.
   */
  private void wholeNumbers(int rows, int width, int tableRows, int k, int span, boolean exclude) {
    each(
        (kernels, memory) -> {
          Memory.Fill whole = (r, c) -> memory.below(2 * span + 1) - span;
          Matrix h = memory.matrix(rows, width, stride(width, k), whole);
          Matrix table = memory.matrix(tableRows, width, width, whole);
          int each = exclude ? tableRows / 2 + 2 : 0;
          Ints offsets = memory.ints(rows + 1, r -> r * each);
          // Repeats and items that do not exist are allowed.
          Ints excluded =
              memory.ints(
                  rows * each,
                  i -> i % 9 == 8 ? (i % 2 == 0 ? -i : tableRows + i) : memory.below(tableRows));
          Ints items = memory.ints(rows * k, i -> -1);
          Matrix scores = memory.matrix(rows, k, k);
          kernels
              .ranking()
              .topItems(
                  rows,
                  width,
                  tableRows,
                  h.buffer,
                  h.stride,
                  table.buffer,
                  k,
                  exclude ? offsets.buffer : null,
                  exclude ? excluded.buffer : null,
                  items.buffer,
                  scores.buffer);
          int[] expectedItems = new int[rows * k];
          float[] expectedScores = new float[rows * k];
          Arrays.fill(expectedScores, Float.NEGATIVE_INFINITY);
          for (int r = 0; r < rows; r++) {
            double[] score = scores(h, table, r);
            boolean[] barred = new boolean[tableRows];
            for (int i = r * each; i < (r + 1) * each; i++) {
              if (excluded.was(i) >= 0 && excluded.was(i) < tableRows) {
                barred[excluded.was(i)] = true;
              }
            }
            List<Integer> order = ranked(score, barred);
            for (int i = 0; i < Math.min(k, order.size()); i++) {
              expectedItems[r * k + i] = order.get(i);
              expectedScores[r * k + i] = (float) score[order.get(i)];
            }
          }
          assertArrayEquals(expectedItems, items.now());
          assertArrayEquals(expectedScores, scores.now(), 0f);
        });
  }

  private static double[] scores(Matrix h, Matrix table, int row) {
    double[] scores = new double[table.rows];
    for (int item = 0; item < table.rows; item++) {
      for (int d = 0; d < h.cols; d++) {
        scores[item] += h.was(row, d) * table.was(item, d);
      }
    }
    return scores;
  }

  @Test
  void everySizeWithTies() {
    for (int size : SIZES) {
      wholeNumbers(size, 5, 40, 7, 1, true);
    }
    for (int size : POSITIVE) {
      wholeNumbers(3, size, 40, 7, 3, false);
      wholeNumbers(3, 5, size, 7, 2, true);
      wholeNumbers(2, 5, 100, size, 2, true);
    }
  }

  @Test
  void manyItems() {
    wholeNumbers(9, 16, 5003, 20, 2, true);
    wholeNumbers(70, 17, 1009, 10, 2, false);
    wholeNumbers(1, 64, 20_011, 100, 1, true);
    wholeNumbers(2, 3, 700, 699, 1, false);
  }

  @Test
  void equalScoresRankByItem() {
    wholeNumbers(3, 4, 300, 50, 0, false);
  }

  @Test
  void zerosOfEitherSignAreEqual() {
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(1, 1, 1, (r, c) -> 0);
          Matrix table = memory.matrix(64, 1, 1, (item, c) -> item % 2 == 0 ? 1 : -1);
          Ints items = memory.ints(20, i -> -1);
          Matrix scores = memory.matrix(1, 20, 20);
          kernels
              .ranking()
              .topItems(
                  1, 1, 64, h.buffer, 1, table.buffer, 20, null, null, items.buffer, scores.buffer);
          int[] now = items.now();
          for (int i = 0; i < 20; i++) {
            assertEquals(i + 1, now[i]);
          }
          scores.check("topItems of zeros", 1, 0, (r, c) -> 0);
        });
  }

  @Test
  void infiniteScoresAreNumbers() {
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(1, 1, 1, (r, c) -> 1e30);
          Matrix table =
              memory.matrix(40, 1, 1, (item, c) -> item == 7 ? 1e30 : item == 9 ? 1e30 : -1e30);
          Ints items = memory.ints(4, i -> -1);
          Matrix scores = memory.matrix(1, 4, 4);
          kernels
              .ranking()
              .topItems(
                  1, 1, 40, h.buffer, 1, table.buffer, 4, null, null, items.buffer, scores.buffer);
          assertArrayEquals(new int[] {7, 9, 1, 2}, items.now());
          float inf = Float.POSITIVE_INFINITY;
          assertArrayEquals(new float[] {inf, inf, -inf, -inf}, scores.now());
        });
  }

  @Test
  void realScoresLeaveNoBetterItemOut() {
    int rows = 8;
    int width = 50;
    int tableRows = 3001;
    int k = 10;
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(rows, width, width);
          Matrix table = memory.matrix(tableRows, width, width);
          Ints items = memory.ints(rows * k, i -> -1);
          Matrix scores = memory.matrix(rows, k, k);
          kernels
              .ranking()
              .topItems(
                  rows,
                  width,
                  tableRows,
                  h.buffer,
                  width,
                  table.buffer,
                  k,
                  null,
                  null,
                  items.buffer,
                  scores.buffer);
          int[] chosen = items.now();
          float[] claimed = scores.now();
          scores.check("topItems", width, (r, i) -> scores(h, table, r)[chosen[r * k + i]]);
          for (int r = 0; r < rows; r++) {
            double[] exact = scores(h, table, r);
            boolean[] barred = new boolean[tableRows];
            for (int i = 0; i < k; i++) {
              assertTrue(i == 0 || claimed[r * k + i] <= claimed[r * k + i - 1]);
              barred[chosen[r * k + i]] = true;
            }
            double next = exact[ranked(exact, barred).getFirst()];
            assertTrue(next <= claimed[r * k + k - 1] + 1e-5, "row " + r);
          }
        });
  }
}
