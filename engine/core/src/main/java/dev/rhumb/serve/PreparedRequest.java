package dev.rhumb.serve;

import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Model;
import dev.rhumb.steer.Steering;

/**
 * Requests of one shape: any history in, the k best unseen items out, plain or steered at the last
 * position. The whole request, copies included, is recorded when it is first asked for and run
 * again from then on: on a GPU one launch of a CUDA graph, over page-locked input and output. It
 * always runs the model's T positions, so that on a CPU a {@link Session} is far quicker.
 *
 * <p>The model sees the newest T items of a history. Lists are those of a {@link Session} that was
 * given as many items, the scores equal but for rounding. An allow-list, too, costs a scan of the
 * whole catalogue. A request makes no garbage and allocates nothing once one of its kind (plain, or
 * with a steering's stage and write) was made, while history and filter leave out no more items,
 * and a steering has no more edits, than this has room for; it makes room for twice as many and
 * records anew where there are more.
 *
 * <p>Ownership: owns its workspace. Threads: one at a time; a call while another thread's is under
 * way is refused. Closing is free at any time: a request under way ends as usual and frees the
 * memory when it does.
 */
public final class PreparedRequest implements AutoCloseable {
  private final Recommender recommender;
  private final Kernels kernels;
  private final Model model;
  private final int k;
  private final Turn turn = new Turn("prepared request", this::free);
  private final RecordedRequest recorded;
  private final Recommendations answer;

  PreparedRequest(Recommender recommender, Kernels kernels, int k) {
    this.recommender = recommender;
    this.kernels = kernels;
    this.k = k;
    model = recommender.model();
    recorded = new RecordedRequest(recommender, kernels, k);
    answer = new Recommendations(recommender.catalogue());
  }

  /**
   * The k best unseen items.
   *
   * @param history items, oldest first, the first {@code length} of the array
   * @return the list; it changes with the next call
   * @throws IllegalArgumentException when the history is empty, or the catalogue lacks one of its
   *     items
   */
  public Recommendations recommend(int[] history, int length) {
    return recommend(history, length, Filter.none());
  }

  /**
   * The k best unseen items that pass a filter.
   *
   * @throws IllegalArgumentException when the history is empty, or the catalogue lacks one of its
   *     items or of the filter's
   */
  public Recommendations recommend(int[] history, int length, Filter filter) {
    turn.enter();
    try {
      return answer(history, length, null, filter);
    } finally {
      turn.exit();
    }
  }

  /**
   * The k best unseen items when the hidden state is steered at the last position.
   *
   * @throws IllegalStateException when the model has no autoencoder
   * @throws IllegalArgumentException when the history is empty, or the catalogue lacks one of its
   *     items, or an edit names a feature that the autoencoder lacks, or the steering is at all
   *     positions
   */
  public Recommendations recommend(int[] history, int length, Steering steering) {
    return recommend(history, length, steering, Filter.none());
  }

  /**
   * The k best unseen items that pass a filter when the hidden state is steered at the last
   * position.
   *
   * @throws IllegalStateException when the model has no autoencoder
   * @throws IllegalArgumentException when the history is empty, or the catalogue lacks one of its
   *     items or of the filter's, or an edit names a feature that the autoencoder lacks, or the
   *     steering is at all positions
   */
  public Recommendations recommend(int[] history, int length, Steering steering, Filter filter) {
    turn.enter();
    try {
      int features = recommender.requireSae().features();
      if (steering.requireIn(features).positions() == Steering.Positions.ALL) {
        throw new IllegalArgumentException(
            "a prepared request steers the last position; for all of them use a session");
      }
      return answer(history, length, steering, filter);
    } finally {
      turn.exit();
    }
  }

  private Recommendations answer(int[] history, int length, Steering steering, Filter filter) {
    if (length < 1 || length > history.length) {
      throw new IllegalArgumentException(
          "a history of " + length + " items, in an array of " + history.length);
    }
    int catalogue = model.config().items();
    for (int i = 0; i < length; i++) {
      if (history[i] < 1 || history[i] > catalogue) {
        throw new IllegalArgumentException(
            "item " + history[i] + " is not in the catalogue, whose items are 1 to " + catalogue);
      }
    }
    int window = Math.min(length, model.config().maxLength());
    recorded.answer(history, length, window, steering, filter, k, answer);
    return answer;
  }

  /** Frees its memory, or lets the request under way free it. Closing twice is harmless. */
  @Override
  public void close() {
    turn.close();
  }

  private void free() {
    recorded.close();
    kernels.close();
    recommender.release();
  }
}
