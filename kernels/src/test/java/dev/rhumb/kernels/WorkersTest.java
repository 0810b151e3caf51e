package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class WorkersTest {
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 7})
  void runsEveryTaskOnceOnItsWorker(int threads) {
    try (Workers workers = new Workers(threads)) {
      for (int tasks : new int[] {0, 1, 2, 3, 6, 7, 8, 100}) {
        AtomicIntegerArray runs = new AtomicIntegerArray(tasks);
        AtomicIntegerArray ranOn = new AtomicIntegerArray(tasks);
        workers.run(
            tasks,
            (task, worker) -> {
              runs.incrementAndGet(task);
              ranOn.set(task, worker);
            });
        for (int t = 0; t < tasks; t++) {
          assertEquals(1, runs.get(t));
          assertEquals(t % threads, ranOn.get(t));
        }
      }
    }
  }

  @Test
  void seesWhatTasksWroteAcrossManyCalls() {
    long[] sums = new long[64];
    try (Workers workers = new Workers(3)) {
      for (int call = 0; call < 20_000; call++) {
        workers.run(sums.length, (task, worker) -> sums[task] += task);
      }
    }
    for (int t = 0; t < sums.length; t++) {
      assertEquals(20_000L * t, sums[t]);
    }
  }

  @Test
  void wakesSleepingHelpers() throws InterruptedException {
    try (Workers workers = new Workers(2)) {
      int[] runs = new int[2];
      for (int call = 0; call < 5; call++) {
        Thread.sleep(20);
        workers.run(2, (task, worker) -> runs[task]++);
      }
      assertEquals(5, runs[0]);
      assertEquals(5, runs[1]);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 4})
  void throwsTheFailureOfTheLowestTaskAndGoesOn(int threads) {
    try (Workers workers = new Workers(threads)) {
      var failure =
          assertThrows(
              ArithmeticException.class,
              () ->
                  workers.run(
                      40,
                      (task, worker) -> {
                        if (task >= 5) {
                          throw new ArithmeticException("task " + task);
                        }
                      }));
      assertEquals("task 5", failure.getMessage());
      int[] runs = new int[40];
      workers.run(40, (task, worker) -> runs[task]++);
      for (int run : runs) {
        assertEquals(1, run);
      }
    }
  }

  @Test
  void refusesWorkAfterClose() throws InterruptedException {
    Workers workers = new Workers(2);
    Thread[] helper = new Thread[1];
    workers.run(
        2,
        (task, worker) -> {
          if (worker == 1) {
            helper[0] = Thread.currentThread();
          }
        });
    assertTrue(helper[0].isDaemon());
    workers.close();
    workers.close();
    helper[0].join(5_000);
    assertFalse(helper[0].isAlive());
    assertThrows(IllegalStateException.class, () -> workers.run(1, (task, worker) -> {}));
    assertThrows(IllegalArgumentException.class, () -> new Workers(0));
  }
}
