package dev.rhumb.kernels;

import static dev.rhumb.kernels.ScorePanels.PANEL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Bounds by bytes: no score exceeds them, and they are close. */
class BytePanelsTest {
  @BeforeEach
  void widthExists() {
    assumeTrue(Conformance.widthExists(), "this machine has no vectors of that width");
  }

  /**
   * Bounds candidates against a row.
   *
   * @return the largest distance from a score to its bound, as a share of |h| |x|
   */
  private static double check(int count, int width, boolean started, double rowScale, long seed) {
    Random random = new Random(seed);
    double worst = 0;
    int panels = ScorePanels.panels(count);
    try (Arena arena = Arena.ofConfined();
        BytePanels bytes = new BytePanels(count, width, started)) {
      MemorySegment row = arena.allocate(width * 4L, 4);
      MemorySegment table = arena.allocate((long) count * width * 4, 4);
      float[] starts = new float[count];
      for (int d = 0; d < width; d++) {
        row.setAtIndex(ValueLayout.JAVA_FLOAT, d, (float) (rowScale * random.nextGaussian()));
      }
      for (int i = 0; i < count; i++) {
        double scale = Math.scalb(1.0, random.nextInt(40) - 20);
        // Some rows have one large number, as embeddings do.
        int large = random.nextInt(3) == 0 ? random.nextInt(width) : -1;
        for (int d = 0; d < width; d++) {
          double x = scale * random.nextGaussian() * (d == large ? 40 : 1);
          table.setAtIndex(ValueLayout.JAVA_FLOAT, (long) i * width + d, (float) x);
        }
        starts[i] = started ? (float) (random.nextGaussian() * random.nextInt(3)) : 0;
      }
      for (int p = 0; p < panels; p++) {
        bytes.begin(p);
        for (int i = 0; i < PANEL; i++) {
          int at = p * PANEL + i;
          if (at < count) {
            bytes.put(p, i, table.address() + (long) at * width * 4, starts[at]);
          } else {
            bytes.clear(p, i);
          }
        }
      }
      bytes.finish(panels);
      BytePanels.Row taken = new BytePanels.Row();
      MemorySegment memory = arena.allocate(BytePanels.rowBytes(width), 64);
      assertTrue(bytes.take(row.address(), taken, memory.address()));
      MemorySegment bounds = arena.allocate(panels * PANEL * 4L, 64);
      MemorySegment maxima = arena.allocate((long) panels * Simd.BYTES, 64);
      bytes.bounds(taken, 0, panels, bounds.address(), maxima.address());
      for (int i = 0; i < panels * PANEL; i++) {
        float bound = bounds.getAtIndex(ValueLayout.JAVA_FLOAT, i);
        if (i >= count) {
          assertTrue(Float.isNaN(bound));
          continue;
        }
        double score = starts[i];
        float chain = starts[i];
        double h2 = 0;
        double x2 = 0;
        for (int d = 0; d < width; d++) {
          float h = row.getAtIndex(ValueLayout.JAVA_FLOAT, d);
          float x = table.getAtIndex(ValueLayout.JAVA_FLOAT, (long) i * width + d);
          score += (double) h * x;
          chain = Math.fma(h, x, chain);
          h2 += (double) h * h;
          x2 += (double) x * x;
        }
        assertTrue(chain <= bound, i + ": " + chain + " passes " + bound);
        double size = Math.sqrt(h2) * (Math.sqrt(x2) + Math.abs(starts[i]) / 10);
        worst = Math.max(worst, (bound - score) / size);
        int lane = i / PANEL * Simd.LANES + i % Simd.LANES;
        assertTrue(maxima.getAtIndex(ValueLayout.JAVA_FLOAT, lane) >= bound);
      }
    }
    return worst;
  }

  @Test
  void noScoreExceedsItsBoundAndTheyAreClose() {
    for (int width : new int[] {1, 2, 3, 4, 5, 15, 16, 17, 31, 64, 65, 128, 257}) {
      for (boolean started : new boolean[] {false, true}) {
        double worst = check(3 * PANEL + 5, width, started, 1, width);
        // Twice the bracket, which is some 4 % of |h| |x| where rows are this uneven.
        assertTrue(worst < 0.15, "width " + width + ": " + worst);
      }
    }
    check(PANEL, 8192, true, 1, 7);
    check(PANEL, 20, true, 1e-30, 8);
    check(PANEL, 20, true, 1e20, 9);
  }

  @Test
  void rowsThatMayOverflowAreRefused() {
    try (Arena arena = Arena.ofConfined();
        BytePanels bytes = new BytePanels(1, 2, false)) {
      MemorySegment row = arena.allocate(8, 4);
      MemorySegment memory = arena.allocate(BytePanels.rowBytes(2), 64);
      BytePanels.Row taken = new BytePanels.Row();
      for (float x : new float[] {1, 1e30f, Float.NaN, Float.NEGATIVE_INFINITY}) {
        MemorySegment table = arena.allocate(8, 4);
        table.setAtIndex(ValueLayout.JAVA_FLOAT, 1, x);
        bytes.begin(0);
        bytes.put(0, 0, table.address(), 0);
        bytes.finish(1);
        for (float h : new float[] {0, 1, 1e30f, Float.NaN, Float.POSITIVE_INFINITY}) {
          row.setAtIndex(ValueLayout.JAVA_FLOAT, 0, h);
          boolean safe = Math.abs(h) <= 1e30f && Math.abs(x) <= 1e30f && h * x <= 1e30f;
          assertEquals(
              safe && Math.abs(x) < Float.POSITIVE_INFINITY,
              bytes.take(row.address(), taken, memory.address()),
              h + " " + x);
        }
      }
      assertFalse(BytePanels.takes(8193));
    }
  }
}
