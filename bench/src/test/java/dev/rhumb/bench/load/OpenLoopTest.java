package dev.rhumb.bench.load;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

class OpenLoopTest {
  private static final long MILLISECOND = 1_000_000;

  /** Sleeps at least so long. */
  private static void sleep(long nanos) {
    long end = System.nanoTime() + nanos;
    for (long left = nanos; left > 0; left = end - System.nanoTime()) {
      LockSupport.parkNanos(left);
    }
  }

  @Test
  void arrivalsAscendAtTheirRate() {
    assertArrayEquals(
        new long[] {0, 250 * MILLISECOND, 500 * MILLISECOND, 750 * MILLISECOND},
        OpenLoop.arrivals(false, 4, 1, 0, 1));
    assertArrayEquals(
        new long[] {0, 250 * MILLISECOND, 500 * MILLISECOND, 750 * MILLISECOND},
        OpenLoop.arrivals(false, 4, 1, 0, 2));
    assertArrayEquals(
        new long[] {125 * MILLISECOND, 375 * MILLISECOND, 625 * MILLISECOND, 875 * MILLISECOND},
        OpenLoop.arrivals(false, 4, 1, 1, 2));
    long[] poisson = OpenLoop.arrivals(true, 1000, 100, 3, 4);
    assertEquals(100_000, poisson.length);
    assertArrayEquals(poisson, OpenLoop.arrivals(true, 1000, 100, 3, 4));
    double mean = poisson[poisson.length - 1] / 99_999.0;
    double squares = 0;
    for (int i = 1; i < poisson.length; i++) {
      long gap = poisson[i] - poisson[i - 1];
      assertTrue(gap >= 0, "arrival " + i + " is before the one before");
      squares += (gap - mean) * (gap - mean);
    }
    // Five deviations: the mean's is 1 / sqrt(n) of it. Gaps of a Poisson process deviate by their
    // mean.
    assertEquals(1e6, mean, 5e6 / Math.sqrt(poisson.length));
    assertEquals(1e6, Math.sqrt(squares / poisson.length), 0.03e6);
  }

  @Test
  void anImpossibleRateIsRefused() {
    for (double rate : new double[] {0, -1, Double.NaN, 1e9}) {
      assertThrows(
          IllegalArgumentException.class, () -> OpenLoop.arrivals(true, rate, 1, 0, 1), "" + rate);
    }
  }

  /**
   * 100 requests, one each 2 ms; the first takes 100 ms. Those due meanwhile wait, and say so: the
   * mean of their waits is half of that. A driver that waits for answers would show one slow one.
   */
  @Test
  void waitingBehindASlowAnswerCounts() throws Exception {
    long[] arrivals = OpenLoop.arrivals(false, 500, 0.2, 0, 1);
    int[] answered = new int[1];
    OpenLoop.Outcome outcome =
        OpenLoop.run(
            List.of(
                () -> {
                  if (answered[0]++ == 0) {
                    sleep(100 * MILLISECOND);
                  }
                }),
            List.of(arrivals));
    assertEquals(100, answered[0]);
    assertEquals(100, outcome.latency().getTotalCount());
    assertTrue(outcome.latency().getMaxValue() >= 99 * MILLISECOND);
    // Request i of the first 50 was due at 2 i ms and was not answered before 100 ms.
    assertTrue(outcome.latency().getValueAtPercentile(75) >= 48 * MILLISECOND);
    assertTrue(outcome.latency().getMean() >= 24 * MILLISECOND);
    assertTrue(outcome.service().getValueAtPercentile(50) < 48 * MILLISECOND);
    assertTrue(outcome.perSecond() <= 100 / 0.198, outcome.perSecond() + " answers a second");
  }

  @Test
  void eachServerAnswersItsOwn() throws Exception {
    int[] answered = new int[3];
    List<OpenLoop.Server> servers =
        List.of(() -> answered[0]++, () -> answered[1]++, () -> answered[2]++);
    OpenLoop.Outcome outcome =
        OpenLoop.run(servers, List.of(new long[10], new long[20], new long[30]));
    assertArrayEquals(new int[] {10, 20, 30}, answered);
    assertEquals(60, outcome.latency().getTotalCount());
  }

  @Test
  void whatAServerThrowsIsThrown() {
    List<OpenLoop.Server> servers =
        List.of(
            () -> {
              throw new IllegalStateException("no answer");
            });
    ExecutionException e =
        assertThrows(ExecutionException.class, () -> OpenLoop.run(servers, List.of(new long[1])));
    assertEquals("no answer", e.getCause().getMessage());
  }
}
