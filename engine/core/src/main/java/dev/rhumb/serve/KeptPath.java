package dev.rhumb.serve;

import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.model.IncrementalInference;
import dev.rhumb.model.Model;
import dev.rhumb.model.Padding;
import dev.rhumb.sae.SparseAutoencoder;
import dev.rhumb.steer.Steering;

/**
 * The keys and values of every position are kept: an appended item costs one position.
 *
 * <p>Ownership: owns its workspace; not the recommender's model or the kernels. Threads: one at a
 * time.
 */
final class KeptPath implements SessionPath {
  private final Kernels kernels;
  private final SparseAutoencoder sae;
  private final int t;
  private final boolean padded;
  private IncrementalInference inference;
  private IncrementalInference next;
  private final TopItems top;
  private final EditTable table = new EditTable(16);
  private final Buffer editedState;
  private final Buffer indices;
  private final Buffer activations;

  /**
   * @param excluded how many items there will be to leave out, about
   */
  KeptPath(Recommender recommender, Kernels kernels, int excluded) {
    this.kernels = kernels;
    Model model = recommender.model();
    sae = recommender.sae();
    t = model.config().maxLength();
    padded = model.config().wiring().padding() != Padding.NONE;
    inference = new IncrementalInference(kernels, model);
    next = padded ? null : new IncrementalInference(kernels, model);
    top = new TopItems(kernels, model, recommender.compressed(), excluded);
    int kept = sae == null ? 0 : sae.kept();
    editedState = kernels.allocate(DType.F32, model.config().width());
    indices = kernels.allocate(DType.I32, kept);
    activations = kernels.allocate(DType.F32, kept);
  }

  /** Items that a full window of T leaves to the next. */
  static int newWindow(int t) {
    return t * 3 / 4;
  }

  @Override
  public void append(int[] history, int length) {
    int item = history[length - 1];
    if (padded) {
      appendPadded(history, length);
      return;
    }
    if (inference.length() == t) {
      IncrementalInference full = inference;
      inference = next;
      next = full;
      next.clear();
    }
    inference.append(item);
    runAhead(history, length);
  }

  /** A window of the newest T items: all are run anew when an answer is asked for. */
  private void appendPadded(int[] history, int length) {
    if (inference.length() == t) {
      inference.clear();
      for (int i = length - t; i < length - 1; i++) {
        inference.append(history[i]);
      }
    }
    inference.append(history[length - 1]);
  }

  /**
   * Runs items of the next window: what it lacks, spread evenly over the items that this one still
   * takes: at most three with each.
   */
  private void runAhead(int[] history, int length) {
    if (inference.length() > t / 2) {
      int kept = newWindow(t);
      int known = inference.length() - (t - kept);
      int first = length - known;
      int lacking = kept - next.length();
      int toCome = t - inference.length() + 1;
      int due = Math.min(known, next.length() + (lacking + toCome - 1) / toCome);
      for (int i = next.length(); i < due; i++) {
        next.append(history[first + i]);
      }
    }
  }

  @Override
  public void clear() {
    inference.clear();
    if (next != null) {
      next.clear();
    }
  }

  @Override
  public int window() {
    return inference.length();
  }

  @Override
  public void recommend(
      int[] history, int length, Steering steering, Filter filter, int k, Recommendations answer) {
    top.find(
        steering == null ? inference.hidden() : steered(steering),
        k,
        history,
        length,
        filter,
        answer);
  }

  /** The last position's hidden state after the final norm, (D), with steering. */
  private Buffer steered(Steering steering) {
    steering.fill(table);
    Buffer state = inference.state(sae.site());
    sae.steer(kernels, 1, state, table, editedState, indices, activations);
    return inference.finish(sae.site(), editedState);
  }

  @Override
  public void features(int[] history, int length, int[] features, float[] values) {
    sae.encode(kernels, 1, inference.state(sae.site()), indices, activations);
    indices.get(0, features, 0, features.length);
    activations.get(0, values, 0, values.length);
  }

  @Override
  public void close() {
    inference.close();
    if (next != null) {
      next.close();
    }
    top.close();
    editedState.close();
    indices.close();
    activations.close();
  }
}
