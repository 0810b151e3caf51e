package dev.rhumb.serve;

import dev.rhumb.kernels.Kernels;
import dev.rhumb.steer.Steering;

/**
 * The whole window run for every answer, as a recording: for a GPU, where launches count rather
 * than positions. An appended item is only noted.
 *
 * <p>Ownership: owns its workspace; not the recommender's model or the kernels. Threads: one at a
 * time.
 */
final class RecordedPath implements SessionPath {
  /** Items of a list, by which recordings differ: a long list costs short ones nothing. */
  private static final int[] LISTS = {16, 384, Integer.MAX_VALUE};

  private final Recommender recommender;
  private final Kernels kernels;
  private final int items;
  private final int t;
  private final RecordedRequest[] recorded = new RecordedRequest[LISTS.length];
  private int window;

  RecordedPath(Recommender recommender, Kernels kernels) {
    this.recommender = recommender;
    this.kernels = kernels;
    items = recommender.model().config().items();
    t = recommender.model().config().maxLength();
    requestOf(1);
  }

  private RecordedRequest requestOf(int k) {
    int i = 0;
    while (k > LISTS[i]) {
      i++;
    }
    if (recorded[i] == null) {
      recorded[i] = new RecordedRequest(recommender, kernels, Math.min(LISTS[i], items));
    }
    return recorded[i];
  }

  @Override
  public void append(int[] history, int length) {
    window = window == t ? KeptPath.newWindow(t) : window;
    window++;
  }

  @Override
  public void clear() {
    window = 0;
  }

  @Override
  public int window() {
    return window;
  }

  @Override
  public void recommend(
      int[] history, int length, Steering steering, Filter filter, int k, Recommendations answer) {
    TopItems.requireCount(k, items);
    requestOf(k).answer(history, length, window, steering, filter, k, answer);
  }

  @Override
  public void features(int[] history, int length, int[] features, float[] values) {
    requestOf(1).features(history, length, window, features, values);
  }

  @Override
  public void close() {
    for (RecordedRequest request : recorded) {
      if (request != null) {
        request.close();
      }
    }
  }
}
