package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class PhiloxTest {
  private static void block(long key, int[] counter, int... expected) {
    for (int word = 0; word < 4; word++) {
      assertEquals(
          Integer.toHexString(expected[word]),
          Integer.toHexString(
              Philox.word(key, counter[0], counter[1], counter[2], counter[3], word)));
    }
  }

  /** The known answers that Random123 publishes for philox4x32-10. */
  @Test
  void knownAnswers() {
    block(0, new int[4], 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    block(-1, new int[] {-1, -1, -1, -1}, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    block(
        0x299f31d0_a4093822L,
        new int[] {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
        0xd16cfe09,
        0x94fdcceb,
        0x5001e420,
        0x24126ea1);
  }

  @Test
  void placesFollowTheirRule() {
    long key = 0xFEDC_BA98_7654_3210L;
    long stream = 0x0123_4567_89AB_CDEFL;
    for (int col : new int[] {0, 1, 15, 16, 47, 63, 64, 81, 200}) {
      int counter = col / 64 * 16 + col % 16;
      int word = Philox.word(key, counter, 5, 0x89AB_CDEF, 0x0123_4567, col % 64 / 16);
      assertEquals(word, Philox.bits(key, stream, 5, col));
    }
  }

  @Test
  void vectorsHoldTheSameBits() {
    assumeTrue(Conformance.backends().contains(Backend.SIMD));
    Random random = new Random(11);
    try (Buffer bits = Buffer.host(DType.I32, 6 * 64)) {
      for (int trial = 0; trial < 300; trial++) {
        long key = random.nextLong();
        long stream = random.nextLong();
        int first = random.nextInt();
        int step = 1 + random.nextInt(7);
        int rows = 1 + random.nextInt(6);
        int block = random.nextInt(1 << random.nextInt(25));
        SimdPhilox.fill(key, stream, first, step, rows, block, bits.segment().address());
        int[] words = bits.ints();
        for (int i = 0; i < rows * 64; i++) {
          int row = first + i / 64 * step;
          assertEquals(Philox.bits(key, stream, row, block * 64L + i % 64), words[i]);
        }
      }
    }
  }

  @Test
  void thresholdsReachBothEnds() {
    assertEquals(0, Philox.keepThreshold(0));
    assertEquals(Integer.MIN_VALUE, Philox.keepThreshold(0.5f));
    assertTrue(Integer.compareUnsigned(Philox.keepThreshold(0.99f), Integer.MIN_VALUE) > 0);
  }

  @Test
  void dropoutKeepsItsShare() {
    int rows = 400;
    int cols = 500;
    for (float p : new float[] {0.1f, 0.5f, 0.9f}) {
      int kept = 0;
      for (int r = 0; r < rows; r++) {
        for (int c = 0; c < cols; c++) {
          if (Integer.compareUnsigned(Philox.bits(1, 2, r, c), Philox.keepThreshold(p)) >= 0) {
            kept++;
          }
        }
      }
      double n = rows * cols;
      double deviation = Math.sqrt(p * (1 - p) / n);
      assertEquals(1 - p, kept / n, 4 * deviation);
    }
  }

  @Test
  void uniformAndNormalHaveTheirMoments() {
    int n = 100_000;
    double uniform = 0;
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < n; i++) {
      float u = Philox.uniform(7, 8, 9, i);
      assertTrue(u >= 0 && u < 1);
      uniform += u;
      double v = Philox.normal(7, 10, 9, i);
      assertTrue(Double.isFinite(v));
      sum += v;
      squares += v * v;
    }
    assertEquals(0.5, uniform / n, 4 * Math.sqrt(1.0 / 12 / n));
    assertEquals(0, sum / n, 4 / Math.sqrt(n));
    assertEquals(1, squares / n, 4 * Math.sqrt(2.0 / n));
  }
}
