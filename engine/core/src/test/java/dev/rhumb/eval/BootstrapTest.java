package dev.rhumb.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class BootstrapTest {
  @Test
  void intervalsHoldTheTruthAsOftenAsTheySay() {
    Random random = new Random(1);
    int rounds = 500;
    int held = 0;
    for (int round = 0; round < rounds; round++) {
      // A hit rate of .3: what is resampled most.
      double[] hits =
          IntStream.range(0, 150).mapToDouble(i -> random.nextDouble() < .3 ? 1 : 0).toArray();
      Estimate e = new Bootstrap(400, .95, round).mean(hits);
      assertTrue(e.low() <= e.value() && e.value() <= e.high());
      held += e.low() <= .3 && .3 <= e.high() ? 1 : 0;
    }
    assertEquals(.95, held / (double) rounds, .03);
  }

  @Test
  void theIntervalOfAMeanIsThatOfTheNormalApproximation() {
    Random random = new Random(2);
    double[] values = IntStream.range(0, 2000).mapToDouble(i -> random.nextGaussian()).toArray();
    double mean = Arrays.stream(values).average().orElseThrow();
    double sd =
        Math.sqrt(Arrays.stream(values).map(x -> (x - mean) * (x - mean)).sum() / values.length);
    Estimate e = new Bootstrap(4000, .95, 7).mean(values);
    assertEquals(mean, e.value(), 1e-12);
    assertEquals(mean - 1.96 * sd / Math.sqrt(2000), e.low(), .1 * sd / Math.sqrt(2000));
    assertEquals(mean + 1.96 * sd / Math.sqrt(2000), e.high(), .1 * sd / Math.sqrt(2000));
    Estimate wider = new Bootstrap(4000, .99, 7).mean(values);
    assertTrue(wider.low() < e.low() && e.high() < wider.high());
  }

  @Test
  void theSeedAloneDecidesWhateverElseIsAsked() {
    double[] a = {1, 2, 3, 4, 7, 9};
    double[] b = {5, 1, Double.NaN, 2, 2, 8};
    int[] users = IntStream.range(0, 6).toArray();
    Bootstrap bootstrap = new Bootstrap(100, .9, 3);
    List<Estimate> both = bootstrap.means(users, a, b);
    assertEquals(bootstrap.mean(a), both.get(0));
    assertEquals(bootstrap.means(users, b).getFirst(), both.get(1));
    assertEquals(5, both.get(1).users());
    assertEquals(18 / 5., both.get(1).value(), 1e-15);
    assertTrue(!bootstrap.mean(a).equals(new Bootstrap(100, .9, 4).mean(a)));
  }

  @Test
  void aUsersCasesStayTogether() {
    // Copies of the same cases must not make the mean surer.
    Random random = new Random(5);
    double[] once = IntStream.range(0, 100).mapToDouble(i -> random.nextDouble()).toArray();
    double[] twice = IntStream.range(0, 200).mapToDouble(i -> once[i % 100]).toArray();
    int[] users = IntStream.range(0, 200).map(i -> i % 100).toArray();
    Bootstrap bootstrap = new Bootstrap(300, .95, 1);
    Estimate single = bootstrap.mean(once);
    Estimate copied = bootstrap.means(users, twice).getFirst();
    assertEquals(single.low(), copied.low(), 1e-12);
    assertEquals(single.high(), copied.high(), 1e-12);
    assertEquals(100, copied.users());
  }

  @Test
  void wherePlaceIsForNoIntervalThereIsNone() {
    for (Estimate none :
        List.of(
            new Bootstrap(0, .95, 1).mean(new double[] {1, 2}),
            Bootstrap.standard().mean(new double[] {1.5}),
            Bootstrap.standard().mean(new double[] {1.5, Double.NaN}))) {
      assertEquals(1.5, none.value());
      assertTrue(Double.isNaN(none.low()) && Double.isNaN(none.high()));
    }
    assertTrue(Double.isNaN(Bootstrap.standard().mean(new double[0]).value()));
    assertThrows(IllegalArgumentException.class, () -> new Bootstrap(-1, .95, 1));
    for (double level : new double[] {0, 1, 95, Double.NaN}) {
      assertThrows(IllegalArgumentException.class, () -> new Bootstrap(10, level, 1));
    }
  }
}
