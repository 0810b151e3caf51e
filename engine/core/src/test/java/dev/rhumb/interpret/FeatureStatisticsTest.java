package dev.rhumb.interpret;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.data.Attributes;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import dev.rhumb.eval.TwoSided;
import dev.rhumb.kernels.Philox;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class FeatureStatisticsTest {
  private static final int ROWS = 300;
  private static final int COLUMNS = 7;
  private static final int ITEMS = 12;

  private Dataset dataset;
  private Attributes attributes;
  private final float[][] rows = new float[ROWS][COLUMNS];
  private final int[] items = new int[ROWS];
  private final int[] users = new int[ROWS];
  private final boolean[] second = new boolean[ROWS];

  /**
   * Columns with many ties and zeros, of one sign and of both, one constant and one without an
   * entry.
   */
  @BeforeEach
  void draw() {
    DatasetBuilder builder = new DatasetBuilder();
    for (int i = 1; i <= ITEMS; i++) {
      builder.add("u", "" + i, i);
      // "all" is on each item, "none" only on one that no position has.
      String[] names =
          i % 3 == 0
              ? new String[] {"all", "a", "b"}
              : new String[] {"all", "ab".substring(i % 2, i % 2 + 1)};
      builder.item("" + i, "Item " + i, i == ITEMS ? new String[] {"all", "none"} : names);
    }
    dataset = builder.build("d");
    attributes = dataset.attributes();
    for (int r = 0; r < ROWS; r++) {
      items[r] = 1 + (Philox.bits(3, 1, r, 0) >>> 1) % (ITEMS - 1);
      users[r] = r / 9;
      second[r] = users[r] % 2 == 1;
      for (int c = 0; c < COLUMNS; c++) {
        double z = Philox.normal(3, 2, r, c) + (attributes.has(items[r], 0) ? .2 * c : 0);
        rows[r][c] =
            switch (c) {
              case 0 -> (float) Math.max(0, Math.round(z));
              case 1 -> (float) Math.round(z);
              case 2 -> (float) z;
              case 3 -> 0;
              case 4 -> 2;
              case 5 -> (float) Math.max(0, z - 2);
              default -> r % 5 == 0 ? -0f : (float) Math.max(0, z);
            };
      }
    }
  }

  @AfterEach
  void close() {
    dataset.close();
  }

  private Columns columns() {
    return Columns.of(rows, items, users, second);
  }

  @ParameterizedTest
  @EnumSource(Half.class)
  void agreesWithPlainDefinitions(Half half) {
    FeatureStatistics statistics = FeatureStatistics.of(columns(), attributes, half);
    int[] in =
        java.util.stream.IntStream.range(0, ROWS)
            .filter(r -> half == Half.BOTH || second[r] == (half == Half.SECOND))
            .toArray();
    assertEquals(in.length, statistics.positions());
    for (int c = 0; c < COLUMNS; c++) {
      int column = c;
      double[] z = Arrays.stream(in).mapToDouble(r -> rows[r][column]).toArray();
      double[] fired = Arrays.stream(z).filter(v -> v > 0).sorted().toArray();
      assertEquals(fired.length / (double) z.length, statistics.firingShare(c), 1e-12);
      if (fired.length > 0) {
        assertEquals(
            Arrays.stream(fired).average().orElseThrow(), statistics.meanWhenFired(c), 1e-9);
        double high = statistics.highWhenFired(c);
        assertTrue(Arrays.stream(fired).filter(v -> v <= high).count() >= .99 * fired.length);
        assertTrue(Arrays.stream(fired).filter(v -> v < high).count() < .99 * fired.length);
      }
      assertEquals(Arrays.stream(z).max().orElseThrow(), statistics.most(c), 0);
      for (int a = 0; a < attributes.count(); a++) {
        int attribute = a;
        boolean[] y = new boolean[in.length];
        for (int i = 0; i < in.length; i++) {
          y[i] = attributes.has(items[in[i]], attribute);
        }
        String at = "column " + c + ", " + attributes.names().get(a);
        assertEquals(correlation(z, y), statistics.correlation(c, a), 1e-9, at);
        assertEquals(auc(z, y), statistics.auc(c, a), 1e-12, at);
        assertEquals(share(z, y, true), statistics.firesGiven(c, a), 1e-12, at);
        assertEquals(share(z, y, false), statistics.givenFires(c, a), 1e-12, at);
        assertEquals(pValue(z, y, in), statistics.pValue(c, a), 1e-7, at);
      }
    }
  }

  private static double correlation(double[] z, boolean[] y) {
    double n = z.length;
    double mz = Arrays.stream(z).sum() / n;
    double my = 0;
    for (boolean one : y) {
      my += one ? 1 / n : 0;
    }
    double zz = 0;
    double yy = 0;
    double zy = 0;
    for (int i = 0; i < n; i++) {
      double dy = (y[i] ? 1 : 0) - my;
      zz += (z[i] - mz) * (z[i] - mz);
      yy += dy * dy;
      zy += (z[i] - mz) * dy;
    }
    return zz == 0 || my == 0 || my > 1 - 1e-9 ? Double.NaN : zy / Math.sqrt(zz * yy);
  }

  /** Over all pairs of a position with the attribute and one without. */
  private static double auc(double[] z, boolean[] y) {
    double wins = 0;
    double pairs = 0;
    for (int i = 0; i < z.length; i++) {
      for (int j = 0; j < z.length; j++) {
        if (y[i] && !y[j]) {
          pairs++;
          wins += z[i] > z[j] ? 1 : z[i] == z[j] ? .5 : 0;
        }
      }
    }
    return wins / pairs;
  }

  private static double share(double[] z, boolean[] y, boolean amongAttribute) {
    double both = 0;
    double base = 0;
    for (int i = 0; i < z.length; i++) {
      base += (amongAttribute ? y[i] : z[i] > 0) ? 1 : 0;
      both += y[i] && z[i] > 0 ? 1 : 0;
    }
    return both / base;
  }

  private double pValue(double[] z, boolean[] y, int[] in) {
    double n = z.length;
    double mz = Arrays.stream(z).sum() / n;
    double my = 0;
    for (boolean one : y) {
      my += one ? 1 / n : 0;
    }
    double[] byUser = new double[ROWS];
    double spread = 0;
    for (int i = 0; i < n; i++) {
      byUser[users[in[i]]] += (z[i] - mz) * ((y[i] ? 1 : 0) - my);
      spread += Math.pow(z[i] - mz, 2);
    }
    if (spread == 0 || my == 0 || my > 1 - 1e-9) {
      return Double.NaN;
    }
    double sum = Arrays.stream(byUser).sum();
    double squares = Arrays.stream(byUser).map(v -> v * v).sum();
    return tail(Math.abs(sum) / Math.sqrt(squares));
  }

  /** Two-sided, by Simpson's rule over the density. */
  private static double tail(double z) {
    int steps = 20_000;
    double h = 12.0 / steps;
    double sum = 0;
    for (int i = 0; i <= steps; i++) {
      double x = z + i * h;
      sum += Math.exp(-x * x / 2) * (i == 0 || i == steps ? 1 : i % 2 == 1 ? 4 : 2);
    }
    return 2 * sum * h / 3 / Math.sqrt(2 * Math.PI);
  }

  @ParameterizedTest
  @CsvSource({
    "0, 1",
    "1, .31731050786291410",
    "1.959963984540054, .05",
    "-3, .0026997960632601866",
    "3.53, 4.1556e-4",
    "3.54, 4.0012e-4",
    "8, 1.2441921148543573e-15",
    "40, 0"
  })
  void normalTail(double z, double p) {
    assertEquals(p, TwoSided.normal(z), Math.max(1e-300, p * (p > 1e-3 || z == 8 ? 1e-11 : 1e-4)));
  }

  @Test
  void benjaminiAndHochbergsExample() {
    double[] p = {
      .0001,
      .0004,
      .0019,
      .0095,
      .0201,
      .0278,
      .0298,
      .0344,
      .0459,
      .3240,
      .4262,
      .5719,
      .6528,
      .7590,
      1,
      Double.NaN
    };
    // The example of their paper: at a rate of .05 the first four are significant.
    assertEquals(.0095, FeatureStatistics.benjaminiHochberg(p, .05));
    assertTrue(FeatureStatistics.benjaminiHochberg(new double[] {.9, .8}, .05) < 0);
    assertTrue(FeatureStatistics.benjaminiHochberg(new double[] {Double.NaN}, .05) < 0);
  }

  @Test
  void choosesOnOneHalfAndScoresOnTheOther() {
    int a = attributes.find("a");
    for (int r = 0; r < ROWS; r++) {
      boolean has = attributes.has(items[r], a);
      // Column 0 goes with "a" on the first half only; column 1 on both, less well.
      rows[r][0] = has != second[r] ? 1 : 0;
      rows[r][1] = (has ? 1 : 0) + (r % 3 == 0 ? 2 : 0);
    }
    AttributeScores scores = AttributeScores.of(columns(), attributes, false, 2);
    AttributeScore best =
        scores.scores().stream().filter(s -> s.attribute().equals("a")).findFirst().orElseThrow();
    assertEquals(0, best.column());
    assertEquals(1, best.rank());
    assertEquals(1, best.chosenCorrelation(), 1e-9);
    assertEquals(-1, best.correlation(), 1e-9);
    assertEquals(0, best.auc(), 1e-9);
    AttributeScore next =
        scores.scores().stream()
            .filter(s -> s.attribute().equals("a") && s.rank() == 2)
            .findFirst()
            .orElseThrow();
    assertEquals(1, next.column());
    assertTrue(next.correlation() > .3 && next.significant(), next.toString());
    // Where either sign counts, as for hidden dimensions, the column below counts as one that goes
    // with it.
    AttributeScore signless =
        AttributeScores.of(columns(), attributes, true, 1).scores().stream()
            .filter(s -> s.attribute().equals("a"))
            .findFirst()
            .orElseThrow();
    assertEquals(1, signless.correlation(), 1e-9);
    assertEquals(1, signless.auc(), 1e-9);
    // "all" and "none" leave nothing to correlate with.
    assertFalse(scores.scores().stream().anyMatch(s -> s.attribute().equals("all")));
    assertFalse(scores.scores().stream().anyMatch(s -> s.attribute().equals("none")));
  }

  @Test
  void noiseIsSeldomSignificant() {
    int n = 4000;
    float[][] noise = new float[n][40];
    int[] item = new int[n];
    int[] user = new int[n];
    boolean[] half = new boolean[n];
    for (int r = 0; r < n; r++) {
      user[r] = r / 20;
      half[r] = user[r] % 2 == 0;
      // A user keeps to a few items, and a column to a level for the user: positions depend on each
      // other.
      item[r] = 1 + (Philox.bits(5, 1, user[r], r % 2) >>> 1) % (ITEMS - 1);
      for (int c = 0; c < 40; c++) {
        noise[r][c] =
            (float) Math.max(0, Philox.normal(5, 2, user[r], c) + Philox.normal(5, 3, r, c));
      }
    }
    FeatureStatistics statistics =
        FeatureStatistics.of(Columns.of(noise, item, user, half), attributes, Half.BOTH);
    int below = 0;
    int tests = 0;
    for (int c = 0; c < 40; c++) {
      for (int a = 0; a < 2; a++) {
        tests++;
        below += statistics.pValue(c, a) < .05 ? 1 : 0;
      }
    }
    assertTrue(below <= .15 * tests, below + " of " + tests);
  }

  @Test
  void topItemsAreTheMostActiveOnes() {
    float[][] z = {{4}, {4}, {6}, {0}, {1}};
    int[] item = {2, 2, 3, 3, 5};
    Columns data = Columns.of(z, item, new int[5], new boolean[5]);
    // 8 / 3, 6 / 3, 1 / 2.
    assertEquals(
        Arrays.asList(2, 3, 5), Arrays.stream(FeatureLabels.topItems(data, 6)[0]).boxed().toList());
  }
}
