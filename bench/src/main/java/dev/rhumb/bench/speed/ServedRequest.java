package dev.rhumb.bench.speed;

import dev.rhumb.kernels.Kernels;
import dev.rhumb.serve.BatchRecommender;
import dev.rhumb.serve.Recommendations;
import dev.rhumb.serve.Recommender;
import dev.rhumb.serve.Session;
import dev.rhumb.steer.Steering;
import java.nio.file.Path;

/**
 * A {@link Task.Request} to the engine. One from scratch is a batch of one history. A kept
 * session's history grows by an item with each run, from three quarters of T to T, and is then,
 * between runs, put back.
 */
final class ServedRequest implements Workload {
  private final Task.Request task;
  private final Kernels kernels;
  private final Path folder;
  private final Recommender recommender;
  private final Session session;
  private final BatchRecommender batch;
  private final Steering steering;
  private final int[] history;
  private final int[] features;
  private final float[] activations;
  private Recommendations last;

  /**
   * Opens a recommender.
   *
   * @param kernels say which backend; closed with this
   */
  ServedRequest(Task.Request task, Kernels kernels) {
    this.task = task;
    this.kernels = kernels;
    folder = Folders.temporary();
    ServedModel.write(folder, task.model(), task.features(), task.keptFeatures());
    recommender = Recommender.open(folder, ServedModel.SITE, kernels.backend());
    session = task.kept() ? recommender.newSession() : null;
    batch = task.kept() ? null : recommender.newBatch(1, 1);
    steering = task.steering();
    history = task.model().history(0);
    features = new int[task.keptFeatures()];
    activations = new float[task.keptFeatures()];
  }

  @Override
  public void before() {
    if (task.kept() && (session.length() == 0 || session.length() == history.length)) {
      session.clear();
      append(0, Math.max(1, history.length * 3 / 4));
      last = session.recommend(Task.Request.TOP);
    }
  }

  private void append(int from, int to) {
    for (int t = from; t < to; t++) {
      session.append(history[t]);
    }
  }

  @Override
  public void run() {
    if (!task.kept()) {
      last = fromScratch(task.kind() == Task.Request.Kind.STEERED);
      return;
    }
    session.append(history[session.length()]);
    switch (task.kind()) {
      case PLAIN -> last = session.recommend(Task.Request.TOP);
      case ENCODED -> {
        session.features(features, activations);
        last = session.recommend(Task.Request.TOP);
      }
      case STEERED -> last = session.recommend(Task.Request.TOP, steering);
    }
  }

  private Recommendations fromScratch(boolean steered) {
    batch.clear();
    batch.add(history);
    return (steered
            ? batch.recommend(Task.Request.TOP, steering)
            : batch.recommend(Task.Request.TOP))
        .getFirst();
  }

  @Override
  public float[] answer() {
    if (last.count() != Task.Request.TOP || !Float.isFinite(last.score(0))) {
      throw new IllegalStateException("wrong answer: a list of " + last.count() + " items");
    }
    Recommendations plain = task.kept() ? wholeSession() : fromScratch(false);
    float[] answer = new float[2 * Task.Request.TOP];
    for (int i = 0; i < Task.Request.TOP; i++) {
      answer[i] = plain.score(i);
      answer[Task.Request.TOP + i] = plain.item(i);
    }
    return answer;
  }

  private Recommendations wholeSession() {
    session.clear();
    append(0, history.length);
    return session.recommend(Task.Request.TOP);
  }

  @Override
  public void close() {
    if (task.kept()) {
      session.close();
    } else {
      batch.close();
    }
    recommender.close();
    kernels.close();
    Folders.delete(folder);
  }
}
