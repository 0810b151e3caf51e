package dev.rhumb.serve;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.Batch;
import dev.rhumb.model.Inference;
import dev.rhumb.model.Model;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Steering;
import dev.rhumb.steer.SteeringEdit;
import java.util.List;

/**
 * A session's window run whole, with steering at all of its positions.
 *
 * <p>Ownership: owns its workspace; not the model, the autoencoder or the kernels. Threads: one at
 * a time.
 */
final class SteeredWindow implements AutoCloseable {
  private final Batch batch;
  private final Inference inference;
  private final SteeringEdit edit;

  SteeredWindow(Kernels kernels, Model model, SparseAutoencoder sae) {
    int t = model.config().maxLength();
    batch = new Batch(kernels, 1, t);
    inference = new Inference(kernels, model, 1, t);
    edit = new SteeringEdit(kernels, sae, Steering.of(List.of()));
  }

  /**
   * Runs the {@code n} items of a history from {@code from} on.
   *
   * @return the last position's hidden state after the final norm, (D), until the next call
   */
  Buffer run(int[] history, int from, int n, Steering steering) {
    edit.take(steering);
    batch.clear();
    batch.add(history, from, n);
    batch.seal();
    inference.runTo(edit.site(), batch);
    edit.apply(batch, inference.state());
    inference.finishLast();
    return inference.lastHidden();
  }

  @Override
  public void close() {
    batch.close();
    inference.close();
    edit.close();
  }
}
