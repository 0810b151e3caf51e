package dev.rhumb.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class PairedTestsTest {
  /** Hollander and Wolfe's depression data, R's own example of wilcox.test: V = 40, p = .03906. */
  private static final double[] DEPRESSION = {
    1.83 - .878,
    .50 - .647,
    1.62 - .598,
    2.48 - 2.05,
    1.68 - 1.06,
    1.88 - 1.29,
    1.55 - 1.06,
    3.06 - 3.14,
    1.30 - 1.29
  };

  @Test
  void studentsDistributionEqualsItsTablesAndClosedForms() {
    double[][] table = {
      {12.7062047364, 1, .05},
      {2.2281388520, 10, .05},
      {4.0321429836, 5, .01},
      {2.0422724563, 30, .05},
      {1.9799304051, 120, .05},
      {1.9719565442, 199, .05}
    };
    for (double[] row : table) {
      assertEquals(row[2], TwoSided.student(row[0], row[1]), 1e-9, Arrays.toString(row));
    }
    for (double t = 1 / 64.; t < 100; t *= 1.7) {
      double p1 = 1 - 2 / Math.PI * Math.atan(t);
      double p2 = 1 - t / Math.sqrt(2 + t * t);
      double angle = Math.atan(t / Math.sqrt(3));
      double p3 = 1 - 2 / Math.PI * (angle + Math.sin(angle) * Math.cos(angle));
      assertEquals(p1, TwoSided.student(t, 1), 1e-13);
      assertEquals(p2, TwoSided.student(-t, 2), 1e-13);
      assertEquals(p3, TwoSided.student(t, 3), 1e-13);
      if (t < 6) {
        assertEquals(TwoSided.normal(t), TwoSided.student(t, 1e7), 2e-7);
      }
    }
    assertEquals(1, TwoSided.student(0, 7));
    assertEquals(0, TwoSided.student(Double.NEGATIVE_INFINITY, 7));
  }

  @Test
  void studentsTest() {
    // Mean 2, standard deviation 1, n 3: t = 2 sqrt(3), 2 degrees of freedom.
    double t = 2 * Math.sqrt(3);
    assertEquals(1 - t / Math.sqrt(2 + t * t), PairedTests.student(new double[] {1, 2, 3}), 1e-12);
    assertEquals(1, PairedTests.student(new double[] {0, 0, 0}));
    assertEquals(0, PairedTests.student(new double[] {1, 1}));
    assertTrue(Double.isNaN(PairedTests.student(new double[] {1})));
  }

  @Test
  void thePermutationTestEqualsFullEnumeration() {
    Random random = new Random(4);
    for (int n = 1; n <= 12; n++) {
      for (int round = 0; round < 5; round++) {
        // Small whole numbers make sums that tie, and zeros.
        double[] d = IntStream.range(0, n).mapToDouble(i -> random.nextInt(7) - 2).toArray();
        double seen = Math.abs(Arrays.stream(d).sum());
        int asFar = 0;
        for (int signs = 0; signs < 1 << n; signs++) {
          double sum = 0;
          for (int i = 0; i < n; i++) {
            sum += (signs >> i & 1) == 0 ? d[i] : -d[i];
          }
          asFar += Math.abs(sum) >= seen ? 1 : 0;
        }
        assertEquals(asFar / (double) (1 << n), PairedTests.permutation(d, 1, 1), 1e-15);
      }
    }
    assertEquals(1, PairedTests.permutation(new double[] {0, 0}, 10, 1));
    assertEquals(.25, PairedTests.permutation(new double[] {.1, 0, .2, .3}, 10, 1));
    assertTrue(Double.isNaN(PairedTests.permutation(new double[0], 10, 1)));
    assertThrows(
        IllegalArgumentException.class, () -> PairedTests.permutation(new double[1], 0, 1));
  }

  @Test
  void drawnPermutationsComeNearTheExactProbability() {
    Random random = new Random(8);
    for (int n : new int[] {21, 64, 65, 150}) {
      int[] whole = IntStream.range(0, n).map(i -> random.nextInt(9) - 3).toArray();
      int most = Arrays.stream(whole).map(Math::abs).sum();
      double[] chance = new double[2 * most + 1];
      chance[most] = 1;
      for (int d : whole) {
        double[] next = new double[chance.length];
        for (int s = 0; s < chance.length; s++) {
          if (chance[s] > 0) {
            next[s + d] += chance[s] / 2;
            next[s - d] += chance[s] / 2;
          }
        }
        chance = next;
      }
      int seen = Math.abs(Arrays.stream(whole).sum());
      double exact = 0;
      for (int s = 0; s < chance.length; s++) {
        exact += Math.abs(s - most) >= seen ? chance[s] : 0;
      }
      double[] d = Arrays.stream(whole).asDoubleStream().toArray();
      double drawn = PairedTests.permutation(d, 20_000, 3);
      double error = Math.sqrt(exact * (1 - exact) / 20_000);
      assertEquals(exact, drawn, 4 * error + 1e-4, n + " differences");
      assertEquals(drawn, PairedTests.permutation(d, 20_000, 3));
    }
  }

  @Test
  void wilcoxonsTestEqualsFullEnumerationAndPublishedValues() {
    assertEquals(.0390625, PairedTests.wilcoxon(DEPRESSION), 1e-15);
    assertEquals(2 / 32., PairedTests.wilcoxon(new double[] {1, 2, 3, 4, 5}), 1e-15);
    assertEquals(2 / 32., PairedTests.wilcoxon(new double[] {-1, -2, 0, -3, -4, -5, 0}), 1e-15);
    assertEquals(1, PairedTests.wilcoxon(new double[] {0, 0}));
    assertTrue(Double.isNaN(PairedTests.wilcoxon(new double[0])));
    Random random = new Random(6);
    for (int n = 1; n <= 11; n++) {
      double[] d = IntStream.range(0, n).mapToDouble(i -> 1 + random.nextInt(5)).toArray();
      for (int i = 0; i < n; i++) {
        d[i] = random.nextInt(3) > 0 ? d[i] : -d[i];
      }
      int extreme = 0;
      double seen = distance(d);
      for (int signs = 0; signs < 1 << n; signs++) {
        double[] other = d.clone();
        for (int i = 0; i < n; i++) {
          other[i] = (signs >> i & 1) == 0 ? Math.abs(d[i]) : -Math.abs(d[i]);
        }
        extreme += distance(other) >= seen - 1e-9 ? 1 : 0;
      }
      assertEquals(extreme / (double) (1 << n), PairedTests.wilcoxon(d), 1e-12);
    }
  }

  /** How far the sum of positive ranks is from its mean. */
  private static double distance(double[] d) {
    double sum = 0;
    for (double x : d) {
      double smaller = Arrays.stream(d).filter(y -> Math.abs(y) < Math.abs(x)).count();
      double equal = Arrays.stream(d).filter(y -> Math.abs(y) == Math.abs(x)).count();
      sum += x > 0 ? smaller + (equal + 1) / 2 : 0;
    }
    return Math.abs(sum - d.length * (d.length + 1) / 4.);
  }

  @Test
  void wilcoxonsApproximationIsNearTheExactTestWhereItTakesOver() {
    Random random = new Random(2);
    for (int round = 0; round < 40; round++) {
      boolean shared = round % 2 == 0;
      double shift = .02 * round;
      double[] d =
          IntStream.range(0, PairedTests.EXACT_RANKS)
              .mapToDouble(i -> random.nextGaussian() + shift)
              .map(x -> shared ? Math.rint(3 * x) : x)
              .toArray();
      double exact = PairedTests.wilcoxon(d);
      assertEquals(exact, PairedTests.wilcoxon(d, 0), .002 + .02 * exact, "shift " + shift);
    }
  }

  @Test
  void holmsCorrection() {
    assertArrayEquals(
        new double[] {.03, .06, .06, Double.NaN, .02},
        PairedTests.holm(new double[] {.01, .04, .03, Double.NaN, .005}),
        1e-15);
    assertArrayEquals(new double[] {1, 1}, PairedTests.holm(new double[] {.7, .9}));
    assertEquals(0, PairedTests.holm(new double[0]).length);
  }

  @Test
  void testsKeepTheirLevelWhereThereIsNoDifference() {
    Random random = new Random(12);
    int rounds = 400;
    int[] rejected = new int[3];
    for (int round = 0; round < rounds; round++) {
      double[] d = IntStream.range(0, 40).mapToDouble(i -> random.nextGaussian()).toArray();
      rejected[0] += PairedTests.student(d) < .05 ? 1 : 0;
      rejected[1] += PairedTests.permutation(d, 400, round) < .05 ? 1 : 0;
      rejected[2] += PairedTests.wilcoxon(d) < .05 ? 1 : 0;
    }
    for (int r : rejected) {
      assertEquals(.05, r / (double) rounds, .033, Arrays.toString(rejected));
    }
  }
}
