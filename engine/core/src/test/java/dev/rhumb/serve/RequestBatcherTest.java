package dev.rhumb.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.Site;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Requests of many threads, answered together as each would be alone. */
class RequestBatcherTest {
  private static final int ITEMS = 50;

  @TempDir Path temporary;
  private long live;

  @BeforeEach
  void countBuffers() {
    live = Buffer.live();
  }

  @AfterEach
  void nothingLeaks() {
    assertEquals(live, Buffer.live());
  }

  private Recommender open() {
    Path folder = temporary.resolve("model");
    ModelConfig config = new ModelConfig(BlockStyle.SASREC, ITEMS, 16, 2, 2, 12, 24, 0.1f, 1e-5f);
    Site site = new Site(Site.Kind.BLOCK, 0);
    RandomFolder.write(
        folder, config, kernels -> new SparseAutoencoder(kernels, site, 40, 16, 6, Map.of()));
    return Recommender.open(folder);
  }

  private static int[] history(SplittableRandom random) {
    return random.ints(1 + random.nextInt(20), 1, ITEMS + 1).toArray();
  }

  @Test
  void answersAreThoseOfABatchOfOne() {
    List<Steering> steerings = new ArrayList<>();
    steerings.add(null);
    steerings.add(Steering.of(List.of(Edit.add(3, 2))));
    steerings.add(Steering.of(List.of(Edit.scale(7, 3), Edit.ablate(1))));
    try (Recommender recommender = open();
        BatchRecommender alone = recommender.newBatch(1, 1);
        RequestBatcher batcher = new RequestBatcher(recommender, 5, 8, 1, Duration.ofMillis(1))) {
      List<Thread> threads = new ArrayList<>();
      List<List<CompletableFuture<Recommendations>>> answers = new ArrayList<>();
      for (int t = 0; t < 4; t++) {
        List<CompletableFuture<Recommendations>> mine = new ArrayList<>();
        answers.add(mine);
        SplittableRandom random = new SplittableRandom(t);
        threads.add(
            Thread.ofPlatform()
                .start(
                    () -> {
                      for (int i = 0; i < 25; i++) {
                        mine.add(
                            batcher.recommend(
                                history(random), steerings.get(i % 3), Filter.deny(1 + i)));
                      }
                    }));
      }
      threads.forEach(RequestBatcherTest::join);
      for (int t = 0; t < 4; t++) {
        SplittableRandom random = new SplittableRandom(t);
        for (int i = 0; i < 25; i++) {
          alone.clear();
          alone.add(Filter.deny(1 + i), history(random));
          Steering steering = steerings.get(i % 3);
          Recommendations expected =
              (steering == null ? alone.recommend(5) : alone.recommend(5, steering)).getFirst();
          Recommendations actual = answers.get(t).get(i).join();
          assertEquals(expected.count(), actual.count());
          for (int p = 0; p < expected.count(); p++) {
            assertEquals(expected.item(p), actual.item(p));
            assertEquals(expected.score(p), actual.score(p), 1e-4f);
          }
        }
      }
    }
  }

  @Test
  void aBadRequestFailsAlone() {
    try (Recommender recommender = open();
        RequestBatcher batcher = new RequestBatcher(recommender, 5, 3, 1, Duration.ofSeconds(10))) {
      var good = batcher.recommend(new int[] {1, 2}, null, Filter.none());
      var empty = batcher.recommend(new int[0], null, Filter.none());
      Steering missing = Steering.of(List.of(Edit.ablate(40)));
      var unknown = batcher.recommend(new int[] {3}, missing, Filter.none());
      assertEquals(5, good.join().count());
      assertInstanceOf(
          IllegalArgumentException.class,
          assertThrows(CompletionException.class, empty::join).getCause());
      assertInstanceOf(
          IllegalArgumentException.class,
          assertThrows(CompletionException.class, unknown::join).getCause());
    }
  }

  /** The worker's clock is past the budget of what has just come: it waits for nothing more. */
  @Test
  void theBudgetCountsFromWhenARequestComes() {
    long budget = Duration.ofMinutes(1).toNanos();
    try (Recommender recommender = open()) {
      for (long late : new long[] {budget, 3 * budget}) {
        Thread here = Thread.currentThread();
        LongSupplier clock = () -> Thread.currentThread() == here ? 7 : 7 + late;
        try (RequestBatcher batcher =
            new RequestBatcher(recommender, 5, 3, 1, Duration.ofNanos(budget), clock)) {
          var answer = batcher.recommend(new int[] {1, 2}, null, Filter.none());
          assertEquals(
              5, assertTimeoutPreemptively(Duration.ofSeconds(30), () -> answer.join()).count());
        }
      }
    }
  }

  /** While there is budget left, a request waits for others: three that fit go together at once. */
  @Test
  void aFullBatchGoesBeforeItsBudget() {
    try (Recommender recommender = open();
        RequestBatcher batcher =
            new RequestBatcher(recommender, 5, 3, 1, Duration.ofMinutes(1), () -> 0)) {
      List<CompletableFuture<Recommendations>> answers = new ArrayList<>();
      for (int i = 1; i <= 3; i++) {
        answers.forEach(answer -> assertFalse(answer.isDone()));
        answers.add(batcher.recommend(new int[] {i}, null, Filter.none()));
      }
      assertTimeoutPreemptively(
          Duration.ofSeconds(30), () -> answers.forEach(CompletableFuture::join));
    }
  }

  @Test
  void closingAnswersWhatWaitsAndRefusesMore() {
    try (Recommender recommender = open()) {
      assertThrows(
          IllegalArgumentException.class,
          () -> new RequestBatcher(recommender, 0, 3, 1, Duration.ZERO));
      assertThrows(
          IllegalArgumentException.class,
          () -> new RequestBatcher(recommender, 3, 3, 1, Duration.ofNanos(-1)));
      assertThrows(
          IllegalArgumentException.class,
          () -> new RequestBatcher(recommender, 3, 0, 1, Duration.ZERO));
      RequestBatcher batcher = new RequestBatcher(recommender, 5, 3, 1, Duration.ZERO);
      List<CompletableFuture<Recommendations>> answers = new ArrayList<>();
      for (int i = 1; i <= 10; i++) {
        answers.add(batcher.recommend(new int[] {i}, null, Filter.none()));
      }
      batcher.close();
      batcher.close();
      answers.forEach(answer -> assertEquals(5, answer.join().count()));
      assertThrows(
          IllegalStateException.class, () -> batcher.recommend(new int[] {1}, null, Filter.none()));
    }
  }

  private static void join(Thread thread) {
    try {
      thread.join();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }
}
