package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

/** The ranking of a compressed catalogue is that of its table, bit for bit. */
class CompressedItemsConformanceTest extends Conformance {
  private static final int[] NONE = null;

  CompressedItemsConformanceTest(Backend backend) {
    super(backend);
  }

  /** Ranks by the table and by its compressed form; chunks scored in full, -1 where none tells. */
  private static int compare(
      Kernels kernels, Memory memory, Matrix h, Matrix table, int k, int[] excludedOfEach) {
    int rows = h.rows;
    Ranking ranking = kernels.ranking();
    Buffer offsets = null;
    Buffer excluded = null;
    if (excludedOfEach != null) {
      int each = excludedOfEach.length;
      offsets = memory.ints(rows + 1, r -> r * each).buffer;
      excluded = memory.ints(rows * each, i -> excludedOfEach[i % each]).buffer;
    }
    Ints items = memory.ints(rows * k, i -> -1);
    Matrix scores = memory.matrix(rows, k, k);
    ranking.topItems(
        rows,
        h.cols,
        table.rows,
        h.buffer,
        h.stride,
        table.buffer,
        k,
        offsets,
        excluded,
        items.buffer,
        scores.buffer);
    Ints pruned = memory.ints(rows * k, i -> -1);
    Matrix prunedScores = memory.matrix(rows, k, k);
    try (CompressedItems catalogue = ranking.compress(table.rows, h.cols, table.buffer)) {
      ranking.topItems(
          rows,
          catalogue,
          h.buffer,
          h.stride,
          k,
          offsets,
          excluded,
          pruned.buffer,
          prunedScores.buffer);
    }
    assertArrayEquals(items.now(), pruned.now());
    assertArrayEquals(bits(scores), bits(prunedScores));
    return ranking instanceof SimdRanking simd ? simd.chunksInFull() : -1;
  }

  private static int[] bits(Matrix matrix) {
    float[] values = matrix.now();
    int[] bits = new int[values.length];
    for (int i = 0; i < bits.length; i++) {
      bits[i] = Float.floatToRawIntBits(values[i]);
    }
    return bits;
  }

  private void random(int rows, int width, int tableRows, int k, boolean exclude) {
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(rows, width, stride(width, k));
          Matrix table = memory.matrix(tableRows, width, width);
          int[] excluded = new int[tableRows / 3 + 2];
          for (int i = 0; i < excluded.length; i++) {
            excluded[i] = i % 9 == 8 ? -i : memory.below(tableRows + 3);
          }
          compare(kernels, memory, h, table, k, exclude ? excluded : NONE);
        });
  }

  @Test
  void everySize() {
    for (int size : POSITIVE) {
      random(1, size, 300, 3, false);
      random(2, 16, size, 7, true);
      random(1, 9, 400, size, true);
    }
    random(0, 9, 400, 5, true);
    random(3, 33, 700, 5, false);
    random(5, 33, 700, 5, true);
  }

  @Test
  void manyItems() {
    random(1, 64, 9_001, 10, true);
    random(3, 20, 12_289, 33, false);
    random(1, 8, 4_200, 2_000, false);
    random(1, 256, 4_300, 1, false);
  }

  /** A row of a table, scaled. */
  private interface Shape {
    double at(Random random, int item, int d, float[] h);
  }

  private int shaped(int width, int tableRows, int k, boolean exclude, Shape shape) {
    if (backend == Backend.SCALAR) {
      return -1; // It ranks from the table itself.
    }
    Kernels kernels = kernels(1);
    try (Memory memory = new Memory(kernels, Memory.Placement.OWNED)) {
      Random random = new Random(width * 31L + tableRows);
      Matrix h = memory.matrix(1, width, width, (r, c) -> (float) random.nextGaussian());
      float[] row = h.wasRow(0);
      Matrix table =
          memory.matrix(tableRows, width, width, (item, d) -> shape.at(random, item, d, row));
      int[] excluded = random.ints(tableRows / 2, 0, tableRows).toArray();
      int inFull = compare(kernels, memory, h, table, k, exclude ? excluded : NONE);
      memory.verify();
      return inFull;
    }
  }

  private void everyK(int width, int tableRows, Shape shape) {
    for (int k : new int[] {1, 10, 120, tableRows + 5}) {
      shaped(width, tableRows, k, k == 10, shape);
    }
  }

  @Test
  void scoresAsCloseAsTheRounding() {
    // All items point where h does, but for what one byte cannot tell.
    everyK(24, 4_300, (random, item, d, h) -> h[d] * (1 + 1e-3 * random.nextGaussian()));
    everyK(24, 4_300, (random, item, d, h) -> h[d] + 1e-2 * random.nextGaussian());
    everyK(17, 4_300, (random, item, d, h) -> h[d] * Math.ulp(1f) * random.nextInt(3) + h[d]);
  }

  @Test
  void equalItems() {
    everyK(5, 4_300, (random, item, d, h) -> d - 2);
    everyK(5, 4_300, (random, item, d, h) -> (item % 3 + d) % 2);
    everyK(5, 4_300, (random, item, d, h) -> d % 2 == 0 ? -0.0 : 0);
  }

  @Test
  void rowsOfAllSizes() {
    everyK(20, 4_300, (random, item, d, h) -> random.nextGaussian() * (item == 4_200 ? 1e6 : 1));
    everyK(20, 4_300, (random, item, d, h) -> Math.scalb(random.nextGaussian(), item % 120 - 60));
    everyK(20, 4_300, (random, item, d, h) -> item % 2 == 0 ? 0 : random.nextGaussian());
    everyK(20, 700, (random, item, d, h) -> d == item % 20 ? random.nextGaussian() : 0);
    everyK(20, 700, (random, item, d, h) -> Float.MIN_VALUE * random.nextInt(9));
    everyK(20, 700, (random, item, d, h) -> 1e-30 * random.nextGaussian());
    everyK(20, 700, (random, item, d, h) -> Math.scalb(random.nextGaussian(), 90 + item % 8));
    everyK(20, 700, (random, item, d, h) -> Math.scalb(random.nextGaussian(), 120));
    everyK(20, 700, (random, item, d, h) -> item == 70 && d == 3 ? 1.0 / 0 : random.nextGaussian());
  }

  @Test
  void hiddenStatesOfAllSizes() {
    for (double factor : new double[] {0, 1e-44, 1e-30, 1e-10, 1e10, 1e29, 1e36}) {
      each(
          (kernels, memory) -> {
            Matrix h = memory.matrix(1, 12, 12, (r, c) -> memory.uniform() * factor);
            Matrix table = memory.matrix(900, 12, 12);
            compare(kernels, memory, h, table, 20, NONE);
          });
    }
  }

  @Test
  void aScatteredCatalogueIsPruned() {
    Shape gaussian = (random, item, d, h) -> random.nextGaussian();
    int inFull = shaped(64, 9_000, 10, true, gaussian);
    assertTrue(inFull <= 0, inFull + " chunks were scored in full");
  }

  @Test
  void risingScoresAreScoredInFull() {
    int inFull = shaped(64, 9_000, 10, false, (random, item, d, h) -> h[d] * item);
    assertTrue(inFull < 0 || inFull >= 2, inFull + " chunks were scored in full");
    assertTrue(shaped(64, 9_000, 10, false, (random, item, d, h) -> -h[d] * item) <= 1);
  }

  @Test
  void scoresThatAreNoNumbersAreRefused() {
    each(
        (kernels, memory) -> {
          Matrix h = memory.matrix(2, 3, 3, (r, c) -> r == 1 ? Double.NaN : 1);
          Matrix table = memory.matrix(50, 3, 3);
          Ints items = memory.ints(4, i -> -1);
          Matrix scores = memory.matrix(2, 2, 2);
          try (CompressedItems catalogue = kernels.ranking().compress(50, 3, table.buffer)) {
            ArithmeticException e =
                assertThrows(
                    ArithmeticException.class,
                    () -> {
                      kernels
                          .ranking()
                          .topItems(
                              2,
                              catalogue,
                              h.buffer,
                              3,
                              2,
                              null,
                              null,
                              items.buffer,
                              scores.buffer);
                      kernels.finish();
                    });
            assertTrue(e.getMessage().contains("row 1"), e.getMessage());
          }
          items.now();
          scores.now();
        });
  }

  @Test
  void aClosedCatalogueIsRefused() {
    each(
        (kernels, memory) -> {
          Matrix table = memory.matrix(50, 3, 3);
          Ints items = memory.ints(1, i -> -1);
          CompressedItems catalogue = kernels.ranking().compress(50, 3, table.buffer);
          assertEquals(50, catalogue.tableRows());
          assertEquals(3, catalogue.width());
          catalogue.close();
          catalogue.close();
          if (backend == Backend.SIMD) {
            assertThrows(
                IllegalStateException.class,
                () ->
                    kernels
                        .ranking()
                        .topItems(
                            1,
                            catalogue,
                            table.buffer,
                            3,
                            1,
                            null,
                            null,
                            items.buffer,
                            memory.vector(1).buffer));
          }
        });
  }
}
