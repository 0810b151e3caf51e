package dev.rhumb.serve;

import dev.rhumb.steer.Steering;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * Answers the requests of many threads together: the first that comes waits for others, no longer
 * than a budget, and all that are there by then, or as many as fit, are one call of a {@link
 * BatchRecommender}. On a GPU, where a call costs nearly the same for one history as for hundreds,
 * it multiplies what a device serves.
 *
 * <p>The budget counts from when a request comes: under load, what has waited that long behind
 * other calls goes at once, with all that is there.
 *
 * <p>Requests of the same steering share their pass; each different one in a batch adds a pass. A
 * request that is refused fails alone.
 *
 * <p>Ownership: owns its workspace and one thread; the recommender must stay open. Threads: any
 * number may ask.
 */
public final class RequestBatcher implements AutoCloseable {
  private final int k;
  private final int most;
  private final long budget;
  private final LongSupplier clock;
  private final BatchRecommender batch;
  private final LinkedBlockingQueue<Pending> waiting = new LinkedBlockingQueue<>();
  private final Thread worker;
  private boolean closed;

  /**
   * @param came when, in the clock's nanoseconds
   */
  private record Pending(
      int[] history,
      Steering steering,
      Filter filter,
      long came,
      CompletableFuture<Recommendations> answer) {}

  /** What ends the worker: nothing comes after it. */
  private static final Pending END = new Pending(null, null, null, 0, null);

  /**
   * Starts it.
   *
   * @param k items of each list, from 1 to V
   * @param most histories that are answered together at most
   * @param threads that share the work of a call on the CPU
   * @param budget how long a request may wait for others; zero: those that are there go together
   * @throws IllegalArgumentException when a number is out of bounds
   */
  public RequestBatcher(Recommender recommender, int k, int most, int threads, Duration budget) {
    this(recommender, k, most, threads, budget, System::nanoTime);
  }

  /** The same by another clock, of nanoseconds. */
  RequestBatcher(
      Recommender recommender, int k, int most, int threads, Duration budget, LongSupplier clock) {
    TopItems.requireCount(k, recommender.model().config().items());
    if (budget.isNegative()) {
      throw new IllegalArgumentException("a budget of " + budget + " is negative");
    }
    this.k = k;
    this.clock = clock;
    this.most = most;
    this.budget = budget.toNanos();
    batch = recommender.newBatch(most, threads);
    worker = Thread.ofPlatform().daemon().name("rhumb-batcher").start(this::serve);
  }

  /**
   * Asks for the best unseen items that pass a filter.
   *
   * @param history items, oldest first, at least one; copied
   * @param steering at the last position or all; null for a plain list
   * @return the list, the caller's own; it fails with what {@link BatchRecommender} throws
   * @throws IllegalStateException when it is closed
   */
  public CompletableFuture<Recommendations> recommend(
      int[] history, Steering steering, Filter filter) {
    Objects.requireNonNull(filter, "filter");
    Pending request =
        new Pending(
            history.clone(), steering, filter, clock.getAsLong(), new CompletableFuture<>());
    synchronized (this) {
      if (closed) {
        throw new IllegalStateException("the batcher is closed");
      }
      waiting.add(request);
    }
    return request.answer;
  }

  private void serve() {
    List<Pending> together = new ArrayList<>();
    try {
      while (gather(together)) {
        answer(together);
        together.clear();
      }
    } finally {
      batch.close();
    }
  }

  /** Waits for requests that go together; false at the end. */
  private boolean gather(List<Pending> together) {
    Pending next = taken(Long.MAX_VALUE);
    long until = next.came + budget;
    while (next != null && next != END) {
      together.add(next);
      if (together.size() == most) {
        return true;
      }
      next = taken(until - clock.getAsLong());
    }
    if (next == END) {
      waiting.add(END);
    }
    return !together.isEmpty();
  }

  /** The next request, or null when none comes in time. */
  private Pending taken(long nanoseconds) {
    while (true) {
      try {
        return nanoseconds == Long.MAX_VALUE
            ? waiting.take()
            : waiting.poll(Math.max(0, nanoseconds), TimeUnit.NANOSECONDS);
      } catch (InterruptedException e) {
        // The thread is this object's own: close() ends it, nothing else does.
      }
    }
  }

  private void answer(List<Pending> together) {
    Map<Steering, List<Pending>> alike = new LinkedHashMap<>();
    for (Pending request : together) {
      alike.computeIfAbsent(request.steering, s -> new ArrayList<>()).add(request);
    }
    alike.forEach(this::answer);
  }

  private void answer(Steering steering, List<Pending> requests) {
    List<Pending> added = new ArrayList<>();
    try {
      batch.clear();
      for (Pending request : requests) {
        try {
          batch.add(request.filter, request.history);
          added.add(request);
        } catch (IllegalArgumentException e) {
          request.answer.completeExceptionally(e);
        }
      }
      List<Recommendations> lists =
          steering == null ? batch.recommend(k) : batch.recommend(k, steering);
      for (int i = 0; i < added.size(); i++) {
        added.get(i).answer.complete(lists.get(i).copy());
      }
    } catch (RuntimeException | Error e) {
      added.forEach(request -> request.answer.completeExceptionally(e));
    }
  }

  /** Refuses new requests, answers those that wait, and frees its memory. */
  @Override
  public void close() {
    synchronized (this) {
      if (!closed) {
        closed = true;
        waiting.add(END);
      }
    }
    boolean interrupted = false;
    while (worker.isAlive()) {
      try {
        worker.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
