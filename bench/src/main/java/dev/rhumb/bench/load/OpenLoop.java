package dev.rhumb.bench.load;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.HdrHistogram.Histogram;

/**
 * Requests that arrive when they arrive, whether or not the one before has been answered: an open
 * model. All arrivals are fixed before the first; a latency runs from when a request was due, so a
 * slow answer also counts in those that wait behind it (no coordinated omission).
 *
 * <p>Each server is a thread with a queue of its own, as a user's session is one thread's at a
 * time.
 */
final class OpenLoop {
  /**
   * Where threads share cores, a waiting one sleeps until so much is left; then it looks at the
   * clock. One with a core of its own always does: what waking up costs is not the request's.
   */
  private static final long WAKE_NANOS = 80_000;

  /** Until the first request is due: threads have started by then. */
  private static final long LEAD_NANOS = 20_000_000;

  private static final long LONGEST_NANOS = TimeUnit.MINUTES.toNanos(10);

  private OpenLoop() {}

  /** What one thread does for a request. */
  @FunctionalInterface
  interface Server {
    void answer();
  }

  /**
   * What was measured.
   *
   * @param latency nanoseconds from when a request was due to its answer
   * @param service nanoseconds from when its work began to its answer
   * @param perSecond answers, from the first request's time to the last answer
   */
  record Outcome(Histogram latency, Histogram service, double perSecond) {}

  /**
   * Times of a Poisson process, or evenly spaced ones, for one of some servers.
   *
   * @param perSecond mean rate of this server's
   * @param seconds how long
   * @param server its number, from 0: processes differ, and evenly spaced times are so over all
   * @return nanoseconds from the start, ascending
   */
  static long[] arrivals(
      boolean poisson, double perSecond, double seconds, int server, int servers) {
    if (!(perSecond > 0 && seconds > 0 && perSecond * seconds < 1e8)) {
      throw new IllegalArgumentException(
          perSecond
              + " requests a second over "
              + seconds
              + " s: both must be above 0, and at most 1e8 requests in all");
    }
    SplittableRandom random = new SplittableRandom(server);
    double gap = 1e9 / perSecond;
    long[] times = new long[(int) Math.max(1, Math.round(perSecond * seconds))];
    double at = poisson ? 0 : gap * server / servers;
    for (int i = 0; i < times.length; i++) {
      times[i] = (long) at;
      at += poisson ? -Math.log(1 - random.nextDouble()) * gap : gap;
    }
    return times;
  }

  /**
   * Runs one thread for each server until all arrivals are answered.
   *
   * @param servers each used by one thread
   * @param arrivals of each server, nanoseconds from the start, ascending
   * @throws ExecutionException with what a server threw
   */
  static Outcome run(List<? extends Server> servers, List<long[]> arrivals)
      throws InterruptedException, ExecutionException {
    Histogram latency = histogram();
    Histogram service = histogram();
    long start = System.nanoTime() + LEAD_NANOS;
    long end = start;
    long answers = 0;
    boolean share = servers.size() > Runtime.getRuntime().availableProcessors();
    ExecutorService threads = Executors.newFixedThreadPool(servers.size());
    try {
      List<Future<Lane>> lanes = new ArrayList<>();
      for (int i = 0; i < servers.size(); i++) {
        Lane lane = new Lane(servers.get(i), arrivals.get(i), start, share);
        lanes.add(threads.submit(lane::run));
      }
      for (Future<Lane> future : lanes) {
        Lane lane = future.get();
        latency.add(lane.latency);
        service.add(lane.service);
        end = Math.max(end, lane.end);
        answers += lane.arrivals.length;
      }
    } finally {
      threads.shutdownNow();
    }
    return new Outcome(latency, service, answers / ((end - start) * 1e-9));
  }

  private static Histogram histogram() {
    return new Histogram(1, LONGEST_NANOS, 3);
  }

  /** One server's thread. */
  private static final class Lane {
    final Histogram latency = histogram();
    final Histogram service = histogram();
    final long[] arrivals;
    final long start;
    final boolean sleeps;
    final Server server;
    long end;

    Lane(Server server, long[] arrivals, long start, boolean sleeps) {
      this.server = server;
      this.arrivals = arrivals;
      this.start = start;
      this.sleeps = sleeps;
    }

    Lane run() {
      for (long arrival : arrivals) {
        long due = start + arrival;
        long begun = await(due);
        server.answer();
        end = System.nanoTime();
        latency.recordValue(Math.min(LONGEST_NANOS, Math.max(1, end - due)));
        service.recordValue(Math.min(LONGEST_NANOS, Math.max(1, end - begun)));
      }
      return this;
    }

    /** Waits until a time has come; the time then. */
    private long await(long due) {
      while (true) {
        long now = System.nanoTime();
        long left = due - now;
        if (left <= 0) {
          return now;
        }
        if (sleeps && left > WAKE_NANOS) {
          LockSupport.parkNanos(left - WAKE_NANOS);
        } else {
          Thread.onSpinWait();
        }
      }
    }
  }
}
