package dev.rhumb.serve;

import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.steer.Steering;
import dev.rhumb.steer.SteeringEdit;
import java.util.List;

/**
 * A session's window run whole, with steering at all of its positions, and the catalogue after it.
 *
 * <p>Ownership: owns its workspace; not the recommender's model or the kernels. Threads: one at a
 * time.
 */
final class SteeredWindow implements AutoCloseable {
  private final Batch batch;
  private final Inference inference;
  private final SteeringEdit edit;
  private final TopItems top;

  /**
   * @param excluded how many items there will be to leave out, about
   */
  SteeredWindow(Recommender recommender, Kernels kernels, int excluded) {
    Model model = recommender.model();
    int t = model.config().maxLength();
    batch = new Batch(kernels, 1, t);
    inference = new Inference(kernels, model, 1, t);
    edit = new SteeringEdit(kernels, recommender.sae(), Steering.of(List.of()));
    top = new TopItems(kernels, model, recommender.compressed(), excluded);
  }

  /**
   * The best {@code k} unseen items that pass a filter.
   *
   * @param window the newest items of the history, that the model sees
   * @param answer set
   */
  void recommend(
      int[] history,
      int length,
      int window,
      Steering steering,
      Filter filter,
      int k,
      Recommendations answer) {
    edit.take(steering);
    batch.clear();
    batch.add(history, length - window, window);
    batch.seal();
    inference.runTo(edit.site(), batch);
    edit.apply(batch, inference.state());
    inference.finishLast();
    top.find(inference.lastHidden(), k, history, length, filter, answer);
  }

  @Override
  public void close() {
    batch.close();
    inference.close();
    edit.close();
    top.close();
  }
}
